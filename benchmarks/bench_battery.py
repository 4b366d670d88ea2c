"""Simulations of electrodes: what 384 of them take, and what two easy mistakes would cost.

    bench_battery.py [--designs 96]

Processor time, on one thread. Beside it the same discharges with an array of times, at each of
which the solver has to stop, and with a model that is built anew for every electrode.
"""

import argparse
import time
from collections.abc import Callable, Iterable

import numpy as np
from rich.console import Console
from rich.table import Table

from overparam.battery import CoatingProcess, Structure, simulate, simulation
from overparam.battery.front import named
from overparam.battery.sampling import sampled_designs
from overparam.battery.simulation import OBJECTIVES

LIMIT, TIMES = 10.0, 120
CONSOLE = Console(width=110)


def electrodes(count: int) -> list[Structure]:
    """Structures of designs spread over the process window."""
    process = CoatingProcess()
    return [process.structure(named(process, row)) for row in sampled_designs(process, count)]


def busy(work: Callable[[Structure], object], structures: Iterable[Structure]) -> float:
    """Processor seconds."""
    start = time.process_time()
    for structure in structures:
        work(structure)
    return time.process_time() - start


def everything(structure: Structure) -> None:
    """All four objectives: four simulations."""
    simulate(structure, list(OBJECTIVES))


def by_times(structure: Structure) -> None:
    """A discharge at 1C that stops at an array of times."""
    inputs = simulation._inputs(structure, 1.0, simulation._FULL)
    simulation._simulation().solve(np.linspace(0, 5000, TIMES), inputs=inputs)


def built_anew(structure: Structure) -> None:
    """A discharge at 1C of a model that is built for it."""
    vars(simulation._made).clear()
    simulate(structure, ["energy"])


def measure(designs: int) -> list[tuple[str, int, float]]:
    """What was done, how many simulations it took, and their processor seconds."""
    structures = electrodes(designs)
    everything(structures[0])  # imports PyBaMM and builds the model
    few = structures[: max(designs // 12, 1)]
    return [
        ("as they are done", 4 * designs, busy(everything, structures)),
        (f"with an array of {TIMES} times", len(few), busy(by_times, few)),
        ("with a model built for each", len(few), busy(built_anew, few)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=96)
    table = Table("simulations", "number", "processor seconds", "seconds each")
    for words, number, seconds in measure(parser.parse_args().designs):
        table.add_row(words, str(number), f"{seconds:.2f}", f"{seconds / number:.4f}")
    CONSOLE.print(table)
    CONSOLE.print(f"The limit for 384 simulations is {LIMIT:g} processor seconds.")


if __name__ == "__main__":
    main()
