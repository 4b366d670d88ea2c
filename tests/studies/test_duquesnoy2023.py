"""What the study of electrodes computes from its cells."""

import math

import numpy as np
import pandas as pd
import pytest

from overparam.studies import duquesnoy2023_electrode_design as study


def rows(**points):
    """Cells of one seed, by method the designs it evaluated."""
    return pd.DataFrame(
        [
            {"method": method, "seed": 0, "energy": [x for x, _ in some],
             "power": [y for _, y in some]}
            for method, some in points.items()
        ]
    )  # fmt: skip


def test_areas_are_counted_above_the_worst_of_the_sampled_designs():
    table = rows(
        sobol=[(1.0, 3.0), (2.0, 1.0)],
        nsga2=[(3.0, 3.0)],
        surrogate=[(3.0, 3.0), (2.0, 5.0)],
        shuffled=[(0.0, 0.0), (2.0, 2.0)],
    )
    found = study.areas(table)
    assert found == {"sobol": [0.0], "nsga2": [4.0], "surrogate": [6.0], "shuffled": [1.0]}
    assert study.ratio(table, "surrogate", "nsga2") == 1.5


def test_failed_designs_are_left_out_and_none_at_all_is_no_number():
    table = rows(
        sobol=[(1.0, 1.0), (math.nan, 0.0)],
        nsga2=[(math.nan, math.nan)],
        surrogate=[(3.0, 3.0)],
        shuffled=[(2.0, 2.0)],
    )
    found = study.areas(table)
    assert math.isnan(found["nsga2"][0])
    assert found["surrogate"] == [4.0]
    assert math.isnan(study.ratio(table, "surrogate", "nsga2"))


def test_the_control_learns_the_objectives_of_other_designs():
    x = np.random.default_rng(0).random((20, 3))
    y = np.stack([x[:, 0], x[:, 1]], 1) + 1
    bounds = dict.fromkeys("abc", (0.0, 1.0))
    honest = study.Surrogate(bounds, study.PAIR).fit(x, y)
    shuffled = study.Shuffled(bounds, study.PAIR).fit(x, y)
    assert honest.quality["energy"].r2 > 0.9 > 0.5 > shuffled.quality["energy"].r2


def test_nsga2_uses_no_more_evaluations_than_it_may(monkeypatch):
    pytest.importorskip("pymoo", reason="needs pip install 'overparam[battery]'")

    def evaluated(process, designs, objectives):
        return pd.DataFrame({"energy": designs[:, 0], "power": designs[:, 2]})

    monkeypatch.setattr(study, "evaluated", evaluated)
    assert len(study.nsga2(study.CoatingProcess(), 40, 0)) == 40
