"""Do the optimizer and the batch size that a comparison picks hold in other batch orders?

    python3 x.py bench settings                 the tasks to develop on
    python3 x.py bench settings --kept-aside    the others, once

On tasks of `bench advice` that take seconds: `suggest_lr` compares its optimizer with SGD, heavy
ball, MaSS and AdamW, and its batch size with a quarter and four times of it. Every row of the
comparison is then trained by a plain loop in two other orders of batches; what it is worth is the
geometric mean of the losses it ends at.

Criteria, written before any result: where a change is advised, it is worth it (its loss is no
higher than that of the training planned) in 90 %; what is advised is within 20 % of the best of
the rows in 80 %, each for optimizers and batch sizes. (Warm-ups of 2, 5 and 10 % were compared as
well: one was advised on 2 of 16 tasks, and worth it on 1. They are gone.)
"""

import argparse
import dataclasses
import json
import math
from functools import partial
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import torch
from advice_grid import train, worth
from advice_methods import CONSTANTS
from advice_tasks import TASKS, Task
from rich.console import Console
from rich.table import Table

SMALL = (
    "digits, GELU, SGD", "breast cancer, tanh, heavy ball", "California, SiLU, Adam",
    "letters, ReLU LayerNorm, SGD", "diabetes, tanh, SGD", "robot arm, GELU, Adam",
    "spam, GELU LayerNorm, Nesterov", "splice, tanh, AdamW", "digits, ReLU begun too large, SGD",
)  # fmt: skip
SMALL_ASIDE = (
    "waveforms, ReLU, SGD", "abalone, GELU, heavy ball", "elevators, tanh, SGD",
    "vowels, SiLU, Nesterov", "airfoil, LayerNorm, Adam", "nursery, tanh, heavy ball",
    "red wine, deep and narrow GELU, AdamW",
)  # fmt: skip
OTHERS = ("sgd", "heavy ball", "mass", "adamw")
ORDERS = (1, 2)
KINDS = ("optimizer", "batch size")


def rows_of(task: Task) -> list[dict[str, Any]]:
    """Every row of a comparison with what it is worth in other orders."""
    from overparam.diagnosis import suggest_lr  # pyright: ignore[reportAttributeAccessIssue]
    from overparam.diagnosis.comparison_statement import comparison_statements
    from overparam.diagnosis.race.variant import KNOWN, Reached

    sizes = [size for size in (task.batch_size // 4, 4 * task.batch_size) if size > 1]
    found = suggest_lr(
        task.make_model(0), task.data(), task.loss,
        lambda params: task.make_optimizer(params, CONSTANTS[task.family]),
        steps=task.steps, batch_size=task.batch_size, schedule=task.schedule,
        clip_norm=task.clip_norm, budget="2h", seed=0, optimizers=OTHERS, batch_sizes=sizes,
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    place = dict.fromkeys(KINDS, -1)
    for reached in found.compared:
        kind, name = reached["kind"], reached["name"]
        place[kind] += 1
        variant, make = task, task.optimizer
        if place[kind]:  # the first of each kind is the training planned
            if kind == "optimizer":
                make = KNOWN[OTHERS[place[kind] - 1]]
            else:
                steps = math.ceil(task.steps * task.batch_size / int(name))
                variant = dataclasses.replace(task, batch_size=int(name), steps=steps)
        value = math.inf
        if math.isfinite(reached["rate"]):
            value = worth([train(variant, _at(make, reached["rate"]), o) for o in ORDERS])
        rows.append({**reached, "task": task.name, "worth": value, "own": place[kind] == 0})
    for kind in KINDS:
        of_kind = [row for row in rows if row["kind"] == kind]
        fields = [field.name for field in dataclasses.fields(Reached)]
        plain = [Reached(**{field: row[field] for field in fields}) for row in of_kind]
        (said,) = comparison_statements(plain)
        for row in of_kind:
            ending = f"{row['name']}, at {row['rate']:.3g}."
            row["advised"] = said.action.endswith(ending) if said.action else row["own"]
    return rows


def _at(make: Any, rate: float) -> Any:
    """The optimizer at a rate, whatever rate it was made with."""
    return partial(make, lr=rate)


def figures(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each kind: changes advised, how many are worth it, how far from the best row."""
    out = {}
    for kind in KINDS:
        of_kind = [row for row in rows if row["kind"] == kind]
        tasks = dict.fromkeys(row["task"] for row in of_kind)
        over_own, over_best = [], []
        for task in tasks:
            some = [row for row in of_kind if row["task"] == task]
            own = next(row["worth"] for row in some if row["own"])
            chosen = next(row for row in some if row["advised"])
            over_best.append(chosen["worth"] / min(row["worth"] for row in some))
            if not chosen["own"]:
                over_own.append(chosen["worth"] / own)
        out[kind] = {
            "tasks": len(tasks),
            "changes": len(over_own),
            "worth it": sum(x <= 1 for x in over_own) / max(len(over_own), 1),
            "loss over the planned": geometric_mean(over_own) if over_own else math.nan,
            "within 20 % of the best": sum(x <= 1.2 for x in over_best) / len(over_best),
            "loss over the best": geometric_mean(over_best),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kept-aside", action="store_true", help="the tasks to judge on, once")
    parser.add_argument("--tasks", nargs="+", help="some of them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = SMALL_ASIDE if options.kept_aside else SMALL
    console, rows = Console(width=140), []
    for task in TASKS:
        if task.name not in names or (options.tasks and task.name not in options.tasks):
            continue
        if reason := task.missing():
            console.print(f"skipped: {task.name}: {reason}")
            continue
        found = rows_of(task)
        rows += found
        for row in found:
            mark = "→" if row["advised"] else " "
            console.print(
                f"{mark} {task.name:40s} {row['kind']:10s} {row['name']:26s} {row['rate']:<8.3g} "
                f"loss {row['loss']:<9.3g} in other orders {row['worth']:.3g}"
            )
    found = figures(rows)
    table = Table("", *next(iter(found.values())))
    for kind, values in found.items():
        table.add_row(kind, *(f"{value:.3g}" for value in values.values()))
    console.print(table)
    for kind, values in found.items():
        worth_it = values["worth it"] >= 0.9 or not values["changes"]
        console.print(f"{'yes' if worth_it else 'NO '}  {kind}: changes are worth it in 90 %")
        near = values["within 20 % of the best"] >= 0.8
        console.print(f"{'yes' if near else 'NO '}  {kind}: within 20 % of the best in 80 %")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    main()
