"""Group normalisation: its gain and bias, and a sweep through it."""

import pytest
from torch import nn

C, G = nn.Conv2d, nn.GroupNorm


def head(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: head(C(2, 6, 3), G(2, 6), nn.ReLU(), C(6, 4, 2), G(1, 4), nn.Tanh()),
         (5, 2, 6, 6)),
        (lambda: head(C(2, 6, 3), G(6, 6), nn.ReLU(), nn.AvgPool2d(2)), (5, 2, 6, 6)),
        (lambda: head(C(2, 6, 3), G(3, 6), nn.AvgPool2d(2), nn.Tanh(), C(6, 4, 2)),
         (5, 2, 6, 6)),
        (lambda: nn.Sequential(C(2, 6, 3), G(3, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                               nn.Linear(6, 3)), (5, 2, 6, 6)),
        (lambda: head(C(2, 6, 3), G(3, 6, affine=False), nn.ReLU()), (5, 2, 6, 6)),
        (lambda: head(nn.Conv1d(2, 6, 3), G(2, 6), nn.Tanh(), nn.Conv1d(6, 4, 2)), (5, 2, 7)),
        (lambda: nn.Sequential(nn.Linear(4, 6), G(2, 6), nn.Tanh(), nn.Linear(6, 3)), (5, 4)),
    ],
)  # fmt: skip
def test_is_what_autograd_gives(held_to_autograd, build, shape):
    held_to_autograd(build, *shape, swept=True)
