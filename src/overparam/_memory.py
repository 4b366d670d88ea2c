"""How much memory there is, asked before it is taken.

Whatever is large asks here: `expect_room` before it is made, `fits` where there is another way
without it, `part_of` for the size of what is held at once.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any

from overparam import _memory_limits
from overparam._errors import expect

if TYPE_CHECKING:
    import torch

GIB = 2**30
# The largest block for which glibc still adapts its bounds is 32 MiB with its header.
_ADAPTS = 31 * 2**20
# Those that hold now; the least counts.
_LIMITS: list[float] = []


@contextmanager
def memory_limit(limit: float) -> Iterator[None]:
    """Let nothing that the library forms take more than `limit` bytes, within the block.

    What is computed in parts takes smaller ones; what cannot be is refused before it is begun,
    as where the machine has no more. The limit is on each thing on its own (a kernel, a matrix
    with what its decomposition needs, a table), on every device, not on the process. Worker
    processes have their own: for them, and for a whole run, set ``OVERPARAM_MEMORY`` in the
    environment, in bytes.

    Args:
        limit: Bytes, more than 0. Of nested limits the least counts.

    Raises:
        ValueError: If it is no positive number.

    Example:
        >>> import torch, overparam as op
        >>> try:
        ...     with op.memory_limit(1e4):
        ...         op.empirical_ntk(torch.nn.Linear(9, 1), torch.ones(99, 9))
        ... except MemoryError:
        ...     print("99 × 99 numbers are more")
        99 × 99 numbers are more
    """
    positive = isinstance(limit, Real) and limit > 0
    expect(positive, "memory_limit(limit=...)", "a positive number of bytes", repr(limit))
    _LIMITS.append(limit)
    try:
        yield
    finally:
        _LIMITS.remove(limit)


def available(device: "torch.device | None" = None) -> int | None:
    """Bytes that can still be allocated; `None` where that cannot be known.

    On the processor that is the least of what the system has, of what each control group around
    this process leaves, and of what its own limits leave (`ulimit -v`, `ulimit -d`).

    Args:
        device: Where; `None` is the machine's own memory, for which torch is not loaded.
    """
    known = [room for room in (_free(device), _asked(), *_LIMITS) if room is not None]
    least = min(known, default=math.inf)
    return None if least == math.inf else int(least)


def _free(device: "torch.device | None") -> int | None:
    """Bytes that the device has left."""
    if device is None or device.type == "cpu":
        return _host()
    import torch

    if device.type == "mps":
        # Of the machine's memory, of which Metal recommends a part at most.
        room = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return min(max(0, room), _host() or room)
    module: Any = getattr(torch, device.type, None)  # such as torch.cuda or torch.xpu
    if not hasattr(module, "mem_get_info"):
        return None
    reserved = module.memory_reserved(device) - module.memory_allocated(device)
    return module.mem_get_info(device)[0] + reserved


def keep_freed_memory() -> None:
    """Let the C library keep what one pass frees for the next, on the CPU.

    glibc returns freed memory to the system beyond twice the largest block that it has ever
    mapped and freed, and fresh pages cost about as much as the work that is done on them. One
    block of the largest size that counts, freed untouched, raises the bound to 62 MiB for the
    process, as any tensor of that size does.
    """
    import torch

    torch.empty(_ADAPTS, dtype=torch.uint8)


def fits(needed: float, device: "torch.device | None") -> bool:
    """Whether so many bytes can be taken, as far as one can know."""
    room = available(device)
    return room is None or needed <= room


def part_of(share: float, most: int, device: "torch.device | None") -> int:
    """Bytes for what is held at once: a share of what there is, `most` at most."""
    room = available(device)
    return most if room is None else min(most, int(share * room))


def expect_room(
    needed: float, device: "torch.device | None", where: str, hint: str, what: str = "a kernel"
) -> None:
    """Raise if `needed` bytes, of `what`, do not fit; `hint` says what to try instead."""
    room = available(device)
    expect(
        room is None or needed <= room,
        where,
        f"{what} that fits into the {_size(room or 0)} available",
        f"one that needs about {_size(needed)}",
        hint=hint,
        error=MemoryError,
    )


def _size(count: float) -> str:
    """Bytes in the unit that leaves a number one can read."""
    units = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
    found = next((unit for unit, size in units.items() if count >= size), None)
    return f"{count / units[found]:.3g} {found}" if found else f"{count:.0f} bytes"


def _asked() -> int | None:
    """The limit that the environment sets."""
    words = os.environ.get("OVERPARAM_MEMORY", "").strip()
    expect(
        not words or (words.isdecimal() and int(words) > 0), "OVERPARAM_MEMORY",
        "a positive number of bytes", repr(words), hint="4294967296 are 4 GiB.",
    )  # fmt: skip
    return int(words) if words else None


def _host() -> int | None:
    """Of the machine's own memory."""
    asked = (_memory_limits.system, _memory_limits.control_groups, _memory_limits.process)
    return min((room for ask in asked if (room := ask()) is not None), default=None)
