"""Local SGD along the direction in which all clients moved in the round before."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from overparam._checked import checked
from overparam._types import Range
from overparam.federated.algorithms.algorithm import Algorithm, State


@checked
@dataclass(frozen=True, kw_only=True)
class FedCM(Algorithm):
    """Client-level momentum: w ← w − η(αg + (1−α)D), D the mean direction of the last round.

    D_{t+1} = −mean_i Δ_i/(K_i η), which with a weight decay holds the decay too. Traffic of a
    client in a round: 3P numbers; clients keep nothing.

    Args:
        alpha: Weight α of the client's own gradient; 1 is FedAvg.

    Source: Xu et al. (2021), arXiv:2106.10874.
    """

    alpha: Annotated[float, Range("a number in (0, 1]", lambda v: 0 < v <= 1)] = 0.1

    def server_state(self, x: Tensor) -> State:
        """The model and D = 0."""
        return {"x": x.clone(), "direction": torch.zeros_like(x)}

    def broadcast(self, server: State) -> State:
        """The model and D."""
        return server

    @property
    def traffic(self) -> tuple[int, int]:
        """The model and D come, the change goes."""
        return 2, 1

    def begin(self, server: State, clients: State, w: Tensor) -> State:
        """(1 − α) D."""
        return {"pull": (1 - self.alpha) * server["direction"]}

    def direction(self, gradient: Tensor, memory: State) -> tuple[Tensor, State]:
        """αg + (1−α)D."""
        return self.alpha * gradient + memory["pull"], {}

    def finish(
        self, delta: Tensor, memory: State, clients: State, steps: Tensor
    ) -> tuple[State, State]:
        """The change; the server divides it by the steps that it knows of."""
        return {"delta": delta, "direction": -delta / (self.lr * steps[:, None])}, {}

    def update(self, server: State, total: State, weight: float, n_clients: int) -> State:
        """The mean change, and the mean direction for the next round."""
        moved = super().update(server, total, weight, n_clients)
        return {**moved, "direction": total["direction"] / weight}
