"""Loss spikes as a table."""

from collections.abc import Callable, Mapping
from itertools import compress
from typing import Any

from overparam.report.figures.figure import Table, leading
from overparam.report.numbers import number, percent
from overparam.report.series import read_series
from overparam.report.settled import parted

# It is told by how gradients and rate move; the limit itself may not have been measured.
_SIGNS = "as above the limit"
# Examples of a batch that are named.
_SHOWN = 3


def event_table(events: list[Mapping] | None) -> Table | None:
    """The loss spikes, in the columns that hold anything; `None` where nobody looked for any."""
    if events is None:
        return None
    cells = [[cell(event) for cell in _EVENT.values()] for event in events]
    known = [any(row[i] is not None for row in cells) for i in range(len(_EVENT))]
    return leading(list(compress(_EVENT, known)), [list(compress(row, known)) for row in cells])


def settled_events(document: Mapping) -> list[Mapping] | None:
    """The events of a document, without what rests on a measurement that did not settle."""
    sharpness = read_series(document, "sharpness")
    _, left = (None, None) if sharpness is None else parted(document, "sharpness", sharpness)
    if document["events"] is None or left is None:
        return document["events"]
    unsettled = {value for _, value in left.measured}
    return [_without(event, unsettled) for event in document["events"]]


def _without(event: Mapping, unsettled: set[float]) -> Mapping:
    """An event as it is, but for a sharpness of these and what follows from it."""
    before, after = (event.get(f"sharpness_{when}") in unsettled for when in ("before", "after"))
    return {
        **event,
        **({"sharpness_before": None, "ratio_before": None} if before else {}),
        **({"sharpness_after": None} if after else {}),
    }


def _cause(event: Mapping) -> Any:
    """What made the loss rise; records of earlier versions have one word for all of it."""
    cause = event.get("cause") or event.get("kind")
    return _SIGNS if cause == "above the limit" else cause


def _outcome(event: Mapping) -> Any:
    """What became of it, where the cause does not say so."""
    return event.get("outcome") or None


def _place(event: Mapping) -> str | None:
    """Where it began: layers, and groups of parameters."""
    layers, groups = event.get("layers") or [], event.get("groups") or []
    shown = ", ".join(map(str, layers[:4]))
    shown += f" and {len(layers) - 4} more" if len(layers) > 4 else ""
    named = f"group {', '.join(map(str, groups))}" if groups else ""
    return "; ".join(part for part in (shown, named) if part) or None


def _recovery(event: Mapping) -> Any:
    """Steps until the loss was back."""
    steps = event.get("steps_to_recover")
    return "not recovered" if steps is None else steps


def _around(event: Mapping) -> str | None:
    """Sharpness before and after a spike, as far as it was measured."""
    ends = event.get("sharpness_before"), event.get("sharpness_after")
    if ends == (None, None):
        return None
    before, after = (number(end, 3) if end is not None else "?" for end in ends)
    return f"{before} → {after}"


def _samples(event: Mapping) -> str | None:
    """The examples of the batches; of many, the first."""
    ids = event.get("ids")
    if not isinstance(ids, list):
        return None
    shown = ", ".join(str(item) for item in ids[:_SHOWN])
    more = len(ids) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _share(event: Mapping) -> str | None:
    """How much of the rise lay in the leading directions."""
    share = event.get("top_share")
    return None if share is None else percent(share)


# Heading: what an event has to say under it.
_EVENT: dict[str, Callable[[Mapping], Any]] = {
    "step": lambda event: event.get("step"),
    "cause": _cause,
    "outcome": _outcome,
    "began in": _place,
    "peak / before": lambda event: event.get("peak_ratio"),
    "steps to recover": _recovery,
    "rate / limit before": lambda event: event.get("ratio_before"),
    "share in leading directions": _share,
    "sharpness": _around,
    "reason": lambda event: event.get("reason"),
    "examples of this batch and the one before": _samples,
}
