"""Where a document's numbers come from: one record, of the same form in every document."""

import hashlib
import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

_PACKAGES = ("overparam", "torch", "numpy", "scipy", "scikit-learn")
# Of a larger array rows at equal distances are hashed: a digest must not cost a part of the work.
_MOST_BYTES = 2**26


def environment(
    *,
    seconds: float,
    seed: int,
    device: Any = "cpu",
    threads: int,
    data: Any = None,
    command: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Versions, machine, data, seed, date and duration, as plain data.

    Args:
        seconds: Wall time.
        seed: Of everything random.
        device: Where it was computed.
        threads: On how many threads of it.
        data: `digest` of the data, or one for each set; `None` where each part draws its own.
        command: What repeats it.
        more: What only one kind of document has.
    """
    return {
        **{name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(device),
        "threads": threads,
        "data": data,
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        **more,
        "command": command,
    }


def digest(*parts: Any) -> str:
    """A hash of arrays, tensors, words and collections of them, in their order.

    Their types, shapes and bytes count, whoever holds them: a tensor and an array of the same
    numbers have one digest.

    Cost: a pass over the bytes, of 64 MiB of an array at most.

    Example:
        >>> import numpy as np
        >>> digest("x", np.arange(3)) == digest("x", np.arange(3))
        True
        >>> digest("x", np.arange(3)) == digest("x", np.arange(3.0))
        False
    """
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        _add(found, part)
    return found.hexdigest()


def _add(found: Any, part: Any) -> None:
    if isinstance(part, Mapping):
        part = list(part.items())
    if isinstance(part, (list, tuple)):
        found.update(f"{len(part)}:".encode())
        for member in part:
            _add(found, member)
    elif hasattr(part, "dtype") and hasattr(part, "shape"):
        dtype = str(part.dtype).removeprefix("torch.")
        found.update(f"{dtype}{tuple(part.shape)}".encode())
        found.update(_bytes(part))
    else:
        found.update(f"{part!r};".encode())


def _bytes(array: Any) -> Any:
    """The bytes of an array or a tensor, of rows at equal distances if there are too many."""
    import numpy as np

    if array.shape:
        array = array[:: max(math.ceil(array.nbytes / _MOST_BYTES), 1)]
    if hasattr(array, "detach"):
        import torch

        flat = array.detach().cpu().contiguous().reshape(-1)
        return flat.view(torch.uint8).numpy()
    if array.dtype.kind == "O":
        return repr(array.tolist()).encode()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
