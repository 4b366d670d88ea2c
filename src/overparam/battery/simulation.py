"""An electrode in the Doyle–Fuller–Newman model on PyBaMM: plain numbers in, plain numbers out."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from overparam._errors import expect, unknown
from overparam.battery.packages import package
from overparam.battery.process import Structure


@dataclass(frozen=True)
class Objective:
    """A number to be large.

    Attributes:
        words: What it is.
        unit: Of what is said and drawn.
        rate: Current in multiples of the one that empties the electrode in an hour.
        pulse: Seconds of a pulse; 0 means a discharge to the lowest voltage.
    """

    words: str
    unit: str
    rate: float
    pulse: float = 0.0


OBJECTIVES = {
    "energy": Objective("energy at 1C", "Wh/L", 1.0),
    "fast_energy": Objective("energy at 3C", "Wh/L", 3.0),
    "slow_energy": Objective("energy at C/5", "Wh/L", 0.2),
    "power": Objective("pulse power", "W/L", 3.0, pulse=10.0),
}
CURVE_POINTS = 60

# NMC532 against lithium, 3.5 to 4.2 V: a half cell, so that no anode has to be balanced.
_PARAMETERS = "Xu2019"
_FULL, _EMPTY = 0.096, 0.88  # stoichiometries, from the charged electrode to 3.5 V
_FOIL = 7.5e-6  # half of the foil, which carries a coating on its other side too; in m
# A discharge that has not ended by then is a mistake; in multiples of the nominal time.
_LONGEST = 1.4
_ELECTRODE = "Positive electrode"
_INPUTS = {
    "thickness": f"{_ELECTRODE} thickness [m]",
    "porosity": f"{_ELECTRODE} porosity",
    "active_fraction": f"{_ELECTRODE} active material volume fraction",
    "conductivity": f"{_ELECTRODE} conductivity [S.m-1]",
    "exponent": f"{_ELECTRODE} Bruggeman coefficient (electrolyte)",
    "particle_radius": "Positive particle radius [m]",
    "current": "Current function [A]",
    "concentration": "Initial concentration in positive electrode [mol.m-3]",
}
_EXCHANGE = f"{_ELECTRODE} exchange-current density [A.m-2]"
_COVERAGE = "Coverage of the particles"
# What is read. Said beforehand, it is computed as the solver goes; the states are not kept.
_VOLTAGE = "Voltage [V]"
_ENERGY = "Discharge energy [W.h]"
_AT_REST = "Battery open-circuit voltage [V]"
_made = threading.local()  # of each thread its own: a simulation keeps what it solved last


def simulate(
    structure: Structure, objectives: Sequence[str] = ("energy", "power")
) -> dict[str, Any]:
    """What an electrode of this structure gives against lithium, per volume.

    The volume is that of the coating, the separator, and half of the foil. *Energy* is that of
    a discharge to 3.5 V at a constant current. *Power* is that of a pulse test: from half full
    ten seconds at 3C give the resistance R = (U₀ − U)/I, and P = U_min (U₀ − U_min)/R, what the
    electrode could give at its lowest voltage U_min. The mean power of a discharge would not
    do: it is proportional to the capacity times the voltage, and no trade against energy.

    Args:
        structure: The electrode.
        objectives: Names out of energy, fast_energy, slow_energy (at 1C, 3C and C/5) and power.

    Returns:
        By objective its number, `None` where the simulation failed; ``"failure"``, in words why
        one did, empty if none did; ``"curves"``, by discharge ``{"capacity", "voltage"}``: mAh/cm²
        and V, at most 60 points each.

    Raises:
        ValueError: If an objective is unknown, or the structure is none of an electrode.
        MissingPackage: Without PyBaMM.

    Cost:
        About 20 ms for each objective, 0.3 s more for the first of a process.

    References:
        Doyle, Fuller, Newman (1993), J. Electrochem. Soc. 140, 1526: the model. Sulzer et al.
        (2021), J. Open Res. Softw. 9, 14: PyBaMM. Xu et al. (2019), J. Electrochem. Soc. 166,
        A3456: the parameters.
    """
    impossible = structure.impossible()
    expect(not impossible, "simulate(structure=...)", "a possible electrode", impossible)
    for name in objectives:
        if name not in OBJECTIVES:
            unknown("simulate(objectives=...)", "an objective", name, OBJECTIVES)
    found: dict[str, Any] = {"failure": "", "curves": {}}
    for name in objectives:
        objective = OBJECTIVES[name]
        try:
            if objective.pulse:
                found[name] = _power(structure, objective)
            else:
                found[name], found["curves"][name] = _energy(structure, objective)
        except _Failed as problem:
            found[name] = None
            found["failure"] = found["failure"] or f"{objective.words}: {problem}"
    return found


class _Failed(Exception):
    """A simulation that gives no number; why, in words."""


def _energy(structure: Structure, objective: Objective) -> tuple[float, dict[str, list[float]]]:
    """Wh/L of a discharge, and its curve."""
    longest = _LONGEST * 3600 / objective.rate
    solved = _solved(structure, objective.rate, _FULL, longest)
    if solved.termination != "event: Minimum voltage [V]":
        raise _Failed(f"ended by {_reason(solved.termination)}")
    area, current = _geometry(structure, objective.rate)
    watt_hours = float(solved[_ENERGY].entries[-1])
    capacity = np.asarray(solved.t) / 3600 * current / area / 10  # A h/m² to mAh/cm²
    voltage = np.asarray(solved[_VOLTAGE].entries)
    kept = np.unique(np.linspace(0, len(capacity) - 1, CURVE_POINTS).round().astype(int))
    curve = {"capacity": capacity[kept].tolist(), "voltage": voltage[kept].tolist()}
    return watt_hours / (area * _height(structure) * 1000), curve


def _power(structure: Structure, objective: Objective) -> float:
    """W/L of a pulse from half full."""
    solved = _solved(structure, objective.rate, (_FULL + _EMPTY) / 2, objective.pulse)
    if solved.termination != "final time":
        raise _Failed(f"ended by {_reason(solved.termination)}")
    area, current = _geometry(structure, objective.rate)
    at_rest = float(solved[_AT_REST].entries[0])
    resistance = (at_rest - float(solved[_VOLTAGE].entries[-1])) / current
    lowest = float(_cell()["Lower voltage cut-off [V]"])
    return lowest * (at_rest - lowest) / resistance / (area * _height(structure) * 1000)


def _reason(termination: str) -> str:
    """How PyBaMM says that a simulation ended, without its punctuation."""
    return termination.removeprefix("event: ").lower().replace("[v]", "").strip()


def _height(structure: Structure) -> float:
    """Of what a layer of the cell takes, in m."""
    return structure.thickness + float(_cell()["Separator thickness [m]"]) + _FOIL


def _geometry(structure: Structure, rate: float) -> tuple[float, float]:
    """Area of the cell in m², and the current in A that empties the electrode in 1/rate hours."""
    cell = _cell()
    area = float(cell["Electrode height [m]"]) * float(cell["Electrode width [m]"])
    most = float(cell[f"Maximum concentration in {_ELECTRODE.lower()} [mol.m-3]"])
    faraday = 96485.33212
    charge = faraday * most * structure.active_fraction * structure.thickness * (_EMPTY - _FULL)
    return area, rate * area * charge / 3600


def _solved(structure: Structure, rate: float, filled: float, longest: float) -> Any:
    """The solution from a stoichiometry on, at the solver's own steps.

    A list of two times lets the solver choose its steps. An array of times would make it stop at
    each of them, which costs twenty times as much.
    """
    pybamm = package("pybamm")
    try:
        return _simulation().solve([0, longest], inputs=_inputs(structure, rate, filled))
    except pybamm.SolverError as problem:
        said = " ".join(str(problem).split()).partition(" with inputs")[0]
        raise _Failed(f"the solver gave up ({said[:120]})") from None


def _inputs(structure: Structure, rate: float, filled: float) -> dict[str, float]:
    """A structure, a current and a stoichiometry in PyBaMM's words."""
    numbers = {name: getattr(structure, name, 0.0) for name in _INPUTS}
    # PyBaMM's exponent b says D ε^b, a tortuosity factor says D ε/τ.
    numbers["exponent"] = 1 - math.log(structure.tortuosity) / math.log(structure.porosity)
    numbers["current"] = _geometry(structure, rate)[1]
    most = float(_cell()[f"Maximum concentration in {_ELECTRODE.lower()} [mol.m-3]"])
    numbers["concentration"] = filled * most
    inputs = {_INPUTS[name]: value for name, value in numbers.items()}
    return inputs | {_COVERAGE: structure.coverage}


