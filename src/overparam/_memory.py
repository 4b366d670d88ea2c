"""How much memory there is, asked before it is taken."""

from pathlib import Path

import torch

from overparam._errors import expect

GIB = 2**30
# The largest block for which glibc still adapts its bounds is 32 MiB with its header.
_ADAPTS = 31 * 2**20
_GROUP = Path("/sys/fs/cgroup")


def available(device: torch.device) -> int | None:
    """Bytes that can still be allocated on `device`; `None` where that cannot be known."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    if device.type != "cpu":
        return None
    known = [value for value in (_system(), _group()) if value is not None]
    return min(known, default=None)


def keep_freed_memory() -> None:
    """Let the C library keep what one pass frees for the next, on the CPU.

    glibc returns freed memory to the system beyond twice the largest block that it has ever
    mapped and freed, and fresh pages cost about as much as the work that is done on them. One
    block of the largest size that counts, freed untouched, raises the bound to 62 MiB for the
    process, as any tensor of that size does.
    """
    torch.empty(_ADAPTS, dtype=torch.uint8)


def expect_room(needed: float, device: torch.device, where: str, hint: str) -> None:
    """Raise if `needed` bytes for a kernel do not fit; `hint` says what to try instead."""
    room = available(device)
    expect(
        room is None or needed <= room,
        where,
        f"a kernel that fits into the {(room or 0) / GIB:.2f} GiB available",
        f"one that needs about {needed / GIB:.2f} GiB",
        hint=hint,
        error=MemoryError,
    )


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
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        used = int((_GROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used) if limit.isdigit() else None
