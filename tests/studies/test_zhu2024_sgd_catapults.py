"""Trainings that diverge are a row without numbers, not the end of a study."""

import math

import torch

from overparam.studies.zhu2024_sgd_catapults.statistics import rank_correlation
from overparam.studies.zhu2024_sgd_catapults.synthetic import problem


def test_a_training_that_diverged_has_no_outcome_and_no_critical_rate() -> None:
    for value in (math.nan, 1e25):
        at = problem("x1x2+x3x4", 64, 1)
        assert all(map(math.isfinite, at.outcome().values()))
        with torch.no_grad():
            next(at.net.parameters()).fill_(value)
        assert all(map(math.isnan, at.outcome().values()))
        assert math.isnan(at.critical())


def test_correlations_are_of_the_seeds_that_were_trained() -> None:
    import pandas as pd

    rows = pd.DataFrame(
        {
            "task": "t", "setting": ["1", "1", "2", "2", "3", "3"],
            "cosine": [0.9, 0.8, 0.5, math.nan, 0.1, 0.2], "test": [0.1, 0.1, 0.5, math.nan, 1, 1],
        }
    )  # fmt: skip
    assert rank_correlation("cosine", max)(rows) == -1
