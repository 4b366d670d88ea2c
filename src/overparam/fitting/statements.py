"""What a cross-validation says, in sentences."""

import math

import numpy as np

from overparam._statement import Level, Statement, most_urgent_first
from overparam._told import digits_of_score
from overparam.fitting.findings import Findings
from overparam.fitting.noticed import OtherFolds
from overparam.fitting.reading_statements import reading, target
from overparam.fitting.scores import Score
from overparam.fitting.table import Table

# Share of the tested rows with a copy among the training rows from which it is said.
COPIED = 0.01
# Mean distance of probabilities from shares from which it is said.
OFF = 0.05
# Share of what is known beyond a guess that other folds have to cost before it is said.
LOST = 0.1
CARRIED = 0.8


def statements(table: Table, found: Findings) -> list[Statement]:
    """Conclusions, each with the number and the threshold it came from, the urgent ones first.

    Args:
        table: The data.
        found: What was measured.
    """
    trouble = [*_other_folds(found), *_twins(table, found)]
    rivals = found.rivals
    doubted = any(statement.level in ("critical", "warning") for statement in trouble)
    made = [_worth(table, found, doubted=doubted)]
    if rivals:
        best = max(rivals, key=lambda score: score.mean)
        made.append(_standing(found, best, doubted=doubted))
    made += [
        *trouble, *target(table), *_classes(table, found), *_leak(table, found),
        *_calibration(found), *_columns(found),
    ]  # fmt: skip
    if not doubted:
        made += _interactions(found)
    made += reading(table)
    return most_urgent_first(made) if doubted else made


def amount(value: float) -> str:
    """Three digits, more next to 1, or a scale where that is all there is to say."""
    if not math.isfinite(value):
        return "nothing that can be told"
    if abs(value) < 1e-12:  # a difference that is nothing but rounding
        return "0"
    return (
        f"{value:.{digits_of_score(value)}g}".replace("-", "−", 1)
        if abs(value) < 1000
        else f"{value:.1e}"
    )


def _worth(table: Table, found: Findings, *, doubted: bool) -> Statement:
    """Whether the columns say anything about the target."""
    ours, guess = found.ours, found.guess
    floor = guess.mean if guess else 0.0
    metric = found.metric if table.scale.name == "linear" else f"{found.metric} of {table.learned}"
    text = (
        f"{metric[:1].upper()}{metric[1:]} {amount(ours.mean)} on rows the model had not seen, "
        f"over {found.folds_in_words} (a guess: {amount(floor)})."
    )
    low = ours.ahead_of(guess, found.ratio)[1] if guess else ours.mean
    if low > 0 and found.tells_something:
        return _statement("score", text, ours.mean, floor, level="info" if doubted else "good")
    text += (
        f" The columns say little or nothing about {table.target}."
        if not found.tells_something
        else " That is more than a guess, but not clearly: the folds differ too much."
    )
    action = "Look for columns that could tell, or for a mistake in the target."
    if found.tells_something:
        return _statement("score", text, ours.mean, floor, "More rows would tell.", "warning")
    return _statement("score", text, ours.mean, floor, action, "critical")


def _standing(found: Findings, best: Score, *, doubted: bool) -> Statement:
    """Ours against the best baseline, by the corrected t over the folds."""
    ours, metric = found.ours, found.metric
    gap, low, high = ours.ahead_of(best, found.ratio)
    text = f"{ours.name} {amount(ours.mean)}, {best.name} {amount(best.mean)}"
    interval = f"{metric} {_signed(gap)}, from {_signed(low)} to {_signed(high)}"
    if low > 0:
        return _statement(
            "comparison", f"Ahead of every baseline: {text} ({interval}).", gap, 0.0,
            level="info" if doubted else "good",
        )  # fmt: skip
    if high >= 0:
        return _statement(
            "comparison",
            f"On a par with the best baseline: {text}; these folds cannot tell them apart "
            f"({interval}).",
            gap, 0.0, level="info",
        )  # fmt: skip
    return _statement(
        "comparison",
        f"{best.name[:1].upper()}{best.name[1:]} is better here: {text} ({interval}).",
        gap,
        0.0,
        f"If only {metric} counts, use {best.name}; this model still says what matters.",
        "warning",
    )


def _signed(value: float) -> str:
    if not math.isfinite(value):
        return "−∞" if value < 0 else "∞"
    return f"{'−' if value < 0 else '+'}{amount(abs(value))}"


def _other_folds(found: Findings) -> list[Statement]:
    """That random folds promise what rows of another time or group do not give."""
    made = []
    ours = found.ours
    for other in found.other_folds:
        expected = ours.mean if math.isnan(other.at_random) else other.at_random
        lost = expected - other.score
        if lost < max(_spread(found), LOST * (expected - other.of_guess)) or math.isnan(lost):
            continue
        how, action = _in_words(other)
        text = (
            f"{how} {found.metric} is {amount(other.score)} (a guess: {amount(other.of_guess)}), "
            f"and not {amount(ours.mean)}: rows drawn at random are too like those learned from."
        )
        made.append(_statement("folds", text, other.score, ours.mean, action, "critical"))
    return made


def _spread(found: Findings) -> float:
    """Three standard errors of our score over folds, a hundredth at least."""
    folds = found.ours.folds
    error = float(np.nanstd(folds, ddof=1)) * math.sqrt(1 / len(folds) + found.ratio)
    return max(3 * error, 0.01)


