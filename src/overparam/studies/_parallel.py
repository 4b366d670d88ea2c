"""Cells through joblib: results come back as they finish, on one thread each."""

import json
import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from overparam._errors import expect
from overparam._workers import parallel

if TYPE_CHECKING:
    from overparam.studies._study import Cell, Study


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        index: The cell's place in the plan.
        seconds: How long it took.
        result: What it returned, as JSON text; `None` if it raised.
        error: The end of its traceback, if it raised.
    """

    index: int
    seconds: float
    result: str | None = None
    error: str = ""


def outcomes(
    study: "Study", waiting: Mapping[int, "Cell"], n_jobs: int | None, bar: bool, total: int
) -> Generator[Outcome, None, None]:
    """Compute cells and yield what becomes of each, in the order in which they finish.

    The back end and, without `n_jobs`, the number of jobs are those of an outer
    ``joblib.parallel_config``; nothing is assumed of it but that it runs a function of plain
    data and returns its value.

    Args:
        study: Whose cells they are.
        waiting: The cells to compute, by place in the plan.
        n_jobs: As for joblib; not 0.
        bar: Whether to show progress on stderr, if that is a terminal.
        total: Number of cells of the plan, for the bar; those not waiting are done.
    """
    import joblib
    import torch
    from tqdm import tqdm

    expect(n_jobs != 0, "study run --jobs", "a number of jobs, or -1 for every core", n_jobs)
    if not waiting:
        return
    threads = torch.get_num_threads()
    workers = parallel(n_jobs, return_as="generator_unordered")
    try:
        with tqdm(
            desc=study.name,
            unit="cell",
            total=total,
            initial=total - len(waiting),
            file=sys.stderr,
            disable=None if bar else True,
        ) as progress:
            tasks = (joblib.delayed(_run_cell)(study.cell, *item) for item in waiting.items())
            for outcome in workers(tasks):
                yield cast(Outcome, outcome)
                progress.update()
    finally:
        torch.set_num_threads(threads)  # a cell that ran in this process has set it to one


def _run_cell(function: Callable[..., Any], index: int, cell: "Cell") -> Outcome:
    """Compute one cell, wherever this is run; what it raises is its outcome."""
    import torch

    # One thread, also when a cell runs alone: sums are split by thread, and so are their bits.
    torch.set_num_threads(1)
    started = time.perf_counter()
    try:
        result = json.dumps(dict(function(**cell.parameters, seed=cell.seed)))
    except Exception:
        error = traceback.format_exc(limit=-4).strip()
        return Outcome(index, time.perf_counter() - started, error=error)
    return Outcome(index, time.perf_counter() - started, result)