def _cell() -> Any:
    """Parameters of the cell that the structure does not change; of each thread its own."""
    if not hasattr(_made, "cell"):
        _made.cell = package("pybamm").ParameterValues(_PARAMETERS)
    return _made.cell


def _simulation() -> Any:
    """The simulation of this thread: the structure is an input, so it is built once.

    Built of a model of its own, since PyBaMM does not take one that another simulation used.
    Meshes are symbolic, or a thickness could be no input.
    """
    if hasattr(_made, "simulation"):
        return _made.simulation
    pybamm = package("pybamm")
    half = {"working electrode": "positive", "calculate discharge energy": "true"}
    model = pybamm.lithium_ion.DFN(half)
    values = pybamm.ParameterValues(_PARAMETERS)
    exchange = values[_EXCHANGE]

    def uncovered(*arguments: Any) -> Any:
        """Only what is not covered takes part; the model has no surface area to set."""
        return (1 - pybamm.InputParameter(_COVERAGE)) * exchange(*arguments)

    values.update(dict.fromkeys(_INPUTS.values(), "[input]"))
    # The conductivity given is the effective one; PyBaMM would lower it by the porosity again.
    values.update({_EXCHANGE: uncovered, f"{_ELECTRODE} Bruggeman coefficient (electrode)": 0.0})
    meshes = {
        part: mesh if part == "current collector" else pybamm.SymbolicUniform1DSubMesh
        for part, mesh in model.default_submesh_types.items()
    }
    _made.simulation = pybamm.Simulation(
        model,
        parameter_values=values,
        submesh_types=meshes,
        solver=pybamm.IDAKLUSolver(output_variables=[_VOLTAGE, _ENERGY, _AT_REST]),
    )
    return _made.simulation


def simulated_cell(objectives: Sequence[str], seed: int, **structure: float) -> dict[str, Any]:
    """`simulate` as a cell of a store takes it: plain data, nothing random."""
    return simulate(Structure(**structure), objectives)
