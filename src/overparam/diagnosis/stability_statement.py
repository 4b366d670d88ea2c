"""How close to the limit of stability a run was, in words."""

import math
from statistics import median

from overparam._curves import course
from overparam._statement import Statement
from overparam._told import limits, part_of_limit
from overparam._told import real as show
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.rate_of_run import rate_to_set
from overparam.diagnosis.run_facts import larger, learned_nothing, longer, unmeasured

# From this part of the limit on a run counts as at the edge.
_EDGE = 0.8
# And from this multiple of it on as beyond the edge.
_BEYOND = 2.0


def stability_of_run(found: Findings) -> Statement:
    """How close to the limit of stability the run was: an explanation, not advice."""
    if found.no_limit:
        return Statement(
            "stability",
            f"Cannot tell how close the run was to its stable limit: that of {found.no_limit}.",
            math.nan, 1.0, "", "unknown",
        )  # fmt: skip
    known = [ratio for ratio in found.ratios if math.isfinite(ratio)]
    where = [limit for limit in found.limits if math.isfinite(limit)]
    why, action = unmeasured(found)
    if why and not known:
        return Statement(
            "stability", f"Cannot tell how close the run was to its stable limit: {why}.",
            math.nan, 1.0, action, "unknown",
        )  # fmt: skip
    if found.unsharp and not known:
        return Statement(
            "stability",
            f"Cannot tell how close the run was to its stable limit: {found.unsharp}.",
            math.nan, 1.0, "", "unknown",
        )  # fmt: skip
    if lost := learned_nothing(found):
        return Statement(
            "stability",
            f"The stable limit is not told: {lost}, and the limit of a network that learned "
            "nothing says nothing of one that does.", math.nan, 1.0, longer(found), "unknown",
        )  # fmt: skip
    if not (known and where):
        more = {
            0: ": there was no time to measure it",
            1: ": its one measurement did not settle",
        }.get(found.unsettled, f": none of {found.unsettled:,} measurements settled")
        return Statement(
            "stability", f"Cannot tell how close the run was to its stable limit{more}.",
            math.nan, 1.0,
            larger(found, f"leaves time to measure it{' more often' * bool(found.unsettled)}"),
            "unknown",
        )  # fmt: skip
    trend = course(known)
    last = median(known) if trend is None else trend[1]
    advised, _ = rate_to_set(found)
    where_at = "beyond" if last > _BEYOND else "at"
    edge = (
        f" So it trained {where_at} the edge of stability; the limit follows the rate in use, so "
        "that this is no reason to lower it, nor a ceiling for a fresh training."
        if last > _EDGE
        else f" The limit follows the rate in use: it is no ceiling for a fresh training at "
        f"{show(advised)}."
        if advised > min(course(where) or (median(where),))
        else ""
    )
    left_out = f" ({found.unsettled} more did not settle)" if found.unsettled else ""
    return Statement(
        "stability",
        f"The stable limit, above which small errors grow, was {limits(where)}{left_out}; the run "
        f"used {part_of_limit(known, 'it')}.{edge}",
        last, _EDGE, "", "info", f"At the edge of stability from {show(_EDGE)} of the limit.",
    )  # fmt: skip
