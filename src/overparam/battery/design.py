"""From a process window to electrodes for energy or for power: sample, fit, search, check."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from overparam._environment import environment
from overparam._errors import expect, unknown
from overparam._json import strict
from overparam._numbers import is_integer
from overparam._progress import Progress, expect_progress, telling
from overparam._statement import Concluded, Statement, most_urgent_first
from overparam.battery.effects import effects
from overparam.battery.exploration import Exploration, explore
from overparam.battery.front import hypervolume, knee, named
from overparam.battery.inverse import InverseDesign, inverse_design
from overparam.battery.packages import expect_packages
from overparam.battery.process import CoatingProcess, ProcessModel
from overparam.battery.runs import simulate_all
from overparam.battery.simulation import OBJECTIVES
from overparam.battery.statements import conclusions
from overparam.battery.surrogate import Surrogate

SMALLEST_BUDGET = 24


@dataclass(frozen=True, eq=False, repr=False)
class ElectrodeDesign(Concluded):
    """The outcome of `design_electrode`.

    Attributes:
        process: The process model.
        designs: Every simulated design, a row each: process parameters, structure, objectives
            (NaN where a simulation failed), `failure`, `stage` ("sampled"; "proposed" by the
            surrogate and used for its last fit; "checked", proposed after that), and `front`,
            whether no other simulated design beats it.
        surrogate: Fitted to all designs but the checked ones.
        front: The surrogate's own front: parameters and predicted objectives; empty if it
            predicts too badly to be searched.
        document: All of it as plain data.
    """

    process: ProcessModel
    designs: pd.DataFrame
    surrogate: Surrogate
    front: pd.DataFrame
    document: dict[str, Any]

    def _statements(self) -> list[Statement]:
        stored = self.document["statements"]
        numbers = ("value", "threshold")
        return most_urgent_first(
            Statement(**row | {n: np.nan if row[n] is None else row[n] for n in numbers})
            for row in stored
        )

    def to_dict(self) -> dict[str, Any]:
        """The document."""
        return self.document

    @property
    def knee(self) -> pd.Series:
        """The simulated design nearest to the best of both objectives."""
        best: Any = self.designs[self.designs["front"]]
        return best.iloc[knee(best[list(self.surrogate.objectives)].to_numpy())]

    def inverse(self, **wanted: float) -> InverseDesign:
        """Process parameters for wanted objectives; see `inverse_design`."""
        return inverse_design(self.surrogate, self.process, wanted, seed=self.surrogate.seed)


def design_electrode(
    process: ProcessModel | None = None,
    objectives: Sequence[str] = ("energy", "power"),
    *,
    budget: int = 96,
    seed: int = 0,
    n_jobs: int | None = None,
    store: str | Path | None = None,
    progress: Progress = False,
    command: str | None = None,
) -> ElectrodeDesign:
    """Electrodes that trade two objectives against each other as well as they can be traded.

    Half of the budget is designs spread over the process window. A surrogate fitted to these is
    searched by NSGA-II; a quarter checks what that found by simulation, the surrogate is fitted
    to these too, and another quarter checks what it finds then. Nothing is concluded from
    predictions alone.

    Args:
        process: What turns process parameters into a structure; `None` means `CoatingProcess()`.
        objectives: Two out of energy, fast_energy, slow_energy (at 1C, 3C and C/5) and power.
        budget: Designs to simulate, at least 24.
        seed: Of samples, surrogate and search.
        n_jobs: Designs at a time, as for `simulate_all`.
        store: File of finished simulations, likewise.
        progress: Whether to draw bars where somebody watches, or a function that is called with
            the stage and the share of it that is done.
        command: What the page says to repeat.

    Raises:
        ValueError: If there are not two known objectives, the budget is too small, the process
            allows next to nothing, or all simulations of an objective failed.
        MissingPackage: Without PyBaMM or pymoo.

    Cost:
        About 0.06 s for each design and job, and 7 s.

    Example:
        ::

            found = design_electrode(budget=96)
            print(found.summary())
            found.knee["calendering"], found.inverse(energy=1900, power=11000).parameters

    References:
        Duquesnoy, Liu, Zapata Dominguez, Kumar, Ayerbe, Franco (2023), arXiv:2307.05521.
    """
    started = time.perf_counter()
    process = CoatingProcess() if process is None else process
    where = "design_electrode(objectives=...)"
    for name in objectives:
        if name not in OBJECTIVES:
            unknown(where, "an objective", name, OBJECTIVES)
    expect(len(set(objectives)) == len(objectives) == 2, where, "two of them", list(objectives))
    expected = f"a number of designs, at least {SMALLEST_BUDGET}"
    enough = is_integer(budget) and budget >= SMALLEST_BUDGET
    expect(enough, "design_electrode(budget=...)", expected, repr(budget))
    expect_process(process, "design_electrode(process=...)")
    expect_progress(progress, "design_electrode(progress=...)")
    expect_packages("design_electrode(...)", "pybamm", "pymoo")
    run = {"n_jobs": n_jobs, "store": store, "progress": progress}
    with telling(progress) as tell:
        found = explore(
            process,
            Surrogate(process.bounds, list(objectives), seed=seed),
            lambda designs: simulated(process, designs, **run),
            budget=budget,
            tell=tell,
        )
    document = _document(
        process, found, environment(
            seconds=time.perf_counter() - started, seed=seed, threads=1, command=command
        ),
    )  # fmt: skip
    table = found.table.drop(columns="curves")
    return ElectrodeDesign(process, table, found.surrogate, found.front, document)


def expect_process(process: Any, where: str) -> None:
    """Raise unless it is a `ProcessModel`."""
    expected = "a process model, with bounds, smallest_porosity and structure(parameters)"
    expect(isinstance(process, ProcessModel), where, expected, type(process).__name__,
           error=TypeError)  # fmt: skip


def simulated(process: ProcessModel, designs: Float[np.ndarray, "n d"], **run: Any) -> pd.DataFrame:
    """Designs with their structures, every objective, and discharges; a row each."""
    parameters = [named(process, design) for design in designs]
    structures = [process.structure(given) for given in parameters]
    found = simulate_all(structures, list(OBJECTIVES), **run)
    rows = [
        {**given, **asdict(structure), **result}
        for given, structure, result in zip(parameters, structures, found, strict=True)
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(OBJECTIVES, float))


def _document(
    process: ProcessModel, found: Exploration, record: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything the page is drawn from."""
    table: Any = found.table  # of a frame, pyright takes what a mask selects for a column
    surrogate, front = found.surrogate, found.front
    names, parameters = list(surrogate.objectives), list(process.bounds)
    known = table.dropna(subset=names)
    sampled, best = known[known["stage"] == "sampled"], table[table["front"]]
    chosen = _chosen(best, names)
    gain = _gain(sampled, best, names)
    errors = _errors(known[known["stage"] == "checked"], surrogate)
    columns = (*parameters, "thickness", "porosity", *OBJECTIVES, "failure", "stage", "front")
    return strict({
        "kind": "electrode",
        "environment": record,
        "process": {
            "name": type(process).__name__,
            "bounds": {name: list(window) for name, window in process.bounds.items()},
            "smallest_porosity": process.smallest_porosity,
        },
        "objectives": [
            {"name": name, "words": OBJECTIVES[name].words, "unit": OBJECTIVES[name].unit}
            for name in names
        ],
        "surrogate": {
            "name": "Gaussian process",
            "designs": len(known[known["stage"] != "checked"]),
            "quality": {name: asdict(quality) for name, quality in surrogate.quality.items()},
            "checked": errors,
        },
        "hypervolume": gain,
        "statements": [
            asdict(statement)
            for statement in conclusions(process, table, surrogate, chosen, gain, errors)
        ],
        "series": {
            "designs": {name: table[name].tolist() for name in columns},
            "front": front.to_dict(orient="list"),
            "chosen": [_drawn(row, label, parameters, names) for label, row in chosen.items()],
            "effects": effects(surrogate, process, sampled[parameters].to_numpy()),
        },
    })  # fmt: skip


