"""Process relations: what they conserve, what they refuse."""

import dataclasses
import math
from typing import ClassVar

import pytest

from overparam.battery import CoatingProcess, ProcessModel, Structure

KNEE = {"active_material": 0.98, "solids": 0.639, "calendering": 0.383}


def test_the_compromise_has_the_structure_it_had_when_the_relations_were_first_tried():
    made = CoatingProcess().structure(KNEE)
    assert made.porosity == pytest.approx(0.199, abs=1e-3)
    assert made.thickness == pytest.approx(53.1e-6, abs=1e-7)
    assert made.impossible() == ""


@pytest.mark.parametrize("reduction", [0.0, 0.2, 0.4])
def test_calendering_conserves_the_solids(reduction):
    """Solids per area are thickness · (1 − porosity): the same however far it is pressed."""
    process = CoatingProcess()
    before = process.structure(KNEE | {"calendering": 0.0})
    after = process.structure(KNEE | {"calendering": reduction})
    solids = [made.thickness * (1 - made.porosity) for made in (before, after)]
    assert solids[1] == pytest.approx(solids[0], rel=1e-12)
    active = [made.thickness * made.active_fraction for made in (before, after)]
    assert active[1] == pytest.approx(active[0], rel=1e-12)


def test_a_slurry_of_more_solids_or_a_wider_gap_makes_a_thicker_coating():
    process, wider = CoatingProcess(), CoatingProcess(wet_gap=200e-6)
    made = process.structure(KNEE)
    assert process.structure(KNEE | {"solids": 0.7}).thickness > made.thickness
    assert wider.structure(KNEE).thickness == pytest.approx(made.thickness * 200 / 150, rel=1e-12)


def test_binder_conducts_covers_and_lengthens_the_paths():
    process = CoatingProcess()
    little, much = (process.structure(KNEE | {"active_material": w}) for w in (0.98, 0.92))
    assert much.conductivity > little.conductivity
    assert much.coverage > little.coverage
    at_equal_porosity = [
        made.tortuosity * made.porosity**process.pore_exponent for made in (little, much)
    ]
    assert at_equal_porosity[1] > at_equal_porosity[0] > 1


def test_pressed_too_far_is_told_and_not_hidden():
    made = CoatingProcess().structure(KNEE | {"active_material": 0.9, "calendering": 0.45})
    assert made.porosity < 0
    assert made.impossible().startswith("a porosity of -0.0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"thickness": 0.0}, "thickness"),
        ({"conductivity": math.nan}, "conductivity"),
        ({"porosity": 0.3, "active_fraction": 0.8}, "more than its volume"),
        ({"tortuosity": 0.9}, "tortuosity"),
        ({"coverage": 1.0}, "coverage"),
    ],
)
def test_what_is_no_electrode_says_why(change, words):
    made = dataclasses.replace(CoatingProcess().structure(KNEE), **change)
    assert words in made.impossible()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"wet_gap": -1e-6}, "wet_gap"),
        ({"wet_gap": "thick"}, "wet_gap"),
        ({"packing": 1.2}, "a share between 0 and 1"),
        ({"pore_exponent": math.nan}, "pore_exponent"),
        ({"bounds": {"solids": (0.5, 0.6)}}, "active_material, solids, calendering"),
        ({"bounds": CoatingProcess().bounds | {"solids": (55, 70)}}, "not in per cent"),
        ({"bounds": CoatingProcess().bounds | {"solids": (0.7, 0.6)}}, "lowest, highest"),
    ],
)
def test_coefficients_that_cannot_be_are_refused_by_name(given, words):
    with pytest.raises(ValueError, match=r"`CoatingProcess\(") as refused:
        CoatingProcess(**given)
    assert words in str(refused.value)


def test_whatever_has_windows_and_structures_is_a_process_model():
    class Table:
        bounds: ClassVar = {"speed": (1.0, 2.0)}
        smallest_porosity = 0.1

        def structure(self, parameters):
            return Structure(50e-6, 0.3, 0.6, 1.0, tortuosity=2.0)

    assert isinstance(Table(), ProcessModel)
    assert isinstance(CoatingProcess(), ProcessModel)
    assert not isinstance(object(), ProcessModel)
