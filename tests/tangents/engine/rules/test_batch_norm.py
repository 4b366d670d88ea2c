"""Batch normalisation by running statistics, and instance normalisation, which is its node too."""

import pytest
from torch import nn

C, Each = nn.Conv2d, nn.InstanceNorm2d


def head(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: head(C(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), C(6, 4, 2)), (5, 2, 6, 6)),
        (lambda: head(C(2, 6, 3), Each(6, affine=True), nn.ReLU(), C(6, 4, 2),
                      Each(4, affine=True)), (5, 2, 6, 6)),
        (lambda: head(C(2, 6, 3), Each(6, affine=True), nn.ReLU(), nn.AvgPool2d(2)), (5, 2, 6, 6)),
        (lambda: head(C(2, 6, 3), Each(6), nn.Tanh(), C(6, 4, 2)), (5, 2, 6, 6)),
        (lambda: head(nn.Conv1d(2, 6, 3), nn.InstanceNorm1d(6, affine=True), nn.Tanh(),
                      nn.Conv1d(6, 4, 2)), (5, 2, 7)),
    ],
)  # fmt: skip
def test_is_what_autograd_gives(held_to_autograd, build, shape):
    held_to_autograd(build, *shape, swept=True)
