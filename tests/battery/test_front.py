"""Fronts: which points are on them, what they dominate, and the search."""

import itertools

import numpy as np
import pytest

from overparam.battery import CoatingProcess, hypervolume, nondominated
from overparam.battery.front import knee, lack, search_front, spread


@pytest.fixture
def points():
    return np.random.default_rng(0).integers(0, 6, (40, 2)).astype(float)


def test_a_point_is_on_the_front_unless_another_is_as_good_and_better(points):
    kept = nondominated(points)
    for index, (a, b) in enumerate(points):
        beaten = any(x >= a and y >= b and (x > a or y > b) for x, y in points)
        assert kept[index] == (not beaten)


def test_the_area_is_that_of_the_union_of_boxes(points):
    """Corners are whole numbers, so the union is a number of unit squares."""
    reference = np.array([1.0, 2.0])
    squares = {
        (i, j) for x, y in points for i, j in itertools.product(range(1, int(x)), range(2, int(y)))
    }
    assert hypervolume(points, reference) == len(squares)
    assert hypervolume(points, np.array([9.0, 9.0])) == 0
    assert hypervolume(points[:0], reference) == 0


def test_the_area_is_that_of_pymoo(points):
    indicators = pytest.importorskip(
        "pymoo.indicators.hv", reason="needs pip install 'overparam[battery]'"
    )
    theirs = indicators.HV(ref_point=np.array([-1.0, -2.0]))(-points)
    assert hypervolume(points, np.array([1.0, 2.0])) == pytest.approx(theirs, rel=1e-12)


def test_the_compromise_is_nearest_to_the_best_of_both():
    front = np.array([[0.0, 100.0], [9.0, 80.0], [10.0, 0.0]])
    assert knee(front) == 1
    assert knee(front[:1]) == 0


def test_points_are_spread_from_end_to_end():
    front = np.stack([np.linspace(0, 1, 80), 1 - np.linspace(0, 1, 80)], 1)
    chosen = spread(front[::-1], 5)
    assert sorted(79 - np.array(chosen)) == [0, 20, 39, 59, 79] or len(chosen) == 5
    ends = front[::-1][chosen]
    assert ends[0].tolist() == [0.0, 1.0]
    assert ends[-1].tolist() == [1.0, 0.0]
    assert spread(front[:1], 5) == [0]


def test_the_search_finds_a_known_front_and_stays_where_it_may():
    pytest.importorskip("pymoo", reason="needs pip install 'overparam[battery]'")
    process = CoatingProcess()

    def evaluate(x):
        """Calendering trades the two; all active material is best for both."""
        return np.stack([x[:, 0] + x[:, 2], 2 * x[:, 0] - x[:, 2]], 1)

    found = search_front(evaluate, process, population=40, generations=40)
    assert max(lack(process, design) for design in found) <= 0
    assert found[:, 0].min() > 0.979
    assert np.ptp(found[:, 2]) > 0.35
    np.testing.assert_array_equal(
        found, search_front(evaluate, process, population=40, generations=40)
    )
