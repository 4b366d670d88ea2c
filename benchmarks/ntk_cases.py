"""The kernels that are computed side by side: torch alone, so that every peer can import it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn


def mlp(outputs: int = 10, width: int = 1024) -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, outputs),
    )  # fmt: skip


def small_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 64, 10),
    )  # fmt: skip


def colour_cnn(outputs: int = 10) -> nn.Module:
    """Channels 32, 32, 64, each of the first two halved in resolution, and a dense head."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 64, outputs),
    )  # fmt: skip


def once_pooled_cnn() -> nn.Module:
    """Channels 32, 32, 64, the last at half the resolution, and a dense head."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * 256, 10),
    )  # fmt: skip


def full_resolution_cnn() -> nn.Module:
    """Channels 32, 32, 64 at full resolution, averaged over places before the head."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A kernel to compute, and which peers can.

    `part` is how many examples torch.func differentiates at a time, `None` where its Jacobians
    do not fit; `tutorial` is whether two whole ones do; `stax` names the same network in
    peer_neural_tangents.py.
    """

    title: str
    model: Callable[[], nn.Module]
    shape: tuple[int, ...]
    outputs: int
    n: int
    kernel: str = "blocks"
    part: int | None = None
    tutorial: bool = False
    nngeometry: bool = False
    stax: str | None = None
    quick: bool = True


_MLP, _POOLED, _FULL = "MLP 784-1024-1024", "CNN 32-32-64, pooled", "CNN 32-32-64, full resolution"
_ONCE = "CNN 32-32-64, pooled once"
_IMAGE = (3, 32, 32)
CASES = {
    "mlp-64": Case(_MLP, mlp, (784,), 10, 64, part=16, nngeometry=True, stax="mlp"),
    "mlp-256": Case(_MLP, mlp, (784,), 10, 256, nngeometry=True, stax="mlp"),
    "mlp-1000": Case(_MLP, mlp, (784,), 10, 1000, nngeometry=True, quick=False),
    "mlp-2000": Case(_MLP, mlp, (784,), 10, 2000, "trace", quick=False),
    "mlp-1-256": Case(_MLP, partial(mlp, 1), (784,), 1, 256, part=128, nngeometry=True),
    "mlp-1-1000": Case(_MLP, partial(mlp, 1), (784,), 1, 1000, nngeometry=True),
    "cnn-64": Case(_POOLED, colour_cnn, _IMAGE, 10, 64, part=16, tutorial=True, nngeometry=True,
                   stax="pooled"),
    "cnn-1-64": Case(_POOLED, partial(colour_cnn, 1), _IMAGE, 1, 64, part=64, tutorial=True,
                     nngeometry=True),
    "cnn-1-1000": Case(_POOLED, partial(colour_cnn, 1), _IMAGE, 1, 1000, part=125, quick=False),
    "cnn-64-once": Case(_ONCE, once_pooled_cnn, _IMAGE, 10, 64, part=16, tutorial=True,
                        nngeometry=True, stax="once"),
    "cnn-64-full": Case(
        _FULL, full_resolution_cnn, _IMAGE, 10, 64, part=16, tutorial=True, nngeometry=True,
        stax="full", quick=False,
    ),
    "cnn-100": Case("CNN 16-16 on 8×8", small_cnn, (1, 8, 8), 10, 100, part=100, tutorial=True,
                    nngeometry=True),
}  # fmt: skip


def inputs(name: str) -> tuple[Case, nn.Module, Tensor]:
    """A case with its network and examples, the same in every process."""
    case = CASES[name]
    torch.manual_seed(0)
    return case, case.model(), torch.randn(case.n, *case.shape)
