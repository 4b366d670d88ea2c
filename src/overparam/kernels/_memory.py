"""How much memory there is, asked before a kernel matrix takes it."""

from pathlib import Path

import torch

from overparam._errors import expect

GIB = 2**30


def available(device: torch.device) -> int | None:
    """Bytes that can still be allocated on `device`; None where that cannot be known."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def expect_room(needed: float, device: torch.device, where: str) -> None:
    """Raise if `needed` bytes do not fit."""
    room = available(device)
    expect(
        room is None or needed <= room,
        where,
        f"a kernel matrix that fits into the {(room or 0) / GIB:.2f} GiB available",
        f"one that needs about {needed / GIB:.2f} GiB with its factor",
        hint="use solver='eigenpro', which needs memory proportional to n, or fewer rows.",
        error=MemoryError,
    )
