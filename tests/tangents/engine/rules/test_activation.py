"""Elementwise functions, products with something smaller, numbers that are added."""

import pytest
import torch
from torch import Tensor, nn

L = nn.Linear


class Between(nn.Module):
    """Two linear maps, and a function between them."""

    def __init__(self, function) -> None:
        super().__init__()
        self.first, self.second, self.function = L(4, 6), L(6, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.function(self.first(x)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.square() + 1,
        lambda x: (x.square() + 1).rsqrt() - 0.5,
        lambda x: (x.square() + 1).sqrt().log(),
        lambda x: (x.exp() + 1).reciprocal(),
        lambda x: x * x.mean(1, keepdim=True),
        lambda x: x.tanh().mean(1, keepdim=True) * x,
    ],
)
def test_is_what_autograd_gives(held_to_autograd, function):
    held_to_autograd(lambda: Between(function), 5, 4, swept=True)


@pytest.mark.parametrize("slopes", [1, 6])
def test_learned_slopes(held_to_autograd, slopes):
    held_to_autograd(lambda: nn.Sequential(L(4, 6), nn.PReLU(slopes), L(6, 3)), 5, 4, swept=True)


def test_a_product_of_scores_and_values(held_to_autograd):
    """One operand is broadcast along an axis in the middle, and along one it does not have."""

    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values, self.gain = L(4, 6), L(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            values = self.values(x)
            shares = self.gain(x.mean(1, keepdim=True)).sigmoid()
            return (values * shares * torch.arange(6.0)).sum((1,))

    held_to_autograd(Weighted, 5, 3, 4, swept=True)
