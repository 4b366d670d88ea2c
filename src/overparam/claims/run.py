"""Running a study: cells through joblib into the store, claims and figures out of it."""

import json
import sys
import time
from concurrent.futures import BrokenExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joblib import effective_n_jobs

from overparam._errors import expect
from overparam._progress import Progress, expect_progress
from overparam.claims.catalogue import load_study
from overparam.claims.document import study_document
from overparam.claims.fingerprint import fingerprint
from overparam.claims.parallel import Work, outcomes
from overparam.claims.provenance import provenance
from overparam.claims.store import CellStore, Stored
from overparam.claims.study import Cell, Study
from overparam.cluster.backend import ClusterLost

if TYPE_CHECKING:
    import pandas as pd


class CellsFailed(RuntimeError):
    """Cells of a study raised, or their workers died; the others are stored."""


def run_study(
    study: Study | str,
    size: str = "quick",
    *,
    seed: int = 0,
    n_jobs: int | None = None,
    store: str | Path | None = None,
    progress: Progress = True,
) -> dict[str, Any]:
    """The study's JSON document: every claim with its measured number and computed verdict.

    Cells that the store has are not computed again. Every cell runs on one thread, so the
    number of jobs and the back end change no bit of the result.

    Args:
        study: A study, or the name of one.
        size: "smoke", "quick" or "full".
        seed: s ≥ 0; another s repeats the study with independent randomness throughout.
        n_jobs: Cells at a time; `None` means what ``joblib.parallel_config`` says, else one.
            Its back end is used too, be it loky, threads, Ray or Dask; see `on_cluster`.
        store: File of finished cells; `None` means the one in the user's cache folder.
        progress: Whether to draw a bar where somebody watches, or a function that is called with
            the stage and the share of it that is done.

    Returns:
        ``{"kind": "study", "study", "title", "reference", "changed", "cost", "failure",
        "headlines", "size", "seed", "environment", "seconds", "claims", "series"}``, plain data
        without NaN or infinity.

    Raises:
        ValueError: If the study or size is unknown, or the store is not a store.
        MissingPackage: If the study needs an extra that is not installed.
        CellsFailed: If a cell failed, or workers were lost, twice; its parameters are in the
            message, and all finished cells in the store.
        ConnectionError: If a cluster was gone before the first cell.
        KeyboardInterrupt: If interrupted; finished cells are in the store, and a line on
            stderr says so.

    Cost:
        In the header of each study.
    """
    expect_progress(progress, "run_study(progress=...)")
    study = load_study(study) if isinstance(study, str) else study
    expect(
        not study.missing,
        f"study run {study.name}",
        f"the packages {', '.join(study.needs)}",
        "not all of them",
        hint=f"pip install 'overparam[{study.missing}]'.",
        error=ImportError,
    )
    started = time.monotonic()
    plan = study.plan(size, seed)
    keys = _keys(study, plan)
    results = compute_cells(study, plan, keys, CellStore(store), n_jobs, progress)
    table, cell_seconds = _table(plan, results), sum(cell.seconds for cell in results)
    return study_document(study, size, seed, table, time.monotonic() - started, cell_seconds)


def _keys(study: Study, plan: list[Cell]) -> list[dict[str, Any]]:
    """What identifies each cell in the store: if any of it changes, it is another cell."""
    shared = {"study": study.name, "code": fingerprint(study.cell), **provenance(study)}
    keys = [{**shared, "parameters": cell.parameters, "seed": cell.seed} for cell in plan]
    distinct = {json.dumps(key, sort_keys=True) for key in keys}
    expect(
        len(distinct) == len(keys) > 0,
        f"study {study.name!r}",
        "cells that differ in parameters or replicate",
        f"{len(keys)} cells of which {len(distinct)} differ",
    )
    return keys


