"""Trainings that diverge are a row without numbers, not the end of a study."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from overparam.studies.zhu2024_sgd_catapults.statistics import (
    rank_correlation,
    runs_with_spikes,
    spikes_left,
    usual_share,
)
from overparam.studies.zhu2024_sgd_catapults.synthetic import problem


def test_a_training_that_diverged_has_no_outcome_and_no_critical_rate() -> None:
    for value in (math.nan, 1e25):
        at = problem("x1x2+x3x4", 64, 1)
        assert all(map(math.isfinite, at.outcome().values()))
        with torch.no_grad():
            next(at.net.parameters()).fill_(value)
        assert all(map(math.isnan, at.outcome().values()))
        assert math.isnan(at.critical())


def test_a_training_that_diverged_vanishes_from_no_correlation() -> None:
    rows = pd.DataFrame(
        {
            "task": "t", "setting": ["1", "1", "2", "2", "3", "3"],
            "cosine": [0.9, 0.8, 0.5, 0.4, 0.1, 0.2], "test": [0.1, 0.1, 0.5, 0.6, 1, 1],
        }
    )  # fmt: skip
    assert rank_correlation("cosine", max)(rows) == -1
    rows.loc[3, ["cosine", "test"]] = math.nan
    assert math.isnan(rank_correlation("cosine", max)(rows))


@pytest.mark.parametrize("nothing", [0, 2])
def test_a_run_without_a_spike_is_not_counted_wherever_it_stands(nothing) -> None:
    shares = [[0.9, 0.8, 0.1], [0.95], [1.0]]
    shares.insert(nothing, [])
    rows = pd.DataFrame({"share_top": shares})
    assert usual_share("share_top", np.min)(rows) == 0.8
    assert runs_with_spikes("share_top")(rows) == 3
    assert math.isnan(usual_share("share_top", np.min)(rows.assign(share_top=[[], [], [], [1.0]])))
    unknown = rows.assign(share_top=[[0.9], [math.nan], [0.9], [0.9]])
    assert math.isnan(usual_share("share_top", np.min)(unknown))


def test_spikes_that_are_left_are_counted_seed_by_seed() -> None:
    rows = pd.DataFrame(
        {
            "measure": ["batch", "batch", "capped", "capped"], "setting": "4",
            "seed": [0, 1, 1, 0], "catapults": [10, 20, 4, 1],
        }
    )  # fmt: skip
    assert spikes_left(rows) == 0.2
    assert math.isnan(spikes_left(rows.assign(catapults=[0, 20, 4, 1])))
    assert math.isnan(spikes_left(rows.head(3)))
