"""Layer normalisation: its gain and bias, and a sweep through it."""

import pytest
from torch import nn

L, N = nn.Linear, nn.LayerNorm


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: nn.Sequential(L(4, 6), N(6), nn.Tanh(), L(6, 6), N(6), L(6, 3)), (5, 4)),
        (lambda: nn.Sequential(L(4, 6), N(6, bias=False), nn.ReLU(), L(6, 3)), (5, 4)),
        (lambda: nn.Sequential(L(4, 6), N(6, elementwise_affine=False), L(6, 3)), (5, 4)),
        (lambda: nn.Sequential(L(4, 5), N(5), nn.Tanh(), nn.Flatten(), L(15, 3)), (5, 3, 4)),
        (lambda: nn.Sequential(L(4, 5), N((3, 5)), nn.Tanh(), nn.Flatten(), L(15, 3)), (5, 3, 4)),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), N((4, 4, 4)), nn.ReLU(), nn.AvgPool2d(2),
                               nn.Flatten(), L(16, 3)), (5, 2, 6, 6)),
    ],
)  # fmt: skip
def test_is_what_autograd_gives(held_to_autograd, build, shape):
    held_to_autograd(build, *shape, swept=True)


def test_one_output_is_left_to_autograd(held_to_autograd):
    held_to_autograd(lambda: nn.Sequential(L(4, 6), N(6), L(6, 1)), 5, 4, swept=False)
