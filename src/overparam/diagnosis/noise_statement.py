"""What the gradient noise of a run says, in words. Nothing here has seen a tensor."""

import math

from overparam._statement import Statement
from overparam.optim.noise_scale import FEWEST, NoiseScale

_ABOUT = "how much of a step's gradient is noise"


def noise_statement(
    found: NoiseScale | None,
    *,
    batch_size: int,
    times: int,
    lost: str = "",
    unmeasured: tuple[str, str] = ("", ""),
) -> Statement:
    """How noisy gradients of the run were, at its batch size: a measurement, not advice.

    Args:
        found: Of the run; `None` where it was not measured.
        batch_size: Examples per step.
        times: Measurements it rests on.
        unmeasured: Why it could not be measured, if that is known, and what would do.
        lost: Why its gradients say nothing, where the run diverged or the network died.
    """
    if lost:
        return _unknown(f"Cannot tell {_ABOUT}: {lost}.", batch_size)
    if found is None or not times:
        why, action = unmeasured
        return _unknown(
            f"Cannot tell {_ABOUT}: {why or 'it was not measured'}.", batch_size, action
        )
    counted = f"{times} measurement{'s' * (times > 1)}"
    if not found.known and times < FEWEST:
        verb = "is" if times == 1 else "are"
        return _unknown(f"Cannot tell {_ABOUT}: {counted} of it {verb} too few.", batch_size)
    if not found.known and found.signal > 0 and not found.low:
        return _unknown(
            f"Cannot tell {_ABOUT}: of {counted} one outweighs all others together.",
            batch_size,
        )
    if not found.known:
        least = (
            f" The noise scale is at least {_examples(found.low)}."
            if 0 < found.low < math.inf
            else ""
        )
        return _unknown(
            f"Cannot tell {_ABOUT}: in {counted} the gradient that all batches share "
            f"cannot be told from zero.{least}",
            batch_size,
        )
    part = found.scale / (found.scale + batch_size)
    return Statement(
        "noise",
        f"{_show(100 * part)} % of a step's gradient was noise, at {batch_size} examples; it is "
        f"half at the noise scale, {_examples(found.scale)} ({_show(found.low)} to "
        f"{_show(found.high)}, from {counted} of the run).",
        found.scale, batch_size, "", "info",
    )  # fmt: skip


def _unknown(text: str, batch_size: int, action: str = "") -> Statement:
    return Statement("noise", text, math.nan, batch_size, action, "unknown")


def _examples(number: float) -> str:
    shown = _show(number)
    return f"{shown} example{'s' * (shown != '1')}"


def _show(number: float) -> str:
    """Two digits are more than such a measurement has."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"
