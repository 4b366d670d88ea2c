"""How much memory there is, asked before it is taken."""

from typing import TYPE_CHECKING, Any

from overparam import _memory_limits
from overparam._errors import expect

if TYPE_CHECKING:
    import torch

GIB = 2**30
# The largest block for which glibc still adapts its bounds is 32 MiB with its header.
_ADAPTS = 31 * 2**20


def available(device: "torch.device | None" = None) -> int | None:
    """Bytes that can still be allocated; `None` where that cannot be known.

    On the processor that is the least of what the system has, of what each control group around
    this process leaves, and of what its own limits leave (`ulimit -v`, `ulimit -d`).

    Args:
        device: Where; `None` is the machine's own memory, for which torch is not loaded.
    """
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


def expect_room(
    needed: float, device: "torch.device | None", where: str, hint: str, what: str = "a kernel"
) -> None:
    """Raise if `needed` bytes, of `what`, do not fit; `hint` says what to try instead."""
    room = available(device)
    expect(
        room is None or needed <= room,
        where,
        f"{what} that fits into the {(room or 0) / GIB:.2f} GiB available",
        f"one that needs about {needed / GIB:.2f} GiB",
        hint=hint,
        error=MemoryError,
    )


def _host() -> int | None:
    """Of the machine's own memory."""
    asked = (_memory_limits.system, _memory_limits.control_groups, _memory_limits.process)
    return min((room for ask in asked if (room := ask()) is not None), default=None)