def _chosen(best: Any, names: list[str]) -> dict[str, Any]:
    """The designs that are drawn: the ends of the simulated front, and its knee."""
    middle = best.iloc[knee(best[names].to_numpy())]
    return {
        f"most {names[0]}": best.loc[best[names[0]].idxmax()],
        "knee": middle,
        f"most {names[1]}": best.loc[best[names[1]].idxmax()],
    }


def _gain(sampled: Any, best: Any, names: list[str]) -> dict[str, float]:
    """What is dominated above the worst of the sampled designs, by these and in the end."""
    points = sampled[names].to_numpy()
    reference = points.min(0)
    before = hypervolume(points, reference)
    after = hypervolume(best[names].to_numpy(), reference)
    return {"sampled": before, "checked": after, "ratio": after / before if before else np.nan}


def _errors(checked: Any, surrogate: Surrogate) -> dict[str, float | None]:
    """By objective the largest relative error of the surrogate on designs it proposed last."""
    names = list(surrogate.objectives)
    if not len(checked):
        return dict.fromkeys(names)
    predicted = surrogate.predict(checked[list(surrogate.bounds)].to_numpy())
    off = np.abs(predicted / checked[names].to_numpy() - 1)
    return dict(zip(names, off.max(0).tolist(), strict=True))


def _drawn(row: Any, label: str, parameters: list[str], names: list[str]) -> dict[str, Any]:
    """A design of the front with its discharges."""
    return {
        "label": "best compromise" if label == "knee" else label.replace("_", " "),
        "parameters": {name: row[name] for name in parameters},
        "structure": {name: row[name] for name in ("thickness", "porosity", "conductivity")},
        "objectives": {name: row[name] for name in names},
        "curves": [
            {
                "name": OBJECTIVES[name].words.rpartition(" at ")[2],
                "rate": OBJECTIVES[name].rate,
                **curve,
            }
            for name, curve in row["curves"].items()
        ],
    }
