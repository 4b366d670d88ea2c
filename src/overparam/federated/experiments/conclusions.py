"""What a simulation and a comparison conclude, each with the number it rests on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from overparam._statement import Statement
from overparam._told import real

Rows = Sequence[Mapping[str, Any]]
# A mean difference counts from so many of its standard errors on, if all repeats agree in sign.
CLEAR = 2.0
# The worst tenth of clients may be so far below the mean before it is a warning.
LEFT_BEHIND = 0.1
# Squared distances that mixing leaves may be off their closed form by this factor.
_OFF = 1.5
# What rounding in single precision leaves of models that agree, squared, is far below it.
_NOTHING = 1e-6
# Traffic of two algorithms that rounds to the same two digits.
_SAME = 0.005


def last(row: Mapping[str, Any], name: str) -> float:
    """The last value of a curve; NaN where there is none."""
    values = [v for v in row["curve"].get(name) or [] if v is not None]
    return float(values[-1]) if values else math.nan


def quality(row: Mapping[str, Any]) -> float:
    """Accuracy at the end, or the loss, less it."""
    found = last(row, "test_accuracy")
    return found if math.isfinite(found) else -last(row, "test_loss")


def conclusions(runs: Rows, tunings: Rows, own: str) -> list[Statement]:
    """The statements of a document, in the order they are read.

    Args:
        runs: Of all algorithms and seeds.
        tunings: Of each algorithm; empty without a comparison.
        own: The algorithm of the spec.
    """
    ours = [row for row in runs if row["algorithm"] == own]
    rivals = list(dict.fromkeys(row["algorithm"] for row in runs if row["algorithm"] != own))
    outcome = list(_outcome(ours))
    trained = all(one.level != "critical" for one in outcome)
    return [
        *outcome,
        *(_order(ours, [r for r in runs if r["algorithm"] == name], name) for name in rivals),
        *_ends(tunings),
        *_lost(ours),
        *(_clients(ours) if trained else ()),  # whom a broken model leaves behind is no news
        *_drift(ours),
        *_consensus(ours),
        *_privacy(ours),
    ]


def _outcome(rows: Rows) -> Iterator[Statement]:
    first, name = rows[0], rows[0]["algorithm"]
    told = first["curve"].get("test_loss") or []
    loss = [v for v in told if v is not None]
    broken = bool(told) and told[-1] is None  # the last round is always tested
    if broken or not math.isfinite(quality(first)) or (len(loss) > 1 and loss[-1] >= loss[0]):
        end = math.nan if broken else last(first, "test_loss")
        at = "no number" if math.isnan(end) else real(end, 3)
        yield Statement(
            "training", f"{name} does not train: the test loss ends at {at} and began at "
            f"{real(loss[0], 3) if loss else 'none'}.", end, loss[0] if loss else math.nan,
            "Take a smaller lr.", "critical", "The test loss at the end must be below the start's.",
        )  # fmt: skip
        return
    found = [quality(row) for row in rows]
    kind = "accuracy" if first["curve"].get("test_accuracy") else "minus the loss"
    spread = f" ± {real(stdev(found), 2)} over {len(found)} repeats" if len(found) > 1 else ""
    rounds, floats = first["curve"]["round"][-1], last(first, "floats")
    unit = "epochs" if "epsilon" in first["curve"] else "rounds"
    yield Statement(
        "accuracy", f"{name} ends with a test {kind} of {real(fmean(found), 3)}{spread}, after "
        f"{rounds} {unit} and {real(floats, 3)} numbers sent.", fmean(found), math.nan, "", "info",
    )  # fmt: skip


def _order(ours: Rows, theirs: Rows, name: str) -> Statement:
    """Which of two is ahead, or that these repeats cannot tell."""
    own, other = ours[0]["algorithm"], name
    pairs = {row["seed"]: quality(row) for row in theirs}
    gaps = [quality(row) - pairs[row["seed"]] for row in ours if row["seed"] in pairs]
    mean = fmean(gaps)
    error = stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.inf
    sent = last(theirs[0], "floats") / max(last(ours[0], "floats"), 1.0)
    as_much = "as much as" if abs(sent - 1) < _SAME else f"{real(sent, 2)} times as much as"
    traffic = f"{other} sends {as_much} {own}"
    bar = f"Ahead counts if all repeats agree and the mean is {CLEAR:g} standard errors from 0."
    if (min(gaps) > 0 or max(gaps) < 0) and abs(mean) > CLEAR * error:
        ahead, behind = (own, other) if mean > 0 else (other, own)
        return Statement(
            f"against_{other}", f"{ahead} ends {real(abs(mean), 2)} ± {real(error, 2)} above "
            f"{behind} in {len(gaps)} repeats; {traffic}.", mean, CLEAR * error, "", "info", bar,
        )  # fmt: skip
    what = f"± {real(error, 2)}" if math.isfinite(error) else "in a single repeat"
    return Statement(
        f"against_{other}", f"Whether {own} or {other} ends higher cannot be told: "
        f"{real(mean, 2)} {what}; {traffic}.", mean, CLEAR * error, "Raise --repeats.", "unknown",
        bar,
    )  # fmt: skip


def _ends(tunings: Rows) -> Iterator[Statement]:
    at_end = {row["algorithm"]: row["at_end"] for row in tunings if row["at_end"]}
    if at_end:
        named = "; ".join(f"{name}: {', '.join(keys)}" for name, keys in at_end.items())
        yield Statement(
            "tuning", f"The best of the trials lies at an end of what was tried ({named}): a "
            "better one may lie beyond.", float(len(at_end)), 0.0,
            "Read its place in the comparison as a lower bound.", "warning",
            "No best setting should lie at an end of its window.",
        )  # fmt: skip


def _lost(rows: Rows) -> Iterator[Statement]:
    lost = sum(v or 0 for row in rows for v in row["curve"].get("not_finite") or [])
    if lost:
        yield Statement(
            "not_finite", f"{lost} answers of clients held numbers that are not finite, and are in "
            "no sum.", float(lost), 0.0, "Take a smaller lr, or clip_norm.", "warning",
            "All answers should be finite.",
        )  # fmt: skip


def _clients(rows: Rows) -> Iterator[Statement]:
    found = sorted(v for row in rows for v in row.get("client_accuracy") or [] if v is not None)
    if not found:
        return
    tenth = fmean(found[: max(1, len(found) // 10)])
    gap = round(fmean(found) - tenth, 9)
    level = "warning" if gap > LEFT_BEHIND else "good"
    action = "Look at the histogram: a mean hides who is left behind." if gap > LEFT_BEHIND else ""
    yield Statement(
        "clients", f"The worst tenth of the clients has an accuracy of {real(tenth, 3)}, "
        f"{real(gap, 2)} below the mean of all.", gap, LEFT_BEHIND, action, level,
        f"A warning from {LEFT_BEHIND:g} on.",
    )  # fmt: skip


def _drift(rows: Rows) -> Iterator[Statement]:
    curves = [[v for v in row["curve"].get("drift") or [] if v] for row in rows]
    values = [v for curve in curves for v in curve]
    if values:
        end = fmean(curve[-1] for curve in curves if curve)  # as the picture's title has it
        yield Statement(
            "drift", f"At the end of the last round the clients' models lie {real(end, 2)} from "
            f"their mean, at most {real(max(values), 2)} in any.", end, math.nan, "", "info",
            "A root mean square over the clients, in the units of the parameters.",
        )  # fmt: skip


def _consensus(rows: Rows) -> Iterator[Statement]:
    topology = rows[0].get("topology")
    if not topology:
        return
    before, after = (rows[0]["curve"][name] for name in ("spread_before", "spread"))
    left = [(b / a) ** 2 for a, b in zip(before, after, strict=True) if a and b is not None]
    seen, told = fmean(left) if left else math.nan, topology["factor"]
    close = told / _OFF - _NOTHING <= seen <= told * _OFF + _NOTHING
    yield Statement(
        "consensus", f"Mixing left {real(seen, 2)} of the squared distance of the nodes from their "
        f"mean; its closed form is {real(told, 2)}, for {topology['edges']} models sent in a "
        "round.", seen, told, "" if close else "Raise the number of rounds to tell.",
        "good" if close else "unknown", f"Within a factor {_OFF:g} of the closed form.",
    )  # fmt: skip


def _privacy(rows: Rows) -> Iterator[Statement]:
    noise, first = rows[0].get("noise"), rows[0]
    if "epsilon" not in first["curve"]:
        return
    if noise is None:
        yield Statement(
            "privacy", "No noise was added: nothing is promised to anybody.", math.inf, math.nan,
            "Name epsilon and delta under [privacy].", "warning", "No promise, no bound.",
        )  # fmt: skip
        return
    spent, promise = last(first, "epsilon"), noise["spec"]
    yield Statement(
        "privacy", f"ε = {real(spent, 3)} at δ = {real(promise['delta'], 2)} was spent, of "
        f"{real(promise['epsilon'], 3)} promised, for neighbours by {promise['neighbouring']}: "
        "against parties that are honest and curious, not against the server.", spent,
        promise["epsilon"], "", "good" if spent <= promise["epsilon"] * (1 + 1e-6) else "warning",
        "What was promised.",
    )  # fmt: skip
