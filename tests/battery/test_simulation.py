"""The porous-electrode model against one that is built anew, and failures as data."""

import dataclasses
import threading

import numpy as np
import pytest

from overparam.battery import CoatingProcess, simulate, simulate_all
from overparam.battery.simulation import OBJECTIVES

pybamm = pytest.importorskip("pybamm", reason="needs pip install 'overparam[battery]'")

KNEE = {"active_material": 0.98, "solids": 0.639, "calendering": 0.383}
STRUCTURE = CoatingProcess().structure(KNEE)
# Its conductivity is too low for any current to speak of.
INSULATOR = dataclasses.replace(STRUCTURE, conductivity=1e-7)


@pytest.fixture(scope="module")
def found():
    return simulate(STRUCTURE, list(OBJECTIVES))


def test_the_faster_the_less_energy_and_the_curves_say_so(found):
    assert found["failure"] == ""
    assert found["slow_energy"] > found["energy"] > found["fast_energy"] > 0
    for name, curve in found["curves"].items():
        capacity, voltage = np.array(curve["capacity"]), np.array(curve["voltage"])
        assert len(capacity) <= 60
        assert (np.diff(capacity) > 0).all()
        assert voltage[-1] == pytest.approx(3.5, abs=1e-3)
        # Wh/m² over the height in m are Wh/m³; mAh/cm² are 10 Ah/m².
        height = STRUCTURE.thickness + 25e-6 + 7.5e-6
        energy = np.trapezoid(voltage, 10 * capacity) / height / 1000
        assert energy == pytest.approx(found[name], rel=5e-3)


def test_energy_and_power_are_what_they_were_when_first_measured(found):
    assert found["energy"] == pytest.approx(1919, rel=2e-3)
    assert found["power"] == pytest.approx(10980, rel=2e-3)


def test_a_model_built_of_these_numbers_alone_agrees(found):
    """Symbolic meshes and inputs against PyBaMM's own meshes and fixed parameters."""
    values = pybamm.ParameterValues("Xu2019")
    exchange = values["Positive electrode exchange-current density [A.m-2]"]

    def uncovered(*arguments):
        return (1 - STRUCTURE.coverage) * exchange(*arguments)

    charge = 96485.33 * 48230 * STRUCTURE.active_fraction * STRUCTURE.thickness * (0.88 - 0.096)
    current = charge / 3600 * 0.01 * 0.0154
    values.update(
        {
            "Positive electrode thickness [m]": STRUCTURE.thickness,
            "Positive electrode porosity": STRUCTURE.porosity,
            "Positive electrode active material volume fraction": STRUCTURE.active_fraction,
            "Positive electrode conductivity [S.m-1]": STRUCTURE.conductivity,
            "Positive electrode Bruggeman coefficient (electrode)": 0.0,
            "Positive electrode Bruggeman coefficient (electrolyte)": 1
            - np.log(STRUCTURE.tortuosity) / np.log(STRUCTURE.porosity),
            "Positive particle radius [m]": STRUCTURE.particle_radius,
            "Positive electrode exchange-current density [A.m-2]": uncovered,
            "Current function [A]": current,
            "Initial concentration in positive electrode [mol.m-3]": 0.096 * 48230,
        }
    )
    model = pybamm.lithium_ion.DFN({"working electrode": "positive"})
    simulation = pybamm.Simulation(model, parameter_values=values, solver=pybamm.IDAKLUSolver())
    solved = simulation.solve([0, 5000])
    energy = np.trapezoid(solved["Voltage [V]"].entries * current, solved.t) / 3600
    height = STRUCTURE.thickness + 25e-6 + 7.5e-6
    assert energy / (0.01 * 0.0154 * height) / 1000 == pytest.approx(found["energy"], rel=1e-3)


def test_the_same_electrode_gives_the_same_bits_in_any_thread_and_order(found):
    simulate(dataclasses.replace(STRUCTURE, thickness=30e-6), ["fast_energy"])
    again = []
    thread = threading.Thread(target=lambda: again.append(simulate(STRUCTURE, ["power"])))
    thread.start()
    assert simulate(STRUCTURE, list(OBJECTIVES)) == found
    thread.join()
    assert again[0]["power"] == found["power"]


def test_a_failure_is_a_result_and_no_number():
    found = simulate(INSULATOR, ["slow_energy", "power"])
    assert found["power"] is None
    assert found["failure"].startswith("pulse power: ")
    assert found["slow_energy"] > 0


def test_what_is_no_electrode_is_refused():
    with pytest.raises(ValueError, match=r"a possible electrode, got a porosity of 1\.2"):
        simulate(dataclasses.replace(STRUCTURE, porosity=1.2))
    with pytest.raises(ValueError, match="did you mean 'energy'"):
        simulate(STRUCTURE, ["enrgy"])


def test_finished_simulations_and_failures_are_kept(tmp_path):
    """Interrupted after the first, the second call computes the others alone."""
    electrodes = [INSULATOR, STRUCTURE, dataclasses.replace(STRUCTURE, thickness=30e-6)]
    told = []

    def interrupting(stage, done):
        told.append(done)
        if len(told) == 1:
            raise KeyboardInterrupt

    run = {"objectives": ["power"], "store": tmp_path / "cells"}
    with pytest.raises(KeyboardInterrupt):
        simulate_all(electrodes, **run, progress=interrupting)
    found = simulate_all(electrodes, **run, progress=interrupting)
    assert told == [1 / 3, 2 / 3, 1.0]
    assert [one["power"] is None for one in found] == [True, False, False]
    assert simulate_all(electrodes, **run, progress=interrupting) == found
    assert len(told) == 3
