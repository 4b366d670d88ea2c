"""Warnings of ours name the line of the user's, through decorators and estimators."""

import pytest
import torch
from sklearn.pipeline import make_pipeline
from torch import nn

import overparam as op


def test_a_warning_behind_the_checks_of_arguments_names_the_caller() -> None:
    model, x, y = nn.Linear(2, 1), torch.ones(3, 2), torch.ones(3, 1)
    adam = torch.optim.Adam(model.parameters())
    with pytest.warns(UserWarning, match="second moments have a history of 0 steps") as caught:
        op.critical_learning_rate(model, x, y, nn.MSELoss(), adam)
    assert [warning.filename for warning in caught] == [__file__]


def test_so_does_one_from_inside_a_pipeline() -> None:
    few = torch.zeros(30, 1).numpy()
    clusters = make_pipeline(op.clustering.BregmanKMeans(2, random_state=0))
    with pytest.warns(UserWarning, match="different rows") as caught:
        clusters.fit(few)
    assert {warning.filename for warning in caught} == {__file__}
