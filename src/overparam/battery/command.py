"""What `overparam battery design` does."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from overparam._errors import UsageError
from overparam.battery.design import ElectrodeDesign, design_electrode
from overparam.battery.process_file import load_process
from overparam.cluster.connect import on_cluster


def run_design(
    process: Path | None,
    objectives: str,
    budget: int,
    *,
    jobs: int | None,
    cluster: str | None,
    store: Path | None,
    seed: int,
    command: str,
) -> ElectrodeDesign:
    """The designs that the command line asks for, in its own words.

    Raises:
        UsageError, ValueError, TypeError, OSError, MissingPackage: As `design_electrode` and
            `load_process`.
    """
    model = None if process is None else load_process(process)
    with on_cluster(cluster, n_jobs=jobs):
        return design_electrode(
            model, [word.strip() for word in objectives.split(",") if word.strip()],
            budget=budget, seed=seed, n_jobs=-1 if jobs is None else jobs, store=store,
            progress=True, command=command,
        )  # fmt: skip


def wanted_numbers(wanted: Sequence[str], objectives: str) -> dict[str, float]:
    """What ``NAME=NUMBER`` of objectives says.

    Raises:
        UsageError: If one is not of that form, or of another objective.
    """
    known = [word.strip() for word in objectives.split(",")]
    numbers = {}
    for words in wanted:
        name, _, number = (part.strip() for part in words.partition("="))
        try:
            numbers[name] = float(number)
        except ValueError:
            problem = f"--want is NAME=NUMBER, such as energy=1900, not {words!r}."
            raise UsageError(problem) from None
        if name not in known or not 0 < numbers[name] < math.inf:
            raise UsageError(
                f"--want is a positive number of one of {', '.join(known)}, not {words!r}."
            )
    return numbers


def inverse_line(found: ElectrodeDesign, wanted: Mapping[str, float]) -> str:
    """How to make what is wanted, or what comes nearest, in a line."""
    answer = found.inverse(**wanted)
    made = ", ".join(f"{name} {value:.4g}" for name, value in answer.parameters.items())
    gives = ", ".join(
        f"{name} {value:.5g} ± {answer.uncertainty[name]:.2g}"
        for name, value in answer.predicted.items()
    )
    begin = (
        "wanted" if answer.reached else f"out of reach by {100 * answer.distance:.2g} %; nearest"
    )
    return f"{begin}: {made} (predicted {gives}; porosity {answer.structure.porosity:.3f})"
