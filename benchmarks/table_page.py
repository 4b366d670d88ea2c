"""The tables of a page, from scores: what `bench rfm tables --write PAGE` puts into it."""

import argparse
from typing import Any

import numpy as np
import pandas as pd
from table_sets import names_of

BEGIN, END = "<!-- scores of tables -->", "<!-- end of scores of tables -->"
DRAWS, LEVEL = 2000, 0.9
# A loss that much above the best of the others is named.
FAR = 1.15
OURS = ("RFM", "IRKM", "best")
HEADS = {
    "best": "both (`best`)", "CatBoost": "CatBoost 1.2", "XGBoost": "XGBoost 3.2",
    "LightGBM": "LightGBM 4.6", "xRFM": "xRFM 0.4.5",
    "RealMLP": "RealMLP (pytabkit 1.8)", "TabM": "TabM (pytabkit 1.8)",
}  # fmt: skip
TASKS = ("regression", "classification")
PARTS = {"choose": "to choose by", "confirm": "kept"}
MANY_CLASSES = ("digits", "pendigits", "vowel", "letter")


def mean_ranks(losses: pd.DataFrame) -> pd.DataFrame:
    """Mean rank of each column, 1 the best, and its interval over draws of the tables."""
    ranks = losses.round(6).rank(axis=1)
    draw = np.random.default_rng(0)
    values, n = ranks.to_numpy(), len(ranks)
    drawn = [np.nanmean(values[draw.integers(n, size=n)], axis=0) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return pd.DataFrame({"rank": ranks.mean(), "low": low, "high": high})


def column(found: dict, name: str) -> pd.DataFrame:
    """One score, a row a table and a column a method."""
    return pd.DataFrame(
        {table: {m: score[name] for m, score in by.items()} for table, by in found.items()}
    ).T


def put(text: str, regression: dict, classes: dict, options: argparse.Namespace) -> str:
    """A page with the tables between its two marks.

    Args:
        text: The page.
        regression: By table and method, its scores.
        classes: Likewise.
        options: The part, rows and folds that the scores are of.
    """
    if not text.count(BEGIN) == text.count(END) == 1 or text.index(BEGIN) > text.index(END):
        raise SystemExit(f"a page wants {BEGIN} before {END}, each once")
    made = "\n\n".join([scores(regression, classes, options.part), *sentences(regression, classes)])
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n\n{made}\n\n{END}{text.partition(END)[2]}"


def scores(regression: dict, classes: dict, part: str) -> str:
    """Losses, mean ranks of each part with intervals, and times over LightGBM's.

    A method that some table lacks has no mean ranks.
    """
    both = {**regression, **classes}
    losses = column(both, "loss")
    columns = [method for method in losses.columns if "," not in method]
    losses = losses[columns]
    heads = [HEADS.get(method, method) for method in columns]
    lines = [_line("table", heads), "|---|" + "---:|" * len(columns)]
    for one in [part] if part != "all" else PARTS:
        numbers, known = ([name for name in names_of(task, one) if name in both] for task in TASKS)
        for name in numbers + known:
            lines.append(_line(name.replace("_", " "), _cells(losses.loc[name], 3)))
        if numbers + known:
            title = f"**mean rank, {len(numbers + known)} tables {PARTS[one]}**"
            lines += _ranked(title, losses.loc[numbers + known], bold=True)
        if known:
            areas = 1 - column(classes, "auc").loc[known, columns]
            lines += _ranked(f"mean rank by AUC, {len(known)} tables", areas)
    for which in ("fit", "predict"):
        seconds = column(both, which)[columns]
        ratios = seconds.div(seconds["LightGBM"], axis=0).median()
        lines.append(_line(f"time to {which} / LightGBM's, median", _cells(ratios, 1)))
    return "\n".join(lines)


def _ranked(title: str, losses: pd.DataFrame, *, bold: bool = False) -> list[str]:
    ranks = mean_ranks(losses.dropna(axis=1)).reindex(losses.columns)
    mean = [f"**{cell}**" if bold else cell for cell in _cells(ranks["rank"], 1)]
    ends = zip(_cells(ranks["low"], 1), _cells(ranks["high"], 1), strict=True)
    return [
        _line(title, mean),
        _line(f"{100 * LEVEL:.0f} % interval", [f"{low}–{high}" for low, high in ends]),
    ]


def _cells(values: pd.Series, digits: int) -> list[str]:
    return ["–" if np.isnan(value) else f"{value:.{digits}f}" for value in values]


def sentences(regression: dict, classes: dict) -> list[str]:
    """Tables on which ours are far behind the best of the others, both against one, calibration."""
    losses = column({**regression, **classes}, "loss")
    losses = losses[[method for method in losses.columns if "," not in method]]
    others = [method for method in losses.columns if method not in OURS]
    best, said = losses[others].min(axis=1), []
    for method in ("RFM", "best"):
        ratio: Any = losses[method] / best
        far = [
            f"`{name}` ({value:.2f} × that of {losses.loc[name, others].idxmin()})"
            for name, value in ratio[ratio > FAR].items()
        ]
        named = ", ".join(far) or "on no table"
        said.append(f"Losses of {method} more than {FAR} × the least of the others': {named}.")
    ratios = []
    for part, words in PARTS.items():
        names = [n for task in TASKS for n in names_of(task, part) if n in losses.index]
        if names:
            ratio = np.log(losses.loc[names, "best"] / losses.loc[names, "RFM"])
            ratios.append(f"{np.exp(ratio.mean()):.3f} on the {len(names)} tables {words}")
    said.append(f"Geometric mean of the losses of `best` over those of RFM: {', '.join(ratios)}.")
    for method in others:
        some = losses[losses[method].notna()]
        if 0 < len(some) < len(losses):
            ranks = mean_ranks(some.dropna(axis=1)).sort_values("rank", kind="stable")
            named = ", ".join(
                f"{name} {rank:.1f} ({low:.1f}–{high:.1f})"
                for name, rank, low, high in ranks.itertuples()
            )
            said.append(f"{method} ran on {len(some)} tables. Mean ranks on these: {named}.")
    known = [name for name in MANY_CLASSES if name in classes]
    if known:
        errors = [f"`{name}` {classes[name]['RFM']['ece']:.3f}" for name in known]
        said.append(f"Expected calibration error of RFM: {', '.join(errors)}.")
    return said


def _line(first: str, cells: list[str]) -> str:
    return "| " + " | ".join([first, *cells]) + " |"
