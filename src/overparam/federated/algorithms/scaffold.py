"""Local SGD with a correction for what a client's gradient has of its own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from overparam._checked import checked
from overparam.federated.algorithms.algorithm import Algorithm, State


@checked
@dataclass(frozen=True, kw_only=True)
class Scaffold(Algorithm):
    """SCAFFOLD: w ← w − η(g + c − c_i); then c_i is the mean of the client's raw gradients.

    The server adds 1/N of the changes of c_i to c, so that c stays the mean of all N of them, in
    whatever rounds each took part. Both stand still within a round. Equals the paper's option II.
    Traffic of a client in a round: 4P numbers; each keeps P.

    Args:
        warmup: Begin with one gradient of every client at the start, which sets c_i and c.

    Source: Karimireddy et al. (2020), arXiv:1910.06378.

    Example:
        >>> Scaffold(lr=0.3).traffic
        (2, 2)
    """

    warmup: bool = False

    def server_state(self, x: Tensor) -> State:
        """The model and c = 0."""
        return {"x": x.clone(), "c": torch.zeros_like(x)}

    def client_state(self, n_clients: int, x: Tensor) -> State:
        """c_i = 0."""
        return {"c": x.new_zeros(n_clients, len(x))}

    def broadcast(self, server: State) -> State:
        """The model and c."""
        return server

    @property
    def traffic(self) -> tuple[int, int]:
        """The model and c come, their changes go."""
        return 2, 2

    def begin(self, server: State, clients: State, w: Tensor) -> State:
        """The shift c − c_i, and no gradients yet."""
        return {"shift": server["c"] - clients["c"], "sum": torch.zeros_like(w)}

    def direction(self, gradient: Tensor, memory: State) -> tuple[Tensor, State]:
        """The direction g + c − c_i; the sum is of raw gradients."""
        return gradient + memory["shift"], {"sum": memory["sum"] + gradient}

    def finish(
        self, delta: Tensor, memory: State, clients: State, steps: Tensor
    ) -> tuple[State, State]:
        """The changes of the model and of c_i."""
        own = memory["sum"] / steps[:, None]
        return {"delta": delta, "correction": own - clients["c"]}, {"c": own}

    def update(self, server: State, total: State, weight: float, n_clients: int) -> State:
        """The mean change; to c a sum over N, which keeps it the mean of all c_i."""
        moved = super().update(server, total, weight, n_clients)
        return {**moved, "c": server["c"] + total["correction"] / n_clients}
