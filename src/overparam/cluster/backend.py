"""A back end of joblib on the workers of a cluster, and loops that take any back end.

The back ends that Dask and Ray bring do not do here: with Dask's a task that cannot be unpacked,
or whose workers die, is waited for without end, and Ray's cannot return results as they finish.
"""

import itertools
import sys
import sysconfig
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import joblib
import numpy as np
from joblib.parallel import ParallelBackendBase, SequentialBackend, get_active_backend

from overparam._errors import expect
from overparam._workers import parallel
from overparam.cluster.worker import Sent, attempt, versions

T = TypeVar("T")


class ClusterLost(ConnectionError):
    """The cluster does not compute what it was given; what had come back before is kept."""


@runtime_checkable
class Promise(Protocol):
    """What a task will return; futures of the standard library and of Dask are promises."""

    def result(self) -> Any:
        """What it returned, or what it raised, once it is there."""
        ...

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> Any:
        """Have a function called with the promise, once it is there."""
        ...


@runtime_checkable
class Workers(Protocol):
    """A connection to a scheduler, which does all the scheduling.

    Attributes:
        name: What the user called it.
    """

    name: str

    def cores(self) -> int:
        """How many tasks are computed at a time, as of now."""
        ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Promise:
        """Let a worker call a function; handles among the arguments become their values.

        Callbacks of the promise are called in a thread that may wait.
        """
        ...

    def put(self, packed: np.ndarray) -> Any:
        """A handle of bytes that stay with the cluster until it is let go."""
        ...

    def cancel(self, promises: list[Promise]) -> None:
        """Forget tasks; those that have begun may go on to their end."""
        ...

    def trouble(self) -> str:
        """Why nothing more can be computed, or nothing."""
        ...


class ClusterBackend(ParallelBackendBase):
    """Tasks go to the workers whatever number of jobs is asked for: their scheduler sees to it."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, workers: Workers) -> None:
        super().__init__(nesting_level=0)
        self.workers = workers
        self.sent: dict[str, Any] = {}
        self._running: set[Promise] = set()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """The cores of the cluster; at least two, since joblib computes a single job here."""
        return max(2, self.workers.cores())

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Begin a loop."""
        self.parallel = parallel
        self._expect_answer(self.workers.trouble())
        return self.effective_n_jobs(n_jobs)

    def submit(self, func: Any, callback: Any = None) -> Promise:
        """Hand one task over."""
        promise = self.workers.submit(
            attempt, _packed(func), versions(), list(self.sent), *self.sent.values()
        )
        self._running.add(promise)
        promise.add_done_callback(callback)
        return promise

    apply_async = submit  # what joblib called it before 1.5

    def retrieve_result_callback(self, out: Promise) -> Any:
        """What a task returned; what it raised is raised."""
        self._running.discard(out)
        try:
            became, value = out.result()
        except BaseException as problem:
            lines = str(problem).splitlines() or [""]
            told = f"{type(problem).__name__}: {lines[0]}"
            trouble = self.workers.trouble() or f"a task that could not be run: {told}"
            self._expect_answer(trouble, problem)
            raise
        if became == "raised":
            raise value
        self._expect_answer(value if became == "refused" else "")
        return value

    def _expect_answer(self, trouble: str, cause: BaseException | None = None) -> None:
        """Raise if there is trouble."""
        try:
            expect(
                not trouble,
                f"cluster {self.workers.name}",
                "workers that compute what they are given",
                trouble,
                hint="the same call continues with what is not finished.",
                error=ClusterLost,
            )
        except ClusterLost as lost:
            raise lost from cause

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Give up what was handed over."""
        running, self._running = list(self._running), set()
        self.workers.cancel(running)

    def get_nested_backend(self) -> tuple[ParallelBackendBase, None]:
        """Loops inside a task are computed by the worker that has the task."""
        return SequentialBackend(nesting_level=1), None


def send(value: T) -> Sent[T] | None:
    """The value as something to put into tasks, which each worker of the cluster gets once.

    `None` where no cluster is set: other back ends send their arguments themselves.
    """
    backend, _ = get_active_backend()
    if not isinstance(backend, ClusterBackend):
        return None
    sent = Sent(value, uuid.uuid4().hex)
    packed = np.frombuffer(_packed(value), dtype=np.uint8)
    backend.sent[sent.token] = backend.workers.put(packed)
    weakref.finalize(sent, backend.sent.pop, sent.token, None)
    return sent


def as_finished(tasks: Iterable[Any], n_jobs: int | None = None) -> Iterator[Any]:
    """What joblib's delayed calls return, each as soon as it is there.

    A back end that cannot give results before the last one, such as Ray's own, gets as many tasks
    at a time as it has workers.

    Args:
        tasks: As for `joblib.Parallel`.
        n_jobs: Likewise.
    """
    backend: Any = get_active_backend()[0]
    if isinstance(backend, ClusterBackend):
        # Workers that join later find tasks waiting.
        options: dict[str, Any] = {"pre_dispatch": "all"}
    else:
        options = {"batch_size": 1}  # several at once would come back when the last is done
    if isinstance(backend, SequentialBackend) or backend.supports_return_generator:
        yield from parallel(n_jobs, return_as="generator_unordered", **options)(tasks)
        return
    waiting = iter(tasks)
    with parallel(n_jobs, **options) as run:
        together = joblib.effective_n_jobs(-1 if n_jobs is None else n_jobs)
        while some := list(itertools.islice(waiting, together)):
            yield from run(some)


def _packed(value: Any) -> bytes:
    """Pickled, together with the code of the user's own that the workers do not have."""
    import cloudpickle

    with _user_code_by_value():
        return cloudpickle.dumps(value)


@contextmanager
def _user_code_by_value() -> Iterator[None]:
    """Pickle functions and classes from modules that are not installed as what they are.

    Workers are expected to have this library and what is installed here; a study or a network
    in a folder of the user's travels.
    """
    import cloudpickle

    known = set(cloudpickle.list_registry_pickle_by_value())
    new = [m for name, m in list(sys.modules.items()) if name not in known and _is_users(m)]
    for module in new:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in new:
            cloudpickle.unregister_pickle_by_value(module)


_OURS = Path(__file__).parents[1]
_STANDARD = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]


def _is_users(module: Any) -> bool:
    """Whether a module, or what stands for one, is of a file that a worker does not have."""
    file = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "__main__")
    if not isinstance(file, str) or name == "__main__" or sys.modules.get(name) is not module:
        return False
    return _is_users_file(file)


_known: dict[str, bool] = {}


def _is_users_file(file: str) -> bool:
    """Likewise, by the file; asked some thousand times for every task."""
    if file not in _known:
        path = Path(file).resolve()
        installed = {"site-packages", "dist-packages"} & set(path.parts)
        inside = any(path.is_relative_to(folder) for folder in (_OURS, *_STANDARD))
        _known[file] = path.suffix == ".py" and not installed and not inside
    return _known[file]
