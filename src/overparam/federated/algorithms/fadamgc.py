"""Adam on the clients, with the correction for drift where it works: before the moments."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam._types import Positive
from overparam.federated.algorithms.algorithm import Algorithm, State


def expect_betas(where: str, betas: tuple[float, float]) -> None:
    """Raise unless both decay rates lie in [0, 1)."""
    good = len(betas) == 2 and all(0 <= beta < 1 for beta in betas)
    expect(good, where, "two numbers in [0, 1)", betas)


@checked
@dataclass(frozen=True, kw_only=True)
class FAdamGC(Algorithm):
    """Federated Adam with gradient correction.

    Within a round, with c and c_i standing still and all products element by element:

        ĝ = g + c − c_i
        m = β₁m + (1−β₁)ĝ,  v = β₂v + (1−β₂)ĝ²,  v̂ = max(v̂, v)
        w ← w − η m/(√v̂ + ε)

    After it c_i becomes the mean of the client's raw gradients g, and the server adds 1/N of the
    changes to c, which so stays the mean of all N of them. At a minimum of the mean loss with
    c_i = ∇F_i and c = 0 every ĝ is 0 and nothing moves. A correction after the moments
    (`correction="post"`) has no such point: m/√v is nearly the sign of a client's own gradient,
    and corrected steps settle where signs balance.

    Moments at the start of a round:

    ========== ============================================ ============== ===================
    `moments`  rule                                         a client keeps traffic in a round
    ========== ============================================ ============== ===================
    "keep"     stay on the client between its rounds        4P             4P
    "reset"    begin at 0                                   P              4P
    "average"  the server's mean of those that took part    P              10P
    ========== ============================================ ============== ===================

    "keep" with `amsgrad` alone converges exactly at a constant rate: v̂ cannot shrink, so steps
    vanish with ĝ. With "reset" the first step of each round has length η(1−β₁)/√(1−β₂) in every
    coordinate, however small ĝ is: the model settles within O(η) of the minimum.

    Args:
        betas: β₁ and β₂ in [0, 1).
        eps: ε > 0, in the units of the gradient.
        amsgrad: Whether v̂ is the largest v so far, or v itself.
        bias_correction: Divide m by 1 − β₁ᵗ and v̂ by 1 − β₂ᵗ after t steps.
        correction: "pre" as above; "post" adds e − e_i to the step m/(√v̂ + ε) of raw gradients,
            e_i its mean, the comparison that fails; `None` corrects nothing.
        moments: As in the table.
        warmup: Begin with one gradient of every client at the start, which sets c_i and c. Only
            with "pre".

    Source: Chen et al. (2025), arXiv:2502.02727; the rule for the moments between rounds is ours.

    Example:
        >>> FAdamGC(lr=3e-3).traffic, FAdamGC(moments="average").traffic
        ((2, 2), (5, 5))
    """

    lr: Positive = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    eps: Positive = 1e-8
    amsgrad: bool = True
    bias_correction: bool = False
    correction: Literal["pre", "post"] | None = "pre"
    moments: Literal["keep", "reset", "average"] = "keep"
    warmup: bool = False

    def __post_init__(self) -> None:
        expect_betas("FAdamGC(betas=...)", self.betas)
        expect(
            not self.warmup or self.correction == "pre", "FAdamGC(warmup=True)",
            "correction='pre', whose c_i are gradients", repr(self.correction),
        )  # fmt: skip

    @property
    def _fields(self) -> tuple[str, ...]:
        """The moments: what Adam remembers."""
        fields = ("m", "v", "vmax") if self.amsgrad else ("m", "v")
        return (*fields, "t") if self.bias_correction else fields

    def _zeros(self, *shape: int, like: Tensor) -> State:
        return {
            name: like.new_zeros(*shape[:-1], 1 if name == "t" else shape[-1])
            for name in self._fields
        }

    def server_state(self, x: Tensor) -> State:
        """The model, c = 0, and moments of 0 if they are averaged."""
        state = {"x": x.clone()}
        if self.correction:
            state["c"] = torch.zeros_like(x)
        return state | (self._zeros(len(x), like=x) if self.moments == "average" else {})

    def client_state(self, n_clients: int, x: Tensor) -> State:
        """c_i = 0, and moments of 0 if they stay."""
        state = {"c": x.new_zeros(n_clients, len(x))} if self.correction else {}
        kept = self.moments == "keep"
        return state | (self._zeros(n_clients, len(x), like=x) if kept else {})

    def broadcast(self, server: State) -> State:
        """All of it: the model, c, and moments where they are averaged."""
        return server

    @property
    def traffic(self) -> tuple[int, int]:
        """The model, c and averaged moments come; their changes go."""
        vectors = 1 + (self.correction is not None)
        if self.moments == "average":
            vectors += 3 if self.amsgrad else 2
        return vectors, vectors

    def begin(self, server: State, clients: State, w: Tensor) -> State:
        """The moments by their rule; c − c_i, and nothing to average yet."""
        if self.moments == "average":
            memory = {name: server[name].expand(len(w), -1) for name in self._fields}
        elif self.moments == "keep":
            memory = {name: clients[name] for name in self._fields}
        else:
            memory = self._zeros(*w.shape, like=w)
        if self.correction:
            memory |= {"shift": server["c"] - clients["c"], "sum": torch.zeros_like(w)}
        return memory

    def direction(self, gradient: Tensor, memory: State) -> tuple[Tensor, State]:
        """One step of Adam, its correction before or after the moments."""
        first, second = self.betas
        seen = gradient + memory["shift"] if self.correction == "pre" else gradient
        after = {
            "m": torch.lerp(memory["m"], seen, 1 - first),
            "v": (second * memory["v"]).addcmul_(seen, seen, value=1 - second),
        }
        size = after["v"]
        if self.amsgrad:
            size = after["vmax"] = torch.maximum(memory["vmax"], size)
        m = after["m"]
        if self.bias_correction:
            t = after["t"] = memory["t"] + 1
            m, size = m / (1 - first**t), size / (1 - second**t)
        step = m / size.sqrt().add_(self.eps)
        if self.correction:
            after["sum"] = memory["sum"] + (gradient if self.correction == "pre" else step)
        return (step + memory["shift"] if self.correction == "post" else step), after

    def finish(
        self, delta: Tensor, memory: State, clients: State, steps: Tensor
    ) -> tuple[State, State]:
        """The changes of the model and of c_i, and the moments to where they go."""
        sent, kept = {"delta": delta}, {}
        if self.correction:
            kept["c"] = memory["sum"] / steps[:, None]
            sent["correction"] = kept["c"] - clients["c"]
        moments = {name: memory[name] for name in self._fields}
        if self.moments == "average":
            sent |= moments
        elif self.moments == "keep":
            kept |= moments
        return sent, kept

    def update(self, server: State, total: State, weight: float, n_clients: int) -> State:
        """The mean change; to c a sum over N; the mean moments if they are averaged."""
        state = super().update(server, total, weight, n_clients)
        if self.correction:
            state["c"] = server["c"] + total["correction"] / n_clients
        if self.moments == "average":
            state |= {name: total[name] / weight for name in self._fields}
        return state


@checked
@dataclass(frozen=True, kw_only=True)
class LocalAdam(FAdamGC):
    """Adam on the clients without correction, its moments anew in each round; they drift.

    Traffic of a client in a round: 2P numbers.

    Example:
        >>> LocalAdam(lr=1e-3).traffic
        (1, 1)
    """

    correction: Literal["pre", "post"] | None = None
    moments: Literal["keep", "reset", "average"] = "reset"
