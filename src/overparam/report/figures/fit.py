"""What a model fitted to a table is worth, and which columns it uses."""

from collections.abc import Mapping, Sequence

from overparam._told import digits_of_score
from overparam.report.figures.figure import Figure, Table, leading, sentence
from overparam.report.figures.fit_classes import calibration_figure, confusion_figure
from overparam.report.figures.fit_columns import (
    dependence_figure,
    effects_figure,
    interactions_figure,
    matrix_figure,
)
from overparam.report.figures.panels import MARGIN, names_axis
from overparam.report.numbers import count, number, percent

SHOWN = 20
_SCALES = {"log": " of the logarithm", "sqrt": " of the square root"}


def fit_figures(document: Mapping) -> list[Figure]:
    """The figures whose numbers are there, in the order they are read."""
    draws = (
        scores_figure, predicted_figure, calibration_figure, confusion_figure, importances_figure,
        effects_figure, interactions_figure, matrix_figure, dependence_figure,
    )  # fmt: skip
    return [figure for figure in (draw(document) for draw in draws) if figure is not None]


def scores_figure(document: Mapping) -> Figure | None:
    """How far each model is from ours, with an interval for the difference."""
    rows = [row for row in document["scores"] or [] if row.get("mean") is not None]
    if not rows:
        return None
    metric = str(document["model"].get("metric") or "score")
    ours = next((row for row in rows if row.get("ours")), None)
    rows = sorted(rows, key=lambda row: -row["mean"])
    shown = [row for row in rows if not row.get("guess")] or rows
    compared = [row for row in shown if _gap(row)]
    drawn = ([ours] if ours else []) + compared if compared else shown
    drawn = sorted(drawn, key=lambda row: -row["mean"])
    places = list(range(len(drawn)))
    middle = ours["mean"] if ours and compared else None
    data = [
        _dots(place, row, middle, "var(--blue)" if row.get("ours") else "var(--muted)")
        for place, row in zip(places, drawn, strict=True)
    ]
    layout = {
        "height": round(80 + 34 * len(drawn)),
        "margin": {**MARGIN, "l": 12, "t": 8},
        "hovermode": "closest",
        "xaxis": {"title": {"text": metric + _SCALES.get(document["data"].get("scale"), "")}},
        "yaxis": names_axis(places, [str(row.get("name")) for row in drawn]),
    }
    if middle is not None:
        layout["shapes"] = [
            {"type": "line", "x0": middle, "x1": middle, "yref": "paper", "y0": 0, "y1": 1,
             "line": {"color": "var(--blue)", "width": 1, "dash": "dot"}}
        ]  # fmt: skip
    guess = next((row for row in rows if row.get("guess")), None)
    floor = f" A guess gets {number(guess['mean'], 3)}." if guess else ""
    return Figure(
        "scores",
        _scores_finding(rows, metric),
        f"Mean {metric} of {document['model'].get('folds') or 'the folds'}; higher is better. A "
        "line is an interval of 95 % for a model's distance from ours, fold by fold, with the "
        "correction of Nadeau and Bengio for training rows that folds share: where it crosses the "
        "dotted line, the folds cannot tell the two apart. All models see the same folds, at their "
        f"default settings.{floor}",
        data,
        layout,
        [_scores_table(rows, metric)],
    )


def _gap(row: Mapping) -> tuple[float, float] | None:
    """Ends of the interval for a row's distance from ours, if there is one."""
    gap = row.get("gap") or {}
    low, high = gap.get("low"), gap.get("high")
    return None if low is None or high is None else (low, high)


def _dots(place: int, row: Mapping, middle: float | None, colour: str) -> dict:
    """A model's mean, and its interval about ours where there is one."""
    gap = _gap(row) if middle is not None else None
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [row["mean"]],
        "y": [place],
        "marker": {"color": colour, "size": 11},
    }
    if gap is not None and middle is not None:
        # Ours is ahead by the gap: where the other would be at either end.
        ends = (middle + gap[0], middle + gap[1])
        trace["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, ends[1] - row["mean"])],
            "arrayminus": [max(0.0, row["mean"] - ends[0])],
            "color": "var(--ink)",
            "thickness": 1.5,
            "width": 4,
        }
    return trace


def _scores_table(rows: Sequence[Mapping], metric: str) -> Table:
    """Every model's mean, the ends of its distance from ours, and its folds."""
    return Table(
        ["model", f"mean {metric}", "distance from ours, low", "high", "folds", "seconds"],
        [
            [
                row.get("name"),
                row["mean"],
                *(_gap(row) or (None, None)),
                ", ".join(number(value) for value in row.get("folds") or []),
                row.get("seconds"),
            ]
            for row in rows
        ],
    )


def _scores_finding(rows: Sequence[Mapping], metric: str) -> str:
    """Where ours stands, as far as the folds can tell."""
    ours = next((row for row in rows if row.get("ours")), None)
    others = [row for row in rows if not row.get("ours") and not row.get("guess")]
    guess = next((row for row in rows if row.get("guess")), None)
    if ours is None or not others:
        best = ours or rows[0]
        floor = f", and a guess {number(guess['mean'], 3)}" if guess and guess is not best else ""
        return sentence(f"{best.get('name')}: {metric} {_score(best)}{floor}")
    rival = others[0]
    mine, other = _score(ours), _score(rival)
    names = str(ours.get("name")), str(rival.get("name"))
    low, high = _gap(rival) or (-1.0, 1.0)
    if low <= 0 <= high:
        return sentence(
            f"{names[0]} and {names[1]} cannot be told apart by these folds: {metric} {mine} and "
            f"{other}"
        )
    if high < 0:
        return sentence(
            f"{names[0]} is ahead of {count(len(others), 'other')}: {metric} {mine} against "
            f"{other} of {names[1]}"
        )
    return sentence(f"{names[1]} is ahead: {metric} {other} against {mine} of {names[0]}")


