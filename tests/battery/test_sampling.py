"""Designs spread over a window, and windows without any."""

import numpy as np
import pytest

from overparam.battery import CoatingProcess
from overparam.battery.front import lack
from overparam.battery.sampling import sampled_designs

PROCESS = CoatingProcess()


def test_designs_are_allowed_even_and_the_same_for_a_seed():
    designs = sampled_designs(PROCESS, 64, seed=3)
    assert designs.shape == (64, 3)
    assert max(lack(PROCESS, design) for design in designs) <= 0
    np.testing.assert_array_equal(designs, sampled_designs(PROCESS, 64, seed=3))
    np.testing.assert_array_equal(designs[:10], sampled_designs(PROCESS, 10, seed=3))
    assert not np.array_equal(designs, sampled_designs(PROCESS, 64, seed=4))


def test_a_window_where_all_is_possible_is_sampled_evenly():
    """Of 64 points of the sequence each quarter of a window gets 16."""
    process = CoatingProcess(bounds=PROCESS.bounds | {"calendering": (0.0, 0.1)})
    designs = sampled_designs(process, 64)
    for column, (low, high) in zip(designs.T, process.bounds.values(), strict=True):
        counts, _ = np.histogram(column, bins=4, range=(low, high))
        assert counts.tolist() == [16] * 4


def test_an_impossible_window_is_one_clear_error():
    process = CoatingProcess(bounds=PROCESS.bounds | {"calendering": (0.46, 0.5)})
    with pytest.raises(ValueError, match="a window in which a design of 64 is possible") as error:
        sampled_designs(process, 8)
    assert "a porosity of" in str(error.value)
    assert "calendering 0." in str(error.value)


def test_a_window_that_is_possible_in_a_corner_is_found():
    process = CoatingProcess(bounds=PROCESS.bounds | {"calendering": (0.3, 0.5)})
    assert len(sampled_designs(process, 8)) == 8
