"""Devices other than the CPU: they compute behind the host's back, and not all have float64."""

from typing import Any

import torch

from overparam._errors import expect


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done all it was given, so that a clock reads what it took."""
    if device.type in ("cpu", "meta"):
        return
    module: Any = getattr(torch, device.type, None)
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None and accelerator.type == device.type:
        torch.accelerator.synchronize(device)
    elif hasattr(module, "synchronize"):  # one that torch does not count among them
        module.synchronize(*(() if device.type == "mps" else (device,)))


def expect_device(device: Any, where: str) -> torch.device:
    """The device that is meant, if this machine has it and it holds numbers."""
    problem = ""
    try:
        float(torch.zeros(1, device=device))
    except (RuntimeError, AssertionError, NotImplementedError, ImportError, TypeError) as error:
        problem = str(error).strip().partition("\n")[0]
    expect(
        not problem, where, "a device of this machine", f"{str(device)[:60]!r}: {problem}",
        hint="'cpu' is always there.",
    )  # fmt: skip
    return torch.device(device)


def of_operator(matvec: Any) -> tuple[torch.device, torch.dtype]:
    """Where an operator's products are computed, and in what, as far as it says.

    A bound method, such as `GGNOperator.matvec`, says so by its object; of a plain
    function nothing is known, and torch's defaults are taken.
    """
    owner = getattr(getattr(matvec, "func", matvec), "__self__", None)
    device, dtype = getattr(owner, "device", None), getattr(owner, "dtype", None)
    dtype = dtype if isinstance(dtype, torch.dtype) else None
    device = device if isinstance(device, torch.device) else torch.get_default_device()
    return device, dtype or torch.get_default_dtype()