def _score(row: Mapping) -> str:
    """A model's mean, which is not 1 where it is below."""
    return number(row["mean"], digits_of_score(row["mean"] or 0.0))


def predicted_figure(document: Mapping) -> Figure | None:
    """Predictions of rows not seen beside the target, within their interval."""
    entry = document["series"].get("predicted") or {}
    x, y = entry.get("predicted") or [], entry.get("observed") or []
    if not x or len(x) != len(y):
        return None
    grid, low, high = (entry.get(key) or [] for key in ("grid", "low", "high"))
    target = str(document["data"].get("target") or "target")
    level = percent(entry.get("level") or 0.9)
    data: list[dict] = [
        {"type": "scatter", "mode": "markers", "name": "a row", "x": x, "y": y,
         "marker": {"color": "var(--blue)", "size": 5, "opacity": 0.5}},
    ]  # fmt: skip
    whole = len(grid) == len(low) == len(high) > 0 and None not in (*grid, *low, *high)
    if whole:
        data += [
            {"type": "scatter", "mode": "lines", "name": name, "x": grid, "y": ends,
             "line": {"color": "var(--ink)", "width": 1.5, "dash": "dash"}}
            for name, ends in (("", low), (f"interval of {level}", high))
        ]  # fmt: skip
        data[1]["showlegend"] = False
        data[1]["name"] = "lower end"
    rows = [list(pair) for pair in zip(x, y, strict=True)]
    tables = [leading(["predicted", "observed"], rows)]
    if whole:
        middle = len(grid) // 2
        tables.append(Table(["prediction", "low", "high"], list(zip(grid, low, high, strict=True))))
        title = (
            f"A new {target} lies between {number(low[middle], 3)} and {number(high[middle], 3)} "
            f"where {number(grid[middle], 3)} is predicted, nine times of ten"
            if level.startswith("90")
            else f"Intervals of {level} for a new {target}"
        )
    else:
        title = f"Too few rows for an interval of {level} of {target}"
    return Figure(
        "predicted",
        title,
        f"Rows that a fold's model had not seen, at most 400 of them. The lines hold {level} of "
        "new rows, if those are like these: conformal intervals from the residuals of the "
        "cross-validation, of one width on the scale that was learned.",
        data,
        {
            "height": 320,
            "margin": MARGIN,
            "hovermode": "closest",
            "xaxis": {"title": {"text": f"predicted {target}"[:60]}},
            "yaxis": {"title": {"text": f"observed {target}"[:60]}, "automargin": True},
        },
        tables,
    )


def importances_figure(document: Mapping) -> Figure | None:
    """Each column's share of what the columns tell, with its interval."""
    entry = document["series"].get("importances") or {}
    names, values = entry.get("names") or [], entry.get("value") or []
    total = sum(value or 0.0 for value in values)
    if not names or len(names) != len(values) or not total > 0:
        return None
    low, high = (
        entry[key] if len(entry.get(key) or []) == len(values) else values
        for key in ("low", "high")
    )
    order = sorted(range(len(values)), key=lambda i: -(values[i] or 0.0))
    rows = [[names[i], *((part[i] or 0.0) / total for part in (values, low, high))] for i in order]
    shown = rows[:SHOWN]
    places = list(range(len(shown)))
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [row[1] for row in shown],
        "y": places,
        "marker": {"color": "var(--blue)", "size": 9},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, row[3] - row[1]) for row in shown],
            "arrayminus": [max(0.0, row[1] - row[2]) for row in shown],
            "color": "var(--ink)",
            "thickness": 1.5,
            "width": 4,
        },
    }
    running, needed = 0.0, 0
    for row in rows:
        running, needed = running + row[1], needed + 1
        if running >= 0.8:
            break
    layout = {
        "height": round(70 + 22 * len(shown)),
        "margin": {**MARGIN, "l": 12, "t": 8},
        "hovermode": "y unified",
        "xaxis": {
            "title": {"text": "share of what the columns tell"},
            "tickformat": ".0%",
            "rangemode": "tozero",
            "zeroline": True,
        },
        "yaxis": names_axis(places, [str(row[0]) for row in shown]),
    }
    verb = "carries" if needed == 1 else "carry"
    zero = sum(1 for row in rows if row[2] <= 0)
    none = f" {count(zero, 'column')} cannot be told from noise." if zero else ""
    return Figure(
        "importances",
        f"{count(needed, 'column')} of {len(rows):,} {verb} {percent(min(running, 1.0))} of what "
        "the columns tell",
        "How much worse rows not seen are predicted when a column's values are shuffled among "
        "them, as a share of all columns' sum: numbers and categories on one scale, and about 0, "
        f"on either side, for what tells nothing.{none} Lines span intervals of 90 % for a "
        "table drawn anew.",
        [dots],
        layout,
        [leading(["column", "share", "low", "high"], rows)],
    )
