"""Is the advised learning rate any good? Against the best of a grid, on forty-five small tasks.

    python3 x.py bench advice --cache FILE [--rows] [--json FILE]     the tasks to develop on
    python3 x.py bench advice --cache FILE --kept-aside               the others, once
    python3 x.py bench advice --quick                                 a few of them, under 5 minutes

Networks, losses, optimizers, batch sizes and schedules are in advice_tasks.py; advice_grid.py
says what a rate is worth and how the best is found; the methods are in advice_methods.py.

Of each method: the factor between its rate and the best (geometric mean, share within 1.5, 2
and 4); the loss it reaches over the best rate's (share up to 1.2 and 1.05, geometric mean); the
cost of its answer in full trainings; how many of its intervals hold the best rate. A method
without an answer, or whose training diverges, is "lost": in no share, and left out of the
geometric mean that it would make infinite. A rate off the grid is trained like one of the grid.

A grid takes a minute or two on one thread, all of them most of an hour: `--cache` keeps them.
`--grids-only` fills the cache and shows nothing of it.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

import torch
from advice_grid import Trainings, best_of, grid, worth
from advice_methods import METHODS, lacking
from advice_tasks import TASKS, Task
from rich import box
from rich.console import Console
from rich.table import Table

RIVALS = ("steepest (Lightning)", "steepest per factor", "valley (fastai)", "constant")
FAMILIES = ("plain", "momentum", "adaptive")
QUICK = ("digits, GELU, SGD", "breast cancer, tanh, heavy ball", "rows of digits, GRU, Adam")
FACTORS, LOSSES = (1.5, 2.0, 4.0), (1.2, 1.05)
WIDTH = 140  # of the tables, however narrow the terminal
# The best rate of a grid is known to a rounding of its factors.
ROUNDING = 1 + 1e-6


def judge(task: Task, name: str, found: dict[float, float], trainings: Trainings) -> dict:
    """A method's row for a task whose grid is known."""
    answer = METHODS[name][0](task)
    best = best_of(found)
    if answer.optimizer:
        reached = worth(trainings.of(task, name, answer.optimizer, scheduled=answer.scheduled))
    elif math.isfinite(answer.rate):
        reached = found.get(answer.rate) or trainings.at(task, answer.rate)
    else:
        reached = math.inf
    interval = answer.interval
    return {
        "task": task.name, "family": task.family, "method": name, "best": best,
        "rate": answer.rate, "factor": answer.rate / best, "loss": reached / found[best],
        "interval": interval, "cost": answer.steps / task.steps,
        "horizon": answer.horizon / task.steps, "replaces": answer.optimizer is not None,
        "covered": interval and interval[0] <= best * ROUNDING and best <= interval[1] * ROUNDING,
    }  # fmt: skip


def summary(rows: Sequence[dict]) -> dict[str, float]:
    """A method's figures over some tasks; NaN where it says nothing."""
    factors = [max(row["factor"], 1 / row["factor"]) for row in rows if row["factor"] > 0]
    losses = [row["loss"] for row in rows if math.isfinite(row["loss"])]
    covered = [row["covered"] for row in rows if row["covered"] is not None]
    replaces = any(row["replaces"] for row in rows)

    def share(values: list[float], limit: float) -> float:
        return sum(value <= limit * ROUNDING for value in values) / len(rows)

    return {
        "n": len(rows),
        "factor": geometric_mean(factors) if factors else math.nan,
        **{f"≤{f:g}×": math.nan if replaces else share(factors, f) for f in FACTORS},
        **{f"loss ≤{limit:g}": share(losses, limit) for limit in LOSSES},
        "loss": geometric_mean(losses) if losses else math.nan,
        "lost": len(rows) - len(losses),
        "cost": fmean(row["cost"] for row in rows),
        "covered": fmean(covered) if covered else math.nan,
    }


def summaries(rows: Sequence[dict]) -> dict[str, dict[str, dict[str, float]]]:
    """`summary` of every method over all tasks and over each kind of optimizer."""
    methods = dict.fromkeys(row["method"] for row in rows)
    parts = {"all": rows} | {
        family: [row for row in rows if row["family"] == family] for family in FAMILIES
    }
    return {
        part: {
            method: summary([row for row in chosen if row["method"] == method])
            for method in methods
            if any(row["method"] == method for row in chosen)
        }
        for part, chosen in parts.items()
        if chosen
    }


