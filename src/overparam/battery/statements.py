"""What a search for electrodes concludes, each with the number it rests on."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from overparam._statement import Statement
from overparam._told import real
from overparam.battery.exploration import TRUSTED
from overparam.battery.process import ProcessModel
from overparam.battery.simulation import OBJECTIVES
from overparam.battery.surrogate import Surrogate

GOOD = 0.98  # a share of the variance
# A prediction off by more is told as a warning.
CLOSE = 0.02
# A parameter within this part of its window of an end counts as being there.
_END = 0.02


def conclusions(
    process: ProcessModel,
    table: Any,
    surrogate: Surrogate,
    chosen: Mapping[str, Any],
    gain: Mapping[str, float],
    errors: Mapping[str, float | None],
) -> list[Statement]:
    """The statements of a design, in the order they are read.

    Args:
        process: The process model.
        table: Simulated designs.
        surrogate: Fitted to the sampled ones.
        chosen: Designs of the simulated front by label, the knee among them.
        gain: Dominated areas; ``"ratio"`` is told.
        errors: By objective the largest relative error on checked designs.
    """
    return [
        *_surrogate(surrogate),
        *_knee(process, surrogate, chosen["knee"]),
        *_ends(process, surrogate, chosen),
        *_checked(table, gain, errors),
        *_windows(process, table[table["front"]]),
        *_failures(table),
    ]


def _surrogate(surrogate: Surrogate) -> Iterator[Statement]:
    worst = min(surrogate.quality, key=lambda name: surrogate.quality[name].r2)
    r2 = surrogate.quality[worst].r2
    each = ", ".join(
        f"{_words(name)} R² {_floored(quality.r2)}, median error {real(100 * quality.error, 2)} %"
        for name, quality in surrogate.quality.items()
    )
    text = f"On designs it was not fitted to, the surrogate explains: {each}."
    if r2 < TRUSTED:
        yield Statement(
            "surrogate",
            f"{text} That is too little to search it: the front is that of the sampled designs.",
            r2, TRUSTED, "Raise the budget, or narrow the window of the process.", "critical",
            f"It is searched from an R² of {TRUSTED} on.",
        )  # fmt: skip
        return
    level = "good" if r2 >= GOOD else "warning"
    action = "" if level == "good" else "Raise the budget; trust checked designs alone."
    bar = f"Good from an R² of {GOOD} on."
    yield Statement("surrogate", text, r2, GOOD, action, level, bar)


def _knee(process: ProcessModel, surrogate: Surrogate, design: Any) -> Iterator[Statement]:
    first, second = surrogate.objectives
    yield Statement(
        "compromise",
        f"The best compromise gives {_amount(first, design)} and {_amount(second, design)}: "
        f"{_at(process, design)}; {_made(design)}.",
        float(design[first]), float("nan"), "", "good",
    )  # fmt: skip


def _ends(
    process: ProcessModel, surrogate: Surrogate, chosen: Mapping[str, Any]
) -> Iterator[Statement]:
    for name in surrogate.objectives:
        design = chosen[f"most {name}"]
        others = ", ".join(_amount(n, design) for n in surrogate.objectives if n != name)
        yield Statement(
            name,
            f"The most {_words(name)} is {_amount(name, design)}, with {others}: "
            f"{_at(process, design)}; {_made(design)}.",
            float(design[name]), float("nan"), "", "info",
        )  # fmt: skip


def _checked(
    table: Any, gain: Mapping[str, float], errors: Mapping[str, float | None]
) -> Iterator[Statement]:
    if not (table["stage"] == "checked").any():
        return
    known = [error for error in errors.values() if error is not None]
    ratio = gain["ratio"]
    text = f"The simulated front dominates {real(ratio, 3)} times the area of the sampled designs"
    if not known:
        yield Statement(
            "check", "No proposed design could be simulated: the front is that of the sampled.",
            float("nan"), CLOSE, "Look at the failures.", "critical",
        )  # fmt: skip
        return
    worst = max(known)
    level = "good" if worst <= CLOSE else "warning"
    action = "" if level == "good" else "Trust the checked designs, not the surrogate's front."
    yield Statement(
        "check",
        f"{text}; there the surrogate is off by at most {real(100 * worst, 2)} %.",
        worst, CLOSE, action, level, f"Good up to {100 * CLOSE:g} %.",
    )  # fmt: skip


def _windows(process: ProcessModel, best: Any) -> Iterator[Statement]:
    """Parameters that the window decides, not the physics."""
    for name, (low, high) in process.bounds.items():
        place = (best[name] - low) / (high - low)
        for word, end, there in (("upper", high, place >= 1 - _END), ("lower", low, place <= _END)):
            share = float(there.mean())
            if share >= 0.9:
                yield Statement(
                    f"window of {_plain(name)}",
                    f"{real(100 * share, 3)} % of the front lie at the {word} end of the window "
                    f"of {_plain(name)}, {real(end)}: the window decides it, not a trade.",
                    share, 0.9,
                    f"Ask whether {_plain(name)} can go further, and whether the process model "
                    "still holds there.",
                    "info", "Told from 90 % of the front on.",
                )  # fmt: skip


def _failures(table: Any) -> Iterator[Statement]:
    failed = table["failure"][table["failure"] != ""]
    if len(failed):
        yield Statement(
            "failures",
            f"Simulations of {len(failed)} of {len(table)} designs failed and are left out, the "
            f"first: {failed.iloc[0]}.",
            float(len(failed)), 0.0, "", "warning",
        )  # fmt: skip


def _floored(r2: float) -> str:
    """Four digits, never rounded up to a whole that it is not."""
    return real(math.floor(1e4 * r2) / 1e4, 4) if math.isfinite(r2) else str(r2)


def _words(objective: str) -> str:
    return OBJECTIVES[objective].words


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _amount(objective: str, design: Any) -> str:
    return f"{real(float(design[objective]))} {OBJECTIVES[objective].unit}"


def _at(process: ProcessModel, design: Any) -> str:
    return ", ".join(f"{_plain(name)} {real(float(design[name]), 3)}" for name in process.bounds)


def _made(design: Any) -> str:
    micrometres = real(1e6 * float(design["thickness"]), 3)
    return f"{micrometres} µm thick, porosity {real(float(design['porosity']), 3)}"
