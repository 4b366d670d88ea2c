"""The two roles of a vertical split: parties with columns, a server with labels and a head."""

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from overparam._errors import expect
from overparam.federated.engine.flat_parameters import FlatParameters
from overparam.federated.engine.stacked_layers import stacked_layers
from overparam.federated.streams import generator_seed
from overparam.federated.vertical.dpzv import DPZV
from overparam.federated.vertical.zeroth_order import direction, slopes

EachLoss = Callable[[Tensor, Tensor], Tensor]


class Walker:
    """Parameters that move along random directions by the numbers they are told.

    Attributes:
        w: Where they are, a vector; what is tried beside it is never written into it.
    """

    def __init__(self, name: int, module: nn.Module, method: DPZV, lr: float, seed: int) -> None:
        where = f"train_vertical(parties[{name}])"
        self.flat = FlatParameters(module, where)
        self.w = self.flat.start()
        self._name, self._method, self._lr, self._seed = name, method, lr, seed
        self._layers = stacked_layers(module, self.flat)
        self._step, self._directions = -1, self.w[None]

    def directions(self, step: int) -> Tensor:
        """Of a step, (R, P); kept until the next one."""
        if step != self._step:
            place = (self._seed, "directions", self._name, step)
            seeds = (generator_seed(*place, r) for r in range(self._method.directions))
            kind = self._method.kind
            drawn = torch.stack([direction(len(self.w), s, kind=kind) for s in seeds])
            self._step, self._directions = step, drawn.to(self.w)
        return self._directions

    def beside(self, step: int) -> Tensor:
        """The points w + λu and w − λu of each direction, (2R, P)."""
        offsets = self._method.smoothing * self.directions(step)
        return (self.w + torch.stack([offsets, -offsets], dim=1)).flatten(0, 1)

    @torch.no_grad()
    def at(self, points: Tensor, x: Tensor) -> Tensor:
        """The module's outputs (k, B, …) on one batch at each of the points (k, P)."""
        points = points.to(self.flat.dtype)
        if self._layers is None:
            return torch.stack([self.flat.function(self.flat.views(row), x) for row in points])
        x = x.expand(len(points), *x.shape)
        for layer in self._layers:
            x, _ = layer.forward(points, x)
        return x

    def outputs(self, x: Tensor) -> Tensor:
        """At w."""
        return self.at(self.w[None], x)[0]

    def move(self, step: int, slopes: Tensor) -> None:
        """Take the step w ← w − η mean_r Δ_r u_r."""
        self.w = self.w - self._lr / len(slopes) * (slopes.to(self.w) @ self.directions(step))


class Party(Walker):
    """One who has columns: embeds them and knows nothing of labels."""

    def __init__(self, name: int, module: nn.Module, x: Tensor, method: DPZV, seed: int) -> None:
        super().__init__(name, module, method, method.lr, seed)
        self.x = x.to(self.flat.device)

    def pairs(self, rows: Tensor, step: int) -> Tensor:
        """Embeddings at w + λu and w − λu for each direction: (2R, B, e)."""
        return self.at(self.beside(step), self.x[rows])


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
        self._table = self.y.new_empty(0)
        self._columns: list[slice] = []

    def receive(self, embeddings: Sequence[Tensor]) -> None:
        """The first embeddings of all parties, of all examples."""
        self._table = torch.cat([self._as_here(part) for part in embeddings], dim=1)
        ends = torch.tensor([part.shape[1] for part in embeddings]).cumsum(0).tolist()
        self._columns = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    def _as_here(self, part: Tensor) -> Tensor:
        """What a party sent, on the head's device and in its dtype."""
        return part.to(self.flat.device, self.flat.dtype)

    def embedded(self, rows: Tensor) -> Tensor:
        """The latest embeddings of some examples, beside each other."""
        return self._table[rows]

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Of each example, in single precision at least."""
        each = self._loss(outputs, y)
        expect(
            each.shape == (len(y),), "train_vertical(loss=...)",
            f"a loss of each of the {len(y)} examples", f"the shape {tuple(each.shape)}",
            "cross_entropy(outputs, targets, reduction='none') is one.",
        )  # fmt: skip
        return each.to(self.w.dtype)

    def expect_apart(self, where: str) -> None:
        """Raise if an example's loss depends on who else is in its batch: its clip bounds nothing.

        Told by what examples alone make of it. The bound is far above rounding, far below a share.
        """
        n = len(self._table)
        rows = torch.linspace(0, n - 1, min(n, 8), device=self.y.device).round().long().unique()
        outputs, y = self.outputs(self.embedded(rows)), self.y[rows]
        whole = self.losses(outputs, y)
        alone = torch.cat([
            self.losses(outputs[i : i + 1], y[i : i + 1]) for i in range(len(rows))
        ])  # fmt: skip
        same = torch.allclose(whole, alone, rtol=1e-3, atol=1e-5, equal_nan=True)
        expect(
            same, where, "a loss of each example by itself",
            "losses that change with the others of a batch",
            "cross_entropy(outputs, targets, reduction='none') is one of each by itself.",
        )  # fmt: skip

    def answer(self, party: int, rows: Tensor, pairs: Tensor) -> Tensor:
        """What a party is told for its pairs: one noised slope a direction, (R,)."""
        columns, count, pairs = self._columns[party], len(pairs), self._as_here(pairs)
        around = self._table[rows].repeat(count, 1, 1)
        around[:, :, columns] = pairs
        self._table[rows, columns] = pairs.mean(0)
        return self._released(self.outputs(around.flatten(0, 1)), rows)

    def step(self, rows: Tensor, step: int) -> None:
        """The head's own move, noised as the parties' are."""
        outputs = self.at(self.beside(step), self.embedded(rows))
        self.move(step, self._released(outputs.flatten(0, 1), rows))

    def _released(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """From outputs (2R·B, …) at the points beside: a number for each direction.

        Clipped example by example, added up, divided by B whatever the batch holds, noised.
        """
        # Not from the outputs: a batch that is drawn by coin may be empty, and is answered too.
        count, clip = 2 * self._method.directions, self._method.clip
        each = self.losses(outputs, self.y[rows].repeat(count, *[1] * (self.y.ndim - 1)))
        plus, minus = each.view(count // 2, 2, len(rows)).unbind(1)
        # What is not finite says nothing, and must not say that it was so: no error, no number.
        found = torch.nan_to_num(slopes(plus, minus, self._method.smoothing), nan=0.0)
        sums = found.clamp(-clip, clip).sum(1) / self._batch_size
        if self._sigma:
            noise = [self._noise.gauss(0.0, self._sigma) for _ in range(len(sums))]
            sums = sums + torch.tensor(noise, dtype=torch.float64).to(sums)
        return sums
