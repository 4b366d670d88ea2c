"""Rates of an optimizer that a scheduler has hold of: those written down, and new ones instead."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

# What schedulers note in a group, and in themselves, all in proportion to the rate.
_OF_GROUPS = ("lr", "initial_lr", "max_lr", "min_lr")
_OF_SCHEDULERS = ("base_lrs", "max_lrs", "_last_lr")


def peak_rates(optimizer: Optimizer) -> list[float]:
    """The rate of each group as its user wrote it: the height of a cycle, or where it begins.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        >>> _ = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=9)
        >>> round(optimizer.param_groups[0]["lr"], 2), peak_rates(optimizer)
        (0.02, [0.5])
    """
    return [
        float(group.get("max_lr", group.get("initial_lr", group["lr"])))
        for group in optimizer.param_groups
    ]


def without_schedule(optimizer: Optimizer) -> None:
    """Set every group to its peak, and let it forget its scheduler."""
    for group, rate in zip(optimizer.param_groups, peak_rates(optimizer), strict=True):
        if "initial_lr" in group:
            _put(group, "lr", rate)
        for name in _OF_GROUPS[1:]:
            group.pop(name, None)


def rescale(optimizer: Optimizer, schedulers: Iterable[Any], rate: float) -> None:
    """Give the fastest group that peak, all others and the schedules in proportion.

    Args:
        optimizer: Changed in place.
        schedulers: Of this optimizer; those of which one is made up are looked for.
        rate: The peak.
    """
    top = max(peak_rates(optimizer))

    def scaled(value: Any) -> float:
        return rate * (float(value) / top) if top else rate

    for group in optimizer.param_groups:
        for name in _OF_GROUPS:
            if name in group:
                _put(group, name, scaled(group[name]))
    several = list(schedulers)
    while several:
        one = several.pop()
        several += getattr(one, "_schedulers", ())
        for name in _OF_SCHEDULERS:
            if isinstance(known := vars(one).get(name), list):
                vars(one)[name] = [scaled(value) for value in known]


def _put(group: dict[str, Any], name: str, value: float) -> None:
    if isinstance(group[name], Tensor):
        group[name].fill_(value)
    else:
        group[name] = value
