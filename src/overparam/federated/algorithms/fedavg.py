"""Local SGD, whose results the server averages."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from overparam._checked import checked
from overparam._types import Range
from overparam.federated.algorithms.algorithm import Algorithm, State

Momentum = Annotated[float, Range("a number in [0, 1)", lambda v: 0 <= v < 1)]


@checked
@dataclass(frozen=True, kw_only=True)
class FedAvg(Algorithm):
    """Local SGD: w ← w − η g; the server adds η_g times the mean change.

    Traffic of a client in a round: 2P numbers. Drifts where clients differ: with more than one
    local step it stops at a distance from the minimum.

    Source: McMahan et al. (2017), arXiv:1602.05629.

    Example:
        >>> FedAvg(lr=0.5).traffic
        (1, 1)
    """

    def direction(self, gradient: Tensor, memory: State) -> tuple[Tensor, State]:
        """The gradient."""
        return gradient, {}


@checked
@dataclass(frozen=True, kw_only=True)
class FedAvgM(FedAvg):
    """FedAvg with momentum on the server: m ← βm + Δ̄, x ← x + η_g m.

    Traffic of a client in a round: 2P numbers.

    Args:
        momentum: β.

    Source: Hsu, Qi, Brown (2019), arXiv:1909.06335.
    """

    momentum: Momentum = 0.9

    def server_state(self, x: Tensor) -> State:
        """The model and m = 0."""
        return {"x": x.clone(), "m": torch.zeros_like(x)}

    def update(self, server: State, total: State, weight: float, n_clients: int) -> State:
        """One step of heavy ball."""
        m = self.momentum * server["m"] + total["delta"] / weight
        return {"x": server["x"] + self.server_lr * m, "m": m}
