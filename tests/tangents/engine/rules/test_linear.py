"""Linear maps whose shift is not a bias of the usual shape."""

import pytest
import torch
from torch import Tensor, nn


class Shifted(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight, self.shift = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.shift, x, self.weight, alpha=2, beta=3).tanh().cumsum(1)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1,), (1, 1), ()])
def test_a_shift_of_any_shape(held_to_autograd, shape):
    """One number for all outputs is no partner of the weight, as a number for each is."""
    held_to_autograd(lambda: Shifted(*shape), 5, 4, swept=False)
