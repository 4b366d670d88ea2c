"""What a federated algorithm is: three pure functions of tensors, and what they remember.

Every tensor of the clients has one row for each client, so that one call serves a hundred of them
in one process, or a single one that is really alone. Parameters are one flat vector of P numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from overparam._types import NonNegative, Positive

State: TypeAlias = dict[str, Tensor]
"""Tensors by name: of the server with P numbers, of the clients with a row for each."""

Gradient: TypeAlias = Callable[[Tensor, int], Tensor]
"""`gradient(w, step)`: at the rows of `w` (s, P), each on its own batch of that step, (s, P)."""


@dataclass(frozen=True, kw_only=True)
class Algorithm(ABC):
    """What clients do in a round, what they send, and what the server makes of it.

    Each local step is w ← w − lr (d + weight_decay w), where the subclass gives the direction d.
    The decay is decoupled: it never enters what is remembered of gradients.

    Args:
        lr: Step size η of the clients.
        server_lr: η_g, the share of the mean change that the server takes.
        weight_decay: Decoupled, per local step.
        clip_norm: Length to which each raw gradient is cut before anything is made of it; `None`
            cuts nothing.
    """

    lr: Positive = 0.1
    server_lr: Positive = 1.0
    weight_decay: NonNegative = 0.0
    clip_norm: Positive | None = None

    # Parts of what clients send that the server adds up over clients, whatever their weights.
    SUMMED = ("correction",)

    def server_state(self, x: Tensor) -> State:
        """What the server has before the first round; "x" is the model."""
        return {"x": x.clone()}

    def client_state(self, n_clients: int, x: Tensor) -> State:
        """What each client keeps between rounds, before its first: rows of zeros."""
        return {}

    def broadcast(self, server: State) -> State:
        """The part of the server's state that clients need; the rest stays where it is."""
        return {"x": server["x"]}

    @property
    def traffic(self) -> tuple[int, int]:
        """Vectors of P numbers that a client receives and sends in a round."""
        return 1, 1

    def begin(self, server: State, clients: State, w: Tensor) -> State:
        """What is remembered within a round, at its start."""
        return {}

    @abstractmethod
    def direction(self, gradient: Tensor, memory: State) -> tuple[Tensor, State]:
        """The direction of a step from raw gradients (s, P), and what is remembered after it."""

    def finish(
        self, delta: Tensor, memory: State, clients: State, steps: Tensor
    ) -> tuple[State, State]:
        """What is sent after a round and what the clients keep, from the change w − x (s, P)."""
        return {"delta": delta}, {}

    def update(self, server: State, total: State, weight: float, n_clients: int) -> State:
        """The server's state after a round.

        Args:
            server: Before it.
            total: Of each part of what was sent, the sum over clients, each times its weight; of
                the parts in `SUMMED` the plain sum.
            weight: The sum of the weights, above 0.
            n_clients: N, all that are registered, whether or not they took part.
        """
        return {"x": server["x"] + self.server_lr * total["delta"] / weight}

    def local(
        self, server: State, clients: State, gradient: Gradient, steps: Tensor
    ) -> tuple[State, State]:
        """The round of s clients: what they send, and what they keep.

        Args:
            server: As it was sent to them; not changed.
            clients: Their rows; not changed.
            gradient: Of their losses.
            steps: (s,) local steps K_i ≥ 1 of each; rows that are through stand still.

        Cost: max K_i calls of `gradient`, and some 4 to 12 passes over (s, P) numbers for each.
        """
        w = server["x"].expand(len(steps), -1).clone()
        memory = self.begin(server, clients, w)
        most, least = int(steps.max()), int(steps.min())
        for step in range(most):
            raw = self._clipped(gradient(w, step))
            direction, after = self.direction(raw, memory)
            if self.weight_decay:
                direction = direction + self.weight_decay * w
            if step < least:
                w, memory = w.sub_(direction, alpha=self.lr), memory | after
                continue
            active = (steps > step)[:, None]
            w = torch.where(active, w - self.lr * direction, w)
            memory |= {name: torch.where(active, new, memory[name]) for name, new in after.items()}
        return self.finish(w.sub_(server["x"]), memory, clients, steps)

    def _clipped(self, gradient: Tensor) -> Tensor:
        if self.clip_norm is None:
            return gradient
        length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        return gradient * (self.clip_norm / length.clamp(min=self.clip_norm))
