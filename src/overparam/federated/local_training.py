"""What simulations share: a model, its data, and gradients of many clients on drawn batches."""

import hashlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from overparam._errors import expect
from overparam._model import expect_own_outputs
from overparam._types import Loss
from overparam.federated.clients import ClientData
from overparam.federated.engine.choice import (
    Engine,
    chosen_engine,
    expect_no_batch_norm,
)
from overparam.federated.engine.flat_parameters import FlatParameters
from overparam.federated.engine.looped import Looped

# Numbers of a stack of models that stays in the cache between the operations of a step, and
# enough of them for an accelerator to be busy.
_CPU_STACK, _DEVICE_STACK = 2**22, 2**28
_TESTED_AT_ONCE = 4096


class LocalTraining:
    """Gradients of clients at models of their own.

    Attributes:
        flat: The model's parameters as a vector.
        engine: What computes gradients.
        data: The clients' data.
        flops: Of one example's gradient, by torch's count of products; 0 if it cannot count.
    """

    def __init__(
        self, model: nn.Module, data: ClientData, loss: Loss, batch_size: int, seed: int,
        engine: Engine, where: str,
    ) -> None:  # fmt: skip
        expect_no_batch_norm(model, f"{where}(model=...)")
        self.flat = FlatParameters(model, f"{where}(model=...)")
        self.data, self._loss, self._where = data, loss, where
        self._size, self._seed = batch_size, seed
        device = self.flat.device
        self._x, self._y = data.x.to(device), data.y.to(device)
        probe, targets = self._x[:2], self._y[:2]
        expect_own_outputs(model, probe, f"{where}(model=...)")
        self._expect_loss(probe, targets)
        ignored = not self._y.is_floating_point() and bool((self._y < 0).any())
        self.engine = chosen_engine(
            engine, self.flat, loss, probe, targets, f"{where}(engine={engine!r})",
            plain_targets=not ignored,
        )  # fmt: skip
        self.flops = self._counted(probe, targets)

    def stack(self, chunk_size: int | None) -> int:
        """Clients whose models are held at once."""
        if chunk_size is not None:
            return chunk_size
        room = _CPU_STACK if self.flat.device.type == "cpu" else _DEVICE_STACK
        return max(1, room // self.flat.size)

    def gradient(
        self, round: int, clients: np.ndarray, losses: list[Tensor]
    ) -> Callable[[Tensor, int], Tensor]:
        """`gradient(w, step)` of these clients in this round; appends the losses (s,)."""

        def at(w: Tensor, step: int) -> Tensor:
            rows = self.data.batch_rows(self._seed, round, clients, step, self._size)
            rows = rows.to(self._x.device)
            found, gradients = self.engine(w, _taken(self._x, rows), _taken(self._y, rows))
            losses.append(found)
            return gradients

        return at

    def tested(self, x: Tensor, test: tuple[Tensor, Tensor]) -> dict[str, float]:
        """Loss of a model on examples, and accuracy where the targets are classes."""
        outputs = self.outputs(x, test[0])
        targets = test[1].to(outputs.device)
        found = {"test_loss": float(self._loss(outputs, targets))}
        if outputs.ndim == 2 and targets.ndim == 1 and not targets.is_floating_point():
            found["test_accuracy"] = float((outputs.argmax(1) == targets).double().mean())
        return found

    @torch.no_grad()
    def outputs(self, x: Tensor, examples: Tensor) -> Tensor:
        """What a model of parameters x says of examples."""
        views = self.flat.views(x.to(self.flat.dtype))
        parts = examples.to(self.flat.device).split(_TESTED_AT_ONCE)
        return torch.cat([self.flat.function(views, part) for part in parts])

    def _expect_loss(self, x: Tensor, y: Tensor) -> None:
        """Raise unless the loss is one number, of outputs that meet targets of their shape."""
        where, problem, found = f"{self._where}(loss=...)", "", None
        outputs = self.outputs(self.flat.start(), x)
        with warnings.catch_warnings():
            # Torch warns where targets are spread over outputs: all train towards one mean.
            warnings.filterwarnings("error", "Using a target size", UserWarning)
            try:
                found = self._loss(outputs, y)
            except UserWarning as said:
                problem = str(said)
        hint = "targets as y[:, None], or a model whose outputs lack that axis."
        expect(not problem, where, f"targets of the shape of the outputs, {tuple(outputs.shape)}",
               tuple(y.shape), hint)  # fmt: skip
        single = isinstance(found, Tensor) and found.ndim == 0
        got = f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else repr(found)[:60]
        expect(single, where, "a loss with one number, a mean over its batch", got)

    def _counted(self, x: Tensor, y: Tensor) -> float:
        looped = Looped(self.flat, self._loss, once=True)
        counter = FlopCounterMode(display=False)
        with counter:
            looped(self.flat.start()[None], x[None], y[None])
        return counter.get_total_flops() / len(x)


def expect_test(test: Any, data: ClientData, where: str) -> None:
    """Raise unless it is `None` or examples and targets like those of the clients."""
    if test is None:
        return
    pair = isinstance(test, tuple) and len(test) == 2 and all(isinstance(t, Tensor) for t in test)
    expect(pair, where, "a pair of tensors, examples and targets", type(test).__name__,
           error=TypeError)  # fmt: skip
    x, y = test
    fits = x.shape[1:] == data.x.shape[1:] and x.ndim and y.ndim and len(x) == len(y) > 0
    expect(fits, where, f"examples of shape {tuple(data.x.shape[1:])}, a target for each",
           f"shapes {tuple(x.shape)} and {tuple(y.shape)}")  # fmt: skip


def digest_of(*parts: Any) -> str:
    """One text for all that a run depends on; tensors and arrays by their bytes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            plain = part.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(plain.numpy().tobytes())
        elif isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode() + part.tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()


def name_of(loss: Any) -> str:
    """What a loss is called, or how a module of one is set."""
    return repr(loss) if isinstance(loss, nn.Module) else getattr(loss, "__qualname__", repr(loss))


def _taken(pool: Tensor, rows: Tensor) -> Tensor:
    """The rows (s, B) of a pool, (s, B, …)."""
    return pool.index_select(0, rows.reshape(-1)).view(*rows.shape, *pool.shape[1:])
