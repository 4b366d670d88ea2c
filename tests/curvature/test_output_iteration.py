"""The iteration among the outputs: what it says where numbers break down."""

import pytest
import torch
from torch import nn

from overparam.curvature.output_iteration import iterate_outputs
from overparam.errors import NumericalError


def as_it_is(name, vector):
    return vector, vector.square().sum(), torch.zeros(())


def test_products_that_overflow_are_told_by_the_name_of_who_was_called():
    """Outputs and loss are numbers of single precision; the square of the Jacobian is none."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    x, y = torch.full((2, 1), 1e30), torch.zeros(2, 1)
    params = dict(model.named_parameters())
    with pytest.raises(NumericalError, match=r"^`Monitor\(model=...\)` expected finite products"):
        iterate_outputs(model, x, y, nn.functional.mse_loss, params, as_it_is)
