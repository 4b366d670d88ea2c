"""Rates of an optimizer that a scheduler has hold of: those written down, and new ones instead."""

import copy
from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from overparam._errors import complaint, expect
from overparam._numbers import described

# What schedulers note in a group, and in themselves, all in proportion to the rate.
_OF_GROUPS = ("lr", "initial_lr", "max_lr", "min_lr")
_OF_SCHEDULERS = ("base_lrs", "max_lrs", "_last_lr")
# Steps that a schedule is laid out for to see whether it can be.
_TRIED = 100

Schedule = Callable[[Optimizer, int], Any]
"""What makes a scheduler, stepped once per optimizer step, for a training of so many steps."""


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


def fastest(optimizer: Optimizer, rates: Sequence[float] | None = None) -> float:
    """The largest of the groups' rates, or of those given, where a group trains anything."""
    groups = optimizer.param_groups
    rates = [float(group["lr"]) for group in groups] if rates is None else rates
    trains = [any(p.requires_grad for p in group["params"]) for group in groups]
    return max([rate for rate, does in zip(rates, trains, strict=True) if does] or rates)


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
    top = fastest(optimizer, peak_rates(optimizer))

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


def laid_out(schedule: Schedule, optimizer: Optimizer, steps: int) -> Any:
    """The scheduler of a training of so many steps, with the peak that the optimizer has now.

    One that brings a peak of its own, as `OneCycleLR` with a number written down does, is scaled.
    """
    before = peak_rates(optimizer)
    scheduler = schedule(optimizer, steps)
    if peak_rates(optimizer) != before:
        rescale(optimizer, [scheduler], fastest(optimizer, before))
    return scheduler


def expect_schedule(schedule: Schedule, optimizer: Optimizer, where: str) -> list[float]:
    """Raise unless it makes a scheduler of the optimizer; the peak of each group under it.

    The optimizer is left as it is.
    """
    stand_in = copy.copy(optimizer)
    stand_in.param_groups = [dict(group) for group in optimizer.param_groups]
    words = "a function of an optimizer and a number of steps that makes a scheduler"
    try:
        made = schedule(stand_in, _TRIED)
    except Exception as problem:
        came = (str(problem).strip() or "no message").splitlines()[0].rstrip(".")
        raise complaint(
            where, words, f"{type(problem).__name__}: {came}", error=TypeError,
            hint="such as schedule=lambda optimizer, steps: CosineAnnealingLR(optimizer, steps).",
        ) from problem  # fmt: skip
    expect(
        callable(getattr(made, "step", None)), where, words, described(made), error=TypeError,
    )  # fmt: skip
    asked = [
        p.name for p in signature(made.step).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]  # fmt: skip
    expect(
        not asked, where, "a scheduler whose step() needs no argument",
        f"{type(made).__name__}, whose step() needs {', '.join(asked)}",
        hint="a rate that falls by what the loss does is none that a plan can be laid out for; "
        "leave schedule out, and compare constant rates.", error=TypeError,
    )  # fmt: skip
    return peak_rates(stand_in)


def put_rates(optimizer: Optimizer, rates: Iterable[float]) -> None:
    """Give each group its rate, in place; a group that has it is left alone."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if float(group["lr"]) != rate:
            _put(group, "lr", rate)


def _put(group: dict[str, Any], name: str, value: float) -> None:
    if isinstance(group[name], Tensor):
        group[name].fill_(value)
    else:
        group[name] = value
