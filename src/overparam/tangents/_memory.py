"""How much memory there is, asked before it is taken."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from overparam._errors import expect

GIB = 2**30


def available(device: torch.device) -> int | None:
    """Bytes that can still be allocated on `device`; `None` where that cannot be known."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    if device.type != "cpu":
        return None
    known = [value for value in (_system(), _group()) if value is not None]
    return min(known, default=None)


def expect_room(needed: int, device: torch.device, where: str) -> None:
    """Raise if `needed` bytes do not fit."""
    room = available(device)
    expect(
        room is None or needed <= room,
        where,
        f"a kernel that fits into the {(room or 0) / GIB:.2f} GiB available",
        f"one that needs about {needed / GIB:.2f} GiB",
        hint="pass fewer examples, or a smaller chunk_size if the result itself fits.",
        error=MemoryError,
    )


def zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros of single or double precision; on the CPU the system's pages, which are so already."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(shape, f"f{dtype.itemsize}"))


def _system() -> int | None:
    """What the operating system reports as available."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _group() -> int | None:
    """What the control group of the process leaves, if it has a limit."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used) if limit.isdigit() else None
