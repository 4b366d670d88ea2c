"""The settings a diagnosis advises, each with what it means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One advised setting: its name, its value, and its convention in a phrase."""

    name: str
    value: Any
    meaning: str


_MEANINGS = {
    "learning_rate": ("Learning rate", "advised for this optimizer at this batch size"),
    "lowest": ("Interval from", "the best rate is expected from here"),
    "highest": ("Interval to", "to here"),
    "steps": ("Trainings compared", "in optimizer steps"),
    "of": ("Training planned", "the one that the rate is for, in optimizer steps"),
    "stable_limit": (
        "Stable limit",
        "the learning rate above which small errors grow; it follows the rate in use",
    ),
    "limit_at_initialisation": ("Limit at initialisation", "the same before any training"),
    "optimizer": ("Optimizer", "the one these rates hold for"),
    "batch_size": ("Batch size", "the one these rates hold for"),
    "m1": ("Critical batch size m₁*", "up to it, twice the batch needs half the steps"),
    "m2": (
        "Critical batch size m₂*",
        "from m₁* to it, twice the batch saves a factor √2; then none",
    ),
    "momentum": ("Momentum", "coefficient from the same spectrum"),
    "mass_lr": ("MaSS learning rate", "η of Liu and Belkin (2020), arXiv:1810.13395"),
    "mass_alpha": ("MaSS α", "the momentum coefficient is (1 − α)/(1 + α)"),
    "mass_kappa_t": ("MaSS κ̃", "strength of the compensation; 1 is Nesterov's method"),
}

# Rows that go where there is no number, for nothing is advised of these.
_OPTIONAL = ("lowest", "highest", "m1", "m2", "momentum", "limit_at_initialisation")


def settings(advice: Mapping) -> list[Setting]:
    """The settings an advice names, in the order of the table; a value of `None` is kept.

    Example:
        >>> settings({"critical_batch_sizes": [3.1, 40.2]})[0].name
        'Critical batch size m₁*'
    """
    values = dict(advice)
    values |= dict(zip(("m1", "m2"), advice.get("critical_batch_sizes") or [], strict=False))
    values |= dict(zip(("lowest", "highest"), advice.get("interval") or [], strict=False))
    values |= advice.get("horizon") or {}
    values |= {f"mass_{key}": value for key, value in (advice.get("mass") or {}).items()}
    return [
        Setting(label, values[key], meaning)
        for key, (label, meaning) in _MEANINGS.items()
        if key in values and (key not in _OPTIONAL or values[key] is not None)
    ]
