"""What a worker does with a task: compare versions, unpack, compute, send back what became of it.

Everything here is imported by name on the worker; all else travels with the task.
"""

import hashlib
import platform
import threading
import traceback
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_here = threading.local()


class Sent(Generic[T]):
    """A value that goes to each worker once, however many tasks name it.

    A thread of a worker unpacks a copy of its own and keeps it as long as tasks name it, so that
    what a task leaves in the value is there for the next.
    """

    def __init__(self, value: T, token: str) -> None:
        self.value, self.token = value, token

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.token,)


def _arrived(token: str) -> Sent:
    """The value as it stands on this worker."""
    return Sent(_here.values[token], token)


def attempt(task: bytes, expected: dict[str, str], tokens: list[str], *sent: Any) -> tuple:
    """Compute one task.

    Args:
        task: A function without arguments, pickled.
        expected: What `versions` is where the task comes from.
        tokens: Names of the values that the task may use.
        sent: These values, pickled.

    Returns:
        ``("done", value)``, ``("raised", error)`` or ``("refused", reason)``.
    """
    import cloudpickle

    found = versions()
    differ = [name for name, version in expected.items() if found[name] != version]
    if differ:
        name = differ[0]
        return "refused", f"{name} {found[name]}, where {name} {expected[name]} is needed"
    kept = getattr(_here, "values", {})
    _here.values = {token: kept[token] for token in tokens if token in kept}
    try:
        for token, packed in zip(tokens, sent, strict=True):
            if token not in _here.values:
                _here.values[token] = cloudpickle.loads(memoryview(packed))
        return "done", cloudpickle.loads(task)()
    except Exception as error:
        return "raised", _portable(error)


@cache
def versions() -> dict[str, str]:
    """What must be equal for a task to mean the same and to give the same bits."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
        "overparam": f"{_version('overparam')} (source {digest.hexdigest()[:12]})",
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, or words for it if it does not travel."""
    import cloudpickle

    text = "".join(traceback.format_exception(error)).strip()
    error.add_note(f"On a worker of the cluster:\n{text}")
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        error = RuntimeError(text)
    return error.with_traceback(None)