def criteria(found: dict[str, dict[str, dict[str, float]]]) -> dict[str, bool]:
    """What the advice has to hold, and whether it does; for as much as was judged."""
    table = found["all"]
    held: dict[str, bool] = {}
    if full := table.get("advice"):
        held |= {
            "within 2× in 85 %": full["≤2×"] >= 0.85,
            "loss within 20 % in 90 %": full["loss ≤1.2"] >= 0.9,
            "loss within 5 % in 60 %": full["loss ≤1.05"] >= 0.6,
            "geometric mean of the factor at most 1.6": full["factor"] <= 1.6,
            "geometric mean of the loss at most 1.10": full["loss"] <= 1.1 and not full["lost"],
            "cost at most 4 trainings": full["cost"] <= 4,
        }
        shares = [key for key in full if "≤" in key]
        means = ("factor", "loss", "lost")
        for rival in RIVALS:
            if other := table.get(rival):
                ahead = all(full[key] >= other[key] for key in shares)
                ahead = ahead and all(full[key] <= other[key] for key in means)
                held[f"ahead of {rival} in every column"] = ahead
        kinds = {kind: found[kind]["advice"] for kind in FAMILIES if kind in found}
        momentum, rest = kinds.pop("momentum", None), list(kinds.values())
        if momentum and rest:
            within = sum(kind["≤2×"] * kind["n"] for kind in rest)
            share = within / sum(kind["n"] for kind in rest)
            held["momentum within 2× as often as the rest"] = momentum["≤2×"] >= share
    if quarter := table.get("advice, T/4"):
        held["a quarter: within 4× in 85 %"] = quarter["≤4×"] >= 0.85
        held["a quarter: intervals hold the best in 85 %"] = quarter["covered"] >= 0.85
    return held


def shown(value: float, key: str) -> str:
    if math.isnan(value):
        return "—"
    if key in ("n", "lost"):
        return f"{value:.0f}"
    percent = key == "covered" or "≤" in key
    return f"{100 * value:.0f} %" if percent else f"{value:.2f}"


def print_summaries(console: Console, found: dict[str, dict[str, dict[str, float]]]) -> None:
    for part, methods in found.items():
        keys = list(next(iter(methods.values())))
        title = f"{part} optimizers" if part != "all" else "all tasks"
        table = plain_table(title, ["method", *keys])
        for method, figures in methods.items():
            table.add_row(method, *(shown(figures[key], key) for key in keys))
        console.print(table)


def print_rows(console: Console, rows: Sequence[dict]) -> None:
    columns = ["task", "best", "method", "rate", "factor", "loss", "interval", "cost", "h/T"]
    table = plain_table("tasks", columns)
    before = ""
    for row in rows:
        interval, new = row["interval"], row["task"] != before
        before = row["task"]
        table.add_row(
            row["task"] if new else "", f"{row['best']:.3g}" if new else "", row["method"],
            shown_number(row["rate"]), shown_number(row["factor"]), shown_number(row["loss"]),
            f"{interval[0]:.3g}–{interval[1]:.3g}" if interval else "—",
            f"{row['cost']:.2f}", f"{row['horizon']:.2g}" if row["horizon"] else "—",
        )  # fmt: skip
    console.print(table)


def plain_table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left", pad_edge=False)
    for column in columns:
        left = column in ("task", "method")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    return table


def shown_number(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.3g}"


def strict(thing: Any) -> Any:
    """The same with `None` for numbers that JSON has not."""
    if isinstance(thing, dict):
        return {key: strict(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [strict(value) for value in thing]
    return None if isinstance(thing, float) and not math.isfinite(thing) else thing


def told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def chosen_tasks(options: argparse.Namespace) -> list[Task]:
    """The tasks asked for whose data are here; says which are not."""
    tasks = [task for task in TASKS if task.kept_aside == options.kept_aside]
    if options.quick:
        tasks = [task for task in tasks if task.name in QUICK]
    if options.tasks:
        tasks = [task for task in tasks if task.name in options.tasks]
    reasons = {task.name: task.missing() for task in tasks}
    for name, reason in reasons.items():
        if reason:
            told(f"skipped: {name}: {reason}")
    return [task for task in tasks if not reasons[task.name]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three tasks, one batch order")
    parser.add_argument("--kept-aside", action="store_true", help="the tasks to judge on, once")
    parser.add_argument("--grids-only", action="store_true", help="fill the cache, show nothing")
    parser.add_argument("--cache", type=Path, help="JSON file that keeps what trainings reached")
    parser.add_argument("--tasks", nargs="+", choices=[task.name for task in TASKS])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--rows", action="store_true", help="show every task and method")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    trainings = Trainings(options.cache, 1 if options.quick else 3)
    reasons = {name: lacking(name) for name in options.methods}
    for name, reason in reasons.items():
        if reason and not options.grids_only:
            told(f"skipped: {name}: {reason}")
    rows = []
    for task in chosen_tasks(options):
        found = grid(task, trainings)
        told(f"grid: {task.name}")
        if not options.grids_only:
            rows += [
                judge(task, name, found, trainings) for name in options.methods if not reasons[name]
            ]
    if not rows:
        return
    figures = summaries(rows)
    console = Console()
    console.width = max(console.width, WIDTH)
    if options.rows:
        print_rows(console, rows)
    print_summaries(console, figures)
    for what, held in criteria(figures).items():
        console.print(f"{'yes' if held else 'NO '}  {what}")
    if options.json:
        options.json.write_text(json.dumps(strict({"rows": rows, "summaries": figures}), indent=1))


if __name__ == "__main__":
    main()
