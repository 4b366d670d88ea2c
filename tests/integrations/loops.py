"""What every loop of the table must hold: nothing changes, and what is not filled says why."""

import html
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from overparam.dynamics import Monitor

# Columns that are filled together, by a word for what they tell.
COLUMNS = {
    "loss": ("loss", "lr"),
    "norms": ("grad_norm", "update_norm", "weight_norm", "distance"),
    "sharpness": ("sharpness", "sharpness_limit", "stability_ratio"),
    "batch": ("batch_critical_lr",),
    "split": ("loss_top", "loss_rest"),
    "kernel": ("kernel_change",),
    "inputs": ("agop_trace",),
}
# What any monitor leaves open in a run that is as short as that of a row, by reasons.
UNKNOWN = (
    "it takes 4 measurements|one measurement outweighs all others together"
    "|the signal cannot be told from zero"
)
ALWAYS: dict[str, str] = dict.fromkeys(
    ("noise_scale_low", "noise_scale", "noise_scale_high"), UNKNOWN
)
# The probe that fills them.
PROBES = {
    "norms": "norms", "sharpness": "sharpness", "batch": "batch critical rate",
    "split": "loss split", "kernel": "kernel change", "inputs": "input gradients",
}  # fmt: skip
# Reasons of columns that are empty in many loops.
EARLY = dict.fromkeys(("sharpness", "batch"), "AdamW has no limit of stability in its first steps")
WHOLE = {"inputs": "inputs that are whole numbers"}
SEVERAL = {"inputs": "inputs of several tensors"}
TIED = {"split": "trained with the statistics of its batches"}
# A run, with the monitor or without: the weights at its end, and the monitor.
Run = Callable[[bool], tuple[Mapping[str, Tensor], Monitor | None]]


def watched_and_not(run: Run) -> tuple[Monitor, str]:
    """The monitor of a run that ends with the same bits as without it, and what was warned of."""
    plain, _ = run(False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state, monitor = run(True)
    for name, value in plain.items():
        assert torch.equal(value, state[name]), f"{name} differs"
    assert monitor is not None
    said = [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]
    return monitor, "\n".join(dict.fromkeys(said))


def filled(monitor: Monitor) -> set[str]:
    """What has been measured at least once."""
    history = monitor.history
    return {
        word
        for word, names in COLUMNS.items()
        if all(name in history and history[name].notna().any() for name in names)
    }


def expect_words(monitor: Monitor) -> None:
    """Every column that stays empty is said to, with a reason, wherever the monitor is shown."""
    history, shown = monitor.history, (monitor.summary(), monitor._repr_html_())
    for probe in monitor.status():
        empty = [key for key in probe.keys if key not in history or not history[key].notna().any()]
        if not empty:
            assert not probe.lacks, f"{probe.name} lacks nothing, and says {probe.lacks}"
            continue
        if probe.status != "measures":
            says = probe.status
        else:
            says = probe.lacks
            assert says.partition(": ")[0] == ", ".join(empty), f"{probe.name} says {says}"
            assert all(re.fullmatch(ALWAYS[key], says.partition(": ")[2]) for key in empty), says
        assert says.partition(": ")[2], f"{probe.name} leaves {empty} open, and says {says}"
        for page in shown:
            assert says in html.unescape(page), f"{page} does not say that {says}"


def check(run: Run, empty: Mapping[str, str], *, steps: int = 2) -> Any:
    """Hold a loop to its row of the table; the history comes back.

    Args:
        run: The loop.
        empty: What is not measured, with a pattern of the reason that the summary gives.
        steps: How many the loop takes.
    """
    monitor, said = watched_and_not(run)
    summary, reasons = monitor.summary(), {one.name: one.status for one in monitor.status()}
    missing = COLUMNS.keys() - filled(monitor)
    assert missing == empty.keys(), f"{missing ^ empty.keys()}: {reasons}, {said}"
    for word in missing:
        why = reasons[PROBES[word]].partition(": ")[2]
        assert why, f"{word} is not filled, and nothing says why"
        assert why in summary
        assert re.search(empty[word], why), f"{word} is not filled, since {why}"
    expect_words(monitor)
    assert len(monitor.history) == steps
    return monitor.history
