"""Local SGD, whose mean change the server feeds to Adam."""

from dataclasses import dataclass

import torch
from torch import Tensor

from overparam._checked import checked
from overparam._types import Positive
from overparam.federated.algorithms.algorithm import State
from overparam.federated.algorithms.fadamgc import expect_betas
from overparam.federated.algorithms.fedavg import FedAvg


@checked
@dataclass(frozen=True, kw_only=True)
class FedAdam(FedAvg):
    """Adam on the server: m ← β₁m + (1−β₁)Δ̄, v ← β₂v + (1−β₂)Δ̄², x ← x + η_g m/(√v + τ).

    Without bias correction. Traffic of a client in a round: 2P numbers.

    Args:
        betas: β₁ and β₂.
        tau: τ, the least that is divided by.

    Source: Reddi et al. (2021), arXiv:2003.00295.
    """

    server_lr: Positive = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    tau: Positive = 1e-3

    def __post_init__(self) -> None:
        expect_betas("FedAdam(betas=...)", self.betas)

    def server_state(self, x: Tensor) -> State:
        """The model, and moments of 0."""
        return {"x": x.clone(), "m": torch.zeros_like(x), "v": torch.zeros_like(x)}

    def update(self, server: State, total: State, weight: float, n_clients: int) -> State:
        """One step of Adam on the mean change."""
        mean, (first, second) = total["delta"] / weight, self.betas
        m = torch.lerp(server["m"], mean, 1 - first)
        v = second * server["v"] + (1 - second) * mean.square()
        return {"x": server["x"] + self.server_lr * m / (v.sqrt() + self.tau), "m": m, "v": v}
