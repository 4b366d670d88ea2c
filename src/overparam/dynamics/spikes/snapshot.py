"""The weights of some steps ago, and what a batch would have cost them."""

import math
from typing import Any

import torch
from torch import Tensor

from overparam._batch import call, tensors
from overparam._model import as_function, undisturbed
from overparam._types import Batch
from overparam.dynamics.batch_form import finite
from overparam.dynamics.probes.probe import trained
from overparam.dynamics.subject import Subject

# Steps from one snapshot to the next.
EVERY = 10


class Snapshot:
    """A copy of the trained parameters, renewed now and then while the loss is calm.

    Losses are those of the mode the model is in, so that batch norm uses the statistics of the
    batch as it does in training; buffers and random numbers are put back.

    Args:
        subject: What is trained.

    Attributes:
        step: When the copy was made; `None` without one.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._copy: dict[str, Tensor] = {}
        self.step: int | None = None

    def take(self, step: int) -> None:
        """Copy the parameters as they are now."""
        now = {name: p.detach() for name, p in trained(self._subject.model).items()}
        old = self._copy
        if old.keys() == now.keys() and all(old[k].shape == now[k].shape for k in now):
            torch._foreach_copy_(  # pyright: ignore[reportPrivateImportUsage]
                list(old.values()), list(now.values())
            )
        else:
            self._copy = {name: p.clone() for name, p in now.items()}
        self.step = step

    def forget(self) -> None:
        """Give the copy up; the memory stays for the next."""
        self.step = None

    def losses(self, batch: Batch) -> tuple[float, float]:
        """What a batch costs at the copied weights, `nan` without any, and at the present."""
        subject = self._subject
        function = as_function(subject.model)
        with undisturbed(subject.model), torch.no_grad():
            then = math.nan
            if self.step is not None:
                then = _number(subject.loss(function(self._copy, batch[0]), batch[1]))
            return then, _number(subject.loss(call(subject.model, batch[0]), batch[1]))

    def earlier(self, batch: Batch) -> float:
        """What a batch costs at the copied weights."""
        subject = self._subject
        if self.step is None:
            return math.nan
        with undisturbed(subject.model), torch.no_grad():
            outputs = as_function(subject.model)(self._copy, batch[0])
            return _number(subject.loss(outputs, batch[1]))

    def born_in(self, batch: Batch) -> str:
        """The first module whose outputs are not finite though its inputs are; "" if none."""
        model, found = self._subject.model, []

        def look(name: str) -> Any:
            def hook(_: Any, inputs: Any, outputs: Any) -> None:
                if not found and finite(inputs) and not finite(outputs):
                    found.append(name)

            return hook

        # A module that holds others is done after them.
        handles = [m.register_forward_hook(look(name)) for name, m in model.named_modules()]
        try:
            with undisturbed(model), torch.no_grad():
                call(model, batch[0])
        finally:
            for handle in handles:
                handle.remove()
        return found[0] or "the model itself" if found else ""


def identity(batch: Batch | None) -> Tensor | None:
    """A few numbers of a batch that tell it from another."""
    parts = [] if batch is None else tensors(batch[0])
    if not parts or parts[0].layout is not torch.strided or not parts[0].numel():
        return None
    first = parts[0].detach()
    step = max(first.numel() // 32, 1)
    step -= step > 1 and step % 2 == 0
    if first.is_contiguous():
        return first.as_strided((min(first.numel(), 32),), (step,)).clone()
    return first.reshape(-1)[::step][:32].clone()


def _number(loss: Tensor) -> float:
    return float(loss.detach().mean())
