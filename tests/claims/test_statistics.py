import math

import pandas as pd
import pytest

from overparam.claims import mean_at, seed_means, slope


def powers(exponent, factors=(1.0,)):
    return pd.DataFrame(
        [
            {"width": width, "seed": seed, "y": factor * width**exponent}
            for width in (64, 16, 256)
            for seed, factor in enumerate(factors)
        ]
    )


def test_slope_is_the_exponent_of_the_means():
    assert slope(powers(-0.5), "width", "y") == pytest.approx(-0.5, abs=1e-12)
    # Seeds that differ by a factor shift the line and leave its slope.
    assert slope(powers(-0.5, (1.0, 3.0)), "width", "y") == pytest.approx(-0.5, abs=1e-12)


def test_means_are_ascending_and_over_seeds():
    assert list(seed_means(powers(1.0, (1.0, 3.0)), "width", "y").items()) == [
        (16, 32.0),
        (64, 128.0),
        (256, 512.0),
    ]
    assert mean_at(powers(1.0), "width", "y") == 256.0
    assert mean_at(powers(1.0), "width", "y", at=16) == 16.0
    assert math.isnan(mean_at(powers(1.0), "width", "y", at=17))


@pytest.mark.parametrize("bad", [math.nan, 0.0, -1.0, math.inf])
def test_a_seed_that_went_wrong_is_not_left_out(bad):
    rows = powers(-0.5)
    rows.loc[0, "y"] = bad
    assert math.isnan(slope(rows, "width", "y"))


def test_one_width_has_no_slope():
    rows = powers(-0.5)
    assert math.isnan(slope(rows[rows["width"] == 64], "width", "y"))