def _in_words(other: OtherFolds) -> tuple[str, str]:
    if other.kind == "time":
        return (
            f"Predicting later rows from earlier ones, by {other.column},",
            f"To predict the future, say --time {other.column} and go by that score.",
        )
    alike = ", ".join(other.within[:3]) + (", …" if len(other.within) > 3 else "")
    verb = "is" if len(other.within) == 1 else "are"
    if other.is_named:
        return (
            f"For values of {other.column} that were not there ({alike} {verb} the same "
            "within each),",
            f"To predict others, say --group {other.column} and go by that score.",
        )
    return (
        f"Rows come in groups ({other.column}, {alike} are the same within each); for groups that "
        "were not there",
        "To predict others, add a column that names the groups and say --group with its name.",
    )


def _twins(table: Table, found: Findings) -> list[Statement]:
    """That rows stand in a training part and its test part."""
    twins, tested = found.twins, sum(len(said) for said in found.ours.outputs)
    if not tested or twins.rows <= COPIED * tested:
        return []
    text = (
        f"{twins.rows:,} of {tested:,} tested rows have the same predictors as a row learned from"
        f" ({twins.same_target:,} the same {table.target} too)."
    )
    known = math.isfinite(twins.score)
    if known:
        text += f" Without them {found.metric} is {amount(twins.score)}."
    elif twins.rows == tested:
        text += " There are no others to judge by."
    hurts = not known or twins.score < found.ours.mean - _spread(found)
    action = (
        "If they are copies, keep one of each; if they are repeats, see --group." if hurts else ""
    )
    level: Level = "warning" if hurts else "info"
    return [_statement("twins", text, twins.rows / tested, COPIED, action, level)] if (
        hurts or twins.same_target > COPIED * tested
    ) else []  # fmt: skip


def _classes(table: Table, found: Findings) -> list[Statement]:
    """That classes are uneven, or one has hardly any rows."""
    if not table.is_classification:
        return []
    counts = np.bincount(table.y)
    made = []
    if found.metric == "AUC":
        rest = counts.max() / counts.sum()
        ours, guess = found.ours, found.guess
        rare = table.class_names[int(counts.argmin())]
        of = rare if len(counts) == 2 else "each class against the rest"
        words = [f"AUC {_measure(ours, 'AUC')}"]
        for name in ("average precision", "log-loss"):
            floor = f" (a guess: {_measure(guess, name)})" if guess else ""
            words.append(f"{name} {_measure(ours, name)}{floor}")
        text = (
            f"{rest:.1%} of the rows are {table.class_names[int(counts.argmax())]}, so accuracy "
            f"({_measure(ours, 'accuracy')}) tells little. Models are compared by the area "
            f"under the ROC curve, for {of}: "
            f"{', '.join(words)}."
        )
        made.append(_statement("imbalance", text, float(rest), 0.8))
    folds = len(found.ours.folds)
    few = [(table.class_names[i], int(n)) for i, n in enumerate(counts) if n < folds]
    if few:
        names = ", ".join(f"{name} ({n} row{'s'[: n != 1]})" for name, n in few[:5])
        text = f"Fewer rows than folds: {names}. What is said of them rests on next to nothing."
        action = "Drop these rows, join rare classes, or find more of them."
        made.append(_statement("rare", text, min(n for _, n in few), folds, action, "warning"))
    return made


def _measure(score: Score | None, name: str) -> str:
    values = score.measures.get(name, ()) if score else ()
    return amount(float(np.nanmean(values))) if len(values) else "unknown"


def _leak(table: Table, found: Findings) -> list[Statement]:
    leak = found.leak
    if leak is None:
        return []
    measure = "AUC" if table.is_classification else "R²"
    text = (
        f"{leak.column} alone gives nearly the whole answer: {measure} {leak.score:.4f} of rows "
        f"not seen, by {leak.by}."
    )
    action = f"Check that {leak.column} is known before {table.target} is."
    return [_statement("leak", text, leak.score, 0.99, action, "warning")]


def _calibration(found: Findings) -> list[Statement]:
    """That probabilities are off, by more than so many rows would be by chance."""
    error = found.calibration.get("error")
    if error is None or not error > OFF:
        return []
    kept = found.calibration
    outside = sum(
        not low <= p <= high
        for p, low, high in zip(kept["predicted"], kept["low"], kept["high"], strict=True)
    )
    if outside < 2:
        return []
    text = f"Probabilities are off by {error:.2g} on average over ten parts of the rows."
    action = "Trust their order more than their size."
    return [_statement("calibration", text, error, OFF, action, "warning")]


def _columns(found: Findings) -> list[Statement]:
    """How few columns matter."""
    shares = np.array(found.importances.value)
    names = found.importances.names
    if not len(shares):
        return []
    order = np.argsort(-shares)
    needed = int(np.searchsorted(shares[order].cumsum(), CARRIED)) + 1
    first = [str(names[i]) for i in order[: min(needed, 5)]]
    rest = f" and {needed - 5} more" if needed > 5 else ""
    share = min(float(shares[order[:needed]].sum()), 1.0)
    few = "columns carries" if needed == 1 else "columns carry"
    text = (
        f"{needed} of {len(names)} {few} {share:.0%} of what the columns tell: "
        f"{', '.join(first)}{rest}."
    )
    return [_statement("columns", text, share, CARRIED)]


def _interactions(found: Findings) -> list[Statement]:
    if not found.interactions:
        return []
    pairs = found.interactions[:3]
    words = ", ".join(f"{a} and {b} ({pair.share:.0%})" for pair in pairs for a, b in [pair.names])
    text = f"Act together, beyond what each does by itself: {words} of the variance."
    return [_statement("interactions", text, pairs[0].z, pairs[0].bar)]


def _statement(
    name: str,
    text: str,
    value: float,
    threshold: float = math.nan,
    action: str = "",
    level: Level = "info",
) -> Statement:
    return Statement(name, text, value, threshold, action, level)
