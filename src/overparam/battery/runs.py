"""Simulations of many electrodes: cells through joblib, each stored as soon as it is finished."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from overparam._progress import Progress, expect_progress
from overparam.battery.packages import expect_packages
from overparam.battery.process import Structure
from overparam.battery.simulation import simulated_cell
from overparam.claims.fingerprint import fingerprint
from overparam.claims.run import compute_cells
from overparam.claims.store import CellStore
from overparam.claims.study import Cell


def simulate_all(
    structures: Sequence[Structure],
    objectives: Sequence[str] = ("energy", "power"),
    *,
    n_jobs: int | None = None,
    store: str | Path | None = None,
    progress: Progress = False,
) -> list[dict[str, Any]]:
    """What `simulate` finds of each electrode; those that the store has are not computed again.

    Every simulation runs on one thread, so the number of jobs and the back end change no bit of
    a result. One that fails is a result as well, and is kept.

    Args:
        structures: The electrodes.
        objectives: As for `simulate`.
        n_jobs: Electrodes at a time; `None` means what ``joblib.parallel_config`` says, else one.
        store: File of finished simulations; `None` means the one in the user's cache folder.
        progress: Whether to draw a bar where somebody watches, or a function that is called with
            the stage and the share of it that is done.

    Raises:
        ValueError: If an objective is unknown, or a structure is none of an electrode.
        MissingPackage: Without PyBaMM.
        CellsFailed: If workers were lost twice; what is finished is in the store.
        KeyboardInterrupt: If interrupted; likewise.

    Cost:
        As `simulate`, and about 3 s for each process that imports PyBaMM.
    """
    expect_progress(progress, "simulate_all(progress=...)")
    expect_packages("simulate_all(...)", "pybamm")
    named = {"objectives": list(objectives)}
    plan = [Cell({**asdict(structure), **named}, 0) for structure in structures]
    shared = {
        "study": "electrodes",
        "code": fingerprint(simulated_cell),
        "torch": metadata.version("torch"),
        "pybamm": metadata.version("pybamm"),
    }
    keys = [{**shared, "parameters": cell.parameters, "seed": cell.seed} for cell in plan]
    work: Any = SimpleNamespace(name="electrodes", cell=simulated_cell)
    stored = compute_cells(work, plan, keys, CellStore(store), n_jobs, progress)
    return [cell.result for cell in stored]
