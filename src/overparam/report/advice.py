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


# What a diagnosis measured to explain is no setting: limits and critical batch sizes are not here.
_MEANINGS = {
    "learning_rate": ("Learning rate", "advised for this optimizer at this batch size"),
    "lowest": ("Interval from", "the best rate is expected from here"),
    "highest": ("Interval to", "to here"),
    "optimizer": ("Optimizer", "the one these rates hold for"),
    "batch_size": ("Batch size", "the one these rates hold for"),
    "momentum": ("Momentum", "coefficient from the same spectrum"),
    "mass_lr": ("MaSS learning rate", "η of Liu and Belkin (2020), arXiv:1810.13395"),
    "mass_alpha": ("MaSS α", "the momentum coefficient is (1 − α)/(1 + α)"),
    "mass_kappa_t": ("MaSS κ̃", "strength of the compensation; 1 is Nesterov's method"),
}

# Rows that go where there is no number, for nothing is advised of these.
_OPTIONAL = ("lowest", "highest", "momentum")


def settings(advice: Mapping) -> list[Setting]:
    """The settings an advice names, in the order of the table; a value of `None` is kept.

    Example:
        >>> settings({"learning_rate": 0.1, "stable_limit": 0.2})[0].name
        'Learning rate'
    """
    values, told = dict(advice), advice.get("set") or {}
    values |= dict(zip(("lowest", "highest"), advice.get("interval") or [], strict=False))
    values |= {f"mass_{key}": value for key, value in (advice.get("mass") or {}).items()}
    meanings = dict(_MEANINGS)
    rate, low, high = (told.get("learning_rate"), values.get("lowest"), values.get("highest"))
    if told.get("meaning"):  # documents of earlier versions have the rate of the race alone
        values["learning_rate"] = rate
        meanings["learning_rate"] = ("Learning rate", str(told["meaning"]))
    if told and rate is None:  # nor is there anything that rates hold for
        return [Setting("Learning rate", "none", meanings["learning_rate"][1])]
    if rate is not None and low is not None and high is not None and not low <= rate <= high:
        values |= {"lowest": None, "highest": None}
    return [
        Setting(label, values[key], meaning)
        for key, (label, meaning) in meanings.items()
        if key in values and (key not in _OPTIONAL or values[key] is not None)
    ]
