"""Cells through joblib: results come back as they finish, on one thread each."""

import json
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from overparam._errors import expect

if TYPE_CHECKING:
    from overparam._progress import Progress
    from overparam.claims.study import Cell


# Cells seed torch's own generator for what draws from no other, and threads share that one: of
# several in a process, such as of a Dask worker, one computes at a time.
_ALONE = threading.RLock()


class Work(Protocol):
    """What has cells to compute; a study, for one.

    Attributes:
        name: What progress and complaints call it.
        cell: Computes one, as that of a `Study`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def cell(self) -> Callable[..., Mapping[str, Any]]: ...  # noqa: D102


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
    study: Work,
    waiting: Mapping[int, "Cell"],
    n_jobs: int | None,
    progress: "Progress",
    total: int,
) -> Generator[Outcome, None, None]:
    """Compute cells and yield what becomes of each, in the order in which they finish.

    The back end and, without `n_jobs`, the number of jobs are those of an outer
    ``joblib.parallel_config`` or `on_cluster`; nothing is assumed of it but that it runs a
    function of plain data and returns its value.

    Args:
        study: Whose cells they are.
        waiting: The cells to compute, by place in the plan.
        n_jobs: As for joblib; not 0.
        progress: As for `run_study`.
        total: Number of cells of the plan; those not waiting are done.
    """
    import joblib

    from overparam._progress import counted
    from overparam._threads import threads_kept
    from overparam.cluster.backend import as_finished

    expect(n_jobs != 0, "study run --jobs", "a number of jobs, or -1 for every core", n_jobs)
    if not waiting:
        return
    with (
        threads_kept(),
        counted(progress, study.name, total, done=total - len(waiting), unit="cell") as advance,
    ):
        tasks = (joblib.delayed(_run_cell)(study.cell, *item) for item in waiting.items())
        for outcome in as_finished(tasks, n_jobs):
            yield cast(Outcome, outcome)
            advance()


def _run_cell(function: Callable[..., Any], index: int, cell: "Cell") -> Outcome:
    """Compute one cell, wherever this is run; what it raises is its outcome."""
    from overparam._threads import compute_on

    # One thread, also when a cell runs alone: sums are split by thread, and so are their bits.
    compute_on(1)
    started = time.perf_counter()
    try:
        with _ALONE:
            started = time.perf_counter()
            result = json.dumps(dict(function(**cell.parameters, seed=cell.seed)))
    except FileNotFoundError as error:  # all that a cell reads is data
        result = json.dumps({"absent": str(error)})
    except Exception:
        error = traceback.format_exc(limit=-4).strip()
        return Outcome(index, time.perf_counter() - started, error=error)
    return Outcome(index, time.perf_counter() - started, result)