def compute_cells(
    study: Work,
    plan: list[Cell],
    keys: list[dict[str, Any]],
    cells: CellStore,
    n_jobs: int | None,
    progress: Progress,
) -> list[Stored]:
    """Results of all cells of the plan; those the store lacks are computed, and stored at once.

    Args:
        study: A study, or anything else that names a function of cells.
        plan: Its cells.
        keys: What identifies each in the store; see `CellStore.put`.
        cells: The store.
        n_jobs: As for `run_study`.
        progress: Likewise.

    Raises:
        CellsFailed, KeyboardInterrupt: As `run_study`.
    """
    done = {i: found for i, key in enumerate(keys) if (found := cells.get(key)) is not None}
    if len(done) < len(plan):
        cells.expect_writable()
    failed: dict[int, str] = {}
    trouble = ""

    def compute(waiting: dict[int, Cell]) -> None:
        with closing(outcomes(study, waiting, n_jobs, progress, len(plan))) as arriving:
            for outcome in arriving:
                if outcome.result is None:
                    failed[outcome.index] = outcome.error
                    continue
                result = json.loads(outcome.result)
                if not result.get("absent"):
                    cells.put(keys[outcome.index], outcome.result, outcome.seconds)
                done[outcome.index] = Stored(result, outcome.seconds)

    def waiting() -> dict[int, Cell]:
        return {i: cell for i, cell in enumerate(plan) if i not in done and i not in failed}

    try:
        try:
            compute(waiting())
        except BrokenExecutor:
            # A worker was killed, which ends the others too. What was under way comes last and
            # alone: if one of these cells is the reason, it takes no other with it again.
            lost, first = list(waiting().items()), effective_n_jobs(n_jobs)  # pyright: ignore
            compute(dict(lost[first:]))
            compute(dict(lost[:first]))
    except KeyboardInterrupt:
        # The store is asked: one may be in it that had not been counted yet.
        stored = sum(cells.get(key) is not None for key in keys)
        print(
            f"Interrupted: {stored} of {len(plan)} cells of {study.name} are stored in "
            f"{cells.path}; the same command continues from there.",
            file=sys.stderr,
        )
        raise
    except (RuntimeError, ClusterLost) as problem:  # the back end's: workers were lost again
        trouble = " ".join(f"{type(problem).__name__}: {problem}".split())
    if len(done) < len(plan):
        lost = [cell for i, cell in enumerate(plan) if i not in done and i not in failed]
        raise CellsFailed(_complaint(study, plan, failed, lost, trouble))
    return [done[i] for i in range(len(plan))]


def _complaint(
    study: Work, plan: list[Cell], failed: dict[int, str], lost: list[Cell], trouble: str
) -> str:
    """Which cells have no result and why, the first traceback in full."""
    done = len(plan) - len(failed) - len(lost)
    lines = [
        f"{len(failed) + len(lost)} of {len(plan)} cells of {study.name} failed; the other "
        f"{done} are stored."
    ]
    for i, error in failed.items():
        lines.append(f"  {_described(plan[i])}: {error.splitlines()[-1]}")
    if lost:
        lines.append(f"  {len(lost)} not computed, such as {_described(lost[0])}: {trouble}")
    if failed:
        lines.append(f"The first in full:\n{next(iter(failed.values()))}")
    return "\n".join(lines)


def _described(cell: Cell) -> str:
    """The cell as the call that would repeat it."""
    return ", ".join(f"{name}={value!r}" for name, value in cell.parameters.items()) + (
        f", seed={cell.seed}"
    )


def _table(plan: list[Cell], results: list[Stored]) -> "pd.DataFrame":
    """One row per cell: parameters, seed, results."""
    import pandas as pd

    rows = []
    for cell, stored in zip(plan, results, strict=True):
        row = {**cell.parameters, "seed": cell.seed}
        clash = row.keys() & stored.result.keys()
        assert not clash, f"a cell returns {clash}, which are names of its parameters"
        rows.append(row | stored.result)
    return pd.DataFrame(rows)
