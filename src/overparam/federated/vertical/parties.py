"""The two roles of a vertical split: parties with columns, a server with labels and a head."""

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from overparam._errors import expect
from overparam.federated.engine.flat_parameters import FlatParameters
from overparam.federated.streams import generator_seed
from overparam.federated.vertical.dpzv import DPZV
from overparam.federated.vertical.zeroth_order import direction, two_point

EachLoss = Callable[[Tensor, Tensor], Tensor]


class Walker:
    """Parameters that move along random directions by the numbers they are told."""

    def __init__(self, name: int, module: nn.Module, method: DPZV, lr: float, seed: int) -> None:
        where = f"train_vertical(parties[{name}])"
        self.flat = FlatParameters(module, where)
        self.w = self.flat.start()
        self._name, self._method, self._lr, self._seed = name, method, lr, seed
        self._base: Tensor | None = None
        self._asked = 0

    def directions(self, step: int) -> list[Tensor]:
        """Drawn again whenever they are needed, not kept."""
        count = self._method.directions
        seeds = (
            generator_seed(self._seed, "directions", self._name, step, r) for r in range(count)
        )
        kind = self._method.kind
        return [direction(len(self.w), s, kind=kind).to(self.w) for s in seeds]

    @torch.no_grad()
    def at(self, offset: Tensor | None, x: Tensor) -> Tensor:
        """The module's output on x at w, or beside it; w itself is never written to for that."""
        w = self.w if offset is None else self.w + offset
        return self.flat.function(self.flat.views(w.to(self.flat.dtype)), x)

    def move(self, step: int, slopes: Tensor) -> None:
        """Take the step w ← w − η mean_r Δ_r u_r."""
        for u, slope in zip(self.directions(step), slopes, strict=True):
            self.w = self.w - self._lr / len(slopes) * slope.to(self.w) * u


class Party(Walker):
    """One who has columns: embeds them and knows nothing of labels."""

    def __init__(self, name: int, module: nn.Module, x: Tensor, method: DPZV, seed: int) -> None:
        super().__init__(name, module, method, method.lr, seed)
        self.x = x.to(self.flat.device)

    def embeddings(self, rows: Tensor | None = None) -> Tensor:
        """At w, of all rows or of some."""
        return self.at(None, self.x if rows is None else self.x[rows])

    def pairs(self, rows: Tensor, step: int) -> Tensor:
        """At w ± λu for each direction: (2R, B, e)."""
        x, smoothing = self.x[rows], self._method.smoothing
        return torch.stack([
            self.at(sign * smoothing * u, x) for u in self.directions(step) for sign in (1, -1)
        ])  # fmt: skip


class Server(Walker):
    """One who has the labels, the head, and the latest embedding of every example."""

    def __init__(
        self, name: int, head: nn.Module, y: Tensor, method: DPZV, batch_size: int, sigma: float,
        loss: EachLoss, seed: int, *, secure: bool,
    ) -> None:  # fmt: skip
        super().__init__(name, head, method, method.server_lr or method.lr, seed)
        self.y, self._loss = y.to(self.flat.device), loss
        self._batch_size, self._sigma = batch_size, sigma
        # Nothing of the directions' stream: a party must not be able to draw the noise again.
        self._noise: random.Random = (
            random.SystemRandom() if secure else random.Random(generator_seed(seed, "noise"))
        )
        self.table: list[Tensor] = []

    def losses(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """Of each example, in single precision at least."""
        each = self._loss(outputs, self.y[rows])
        expect(
            each.shape == (len(rows),), "train_vertical(loss=...)",
            f"a loss of each of the {len(rows)} examples", f"the shape {tuple(each.shape)}",
            "cross_entropy(outputs, targets, reduction='none') is one.",
        )  # fmt: skip
        return each.to(self.w.dtype)

    def answer(self, party: int, rows: Tensor, pairs: Tensor) -> Tensor:
        """What a party is told for its pairs: one noised slope a direction, (R,)."""
        plus_minus = []
        for embedding in pairs:
            parts = [part[rows] for part in self.table]
            parts[party] = embedding
            plus_minus.append(self.losses(self.at(None, torch.cat(parts, 1)), rows))
        self.table[party][rows] = pairs.mean(0)
        return self._released(plus_minus)

    def step(self, rows: Tensor, step: int) -> None:
        """The head's own move, noised as the parties' are."""
        embedded = torch.cat([part[rows] for part in self.table], 1)
        smoothing = self._method.smoothing
        found = [
            self.losses(self.at(sign * smoothing * u, embedded), rows)
            for u in self.directions(step)
            for sign in (1, -1)
        ]
        self.move(step, self._released(found))

    def _released(self, plus_minus: list[Tensor]) -> Tensor:
        """Clipped example by example, added up, divided by B whatever the batch holds, noised."""
        method, released = self._method, []
        for plus, minus in zip(plus_minus[::2], plus_minus[1::2], strict=True):
            slopes = two_point(plus, minus, method.smoothing)
            # What is not finite says nothing, and must not say that it was so.
            slopes = torch.nan_to_num(slopes, nan=0.0).clamp(-method.clip, method.clip)
            noise = self._noise.gauss(0.0, self._sigma) if self._sigma else 0.0
            released.append(slopes.sum() / self._batch_size + noise)
        return torch.stack(released)
