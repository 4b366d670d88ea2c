"""What a Hugging Face Trainer trains on, as a loss of outputs and targets.

A Trainer computes its loss in one piece, from a model and a batch: in the model, in its label
smoothing, or in a function of the user's. Curvature needs the loss as a function of outputs. So
the Trainer is asked for its loss with a stand-in that returns given outputs in place of the model.
Nobody assumes that this is the loss: on a batch it must come out the same.
"""

import copy
import inspect
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from overparam._errors import expect
from overparam._model import undisturbed
from overparam._types import Loss
from overparam.integrations.model_losses import Inner, inner_losses

Batch = Mapping[str, Any]


@dataclass(frozen=True)
class TrainerLoss:
    """A Trainer's loss taken apart; `trainer_loss` makes one.

    Attributes:
        trainer: Whose `compute_loss` it is.
        model: What is trained.
        names: Of everything in a batch.
        inputs: Names of what the model is given.
        fixed: What it is given besides.
        labels: Names of what else the loss depends on.
        outputs: What the model returned once.
        pick: ``forward(model, inputs)``, where the user has said which outputs are meant.
        inner: What the model makes of outputs and labels; `None` where it is given no labels.
        given: A loss of the user's, which takes the place of the Trainer's.
    """

    trainer: Any
    model: nn.Module
    names: tuple[str, ...]
    inputs: tuple[str, ...]
    fixed: dict[str, Any]
    labels: tuple[str, ...]
    outputs: Any
    pick: Callable[[nn.Module, Any], Tensor] | None = None
    inner: Inner | None = None
    given: Loss | None = None

    def pair(self, batch: Batch) -> tuple[dict[str, Any], Any]:
        """Inputs and targets of a batch; targets of one shape are one tensor."""
        found = [batch[name] for name in self.labels]
        targets: Any = dict(zip(self.labels, found, strict=True))
        if len({(t.shape, t.dtype) for t in found}) == 1:
            targets = found[0] if len(found) == 1 else torch.stack(found, 1)
        return {name: batch[name] for name in self.inputs}, targets

    def forward(self, model: nn.Module, x: Batch) -> Tensor:
        """The outputs that the loss is a function of."""
        if self.pick is not None:
            return self.pick(model, x)
        parts = list(_parts(model(**x, **self.fixed), self.labels).values())
        return parts[0] if len(parts) == 1 else torch.stack(parts, -1)

    def loss(self, outputs: Tensor, targets: Any) -> Tensor:
        """What the Trainer makes of outputs and targets."""
        if self.given is not None:
            return self.given(outputs, targets)
        labels = targets
        if isinstance(targets, Tensor):
            values = [targets] if len(self.labels) == 1 else targets.unbind(1)
            labels = dict(zip(self.labels, values, strict=True))

        def answer(*args: Any, **given: Any) -> Any:
            known = {name: value for name, value in given.items() if name in labels}
            inside = self.inner(outputs, known) if self.inner and known else None
            return self._returned(outputs, inside)

        # Only labels have values: the loss must not depend on anything else.
        batch = {name: labels.get(name, _ABSENT) for name in self.names}
        return self.trainer.compute_loss(_Stand(self.model, answer), batch)

    def differs(self, batch: Batch) -> str:
        """How far this is from what the Trainer computes; nothing if it is not."""
        with undisturbed(self.model, evaluation=True), torch.no_grad():
            try:
                theirs = float(_asked(self.trainer, self.model, batch)[0])
            except Exception:  # there is nothing to compare with
                return ""
            x, targets = self.pair(batch)
            ours = float(self.loss(self.forward(self.model, x), targets))
        same = math.isclose(ours, theirs, rel_tol=1e-3)
        return "" if same else f"{ours:.4g} on the first batch, for {theirs:.4g} of the Trainer"

    def _returned(self, outputs: Tensor, loss: Tensor | None) -> Any:
        """Outputs in the form the model returns them in."""
        if isinstance(self.outputs, Tensor):
            return outputs
        names = list(_parts(self.outputs, self.labels))
        parts = [outputs] if len(names) == 1 else outputs.unbind(-1)
        first = {} if loss is None else {"loss": loss}
        if isinstance(self.outputs, (tuple, list)):
            return (*first.values(), *parts)
        return type(self.outputs)(**first, **dict(zip(names, parts, strict=True)))


def trainer_loss(
    trainer: Any,
    model: nn.Module,
    batch: Any,
    labels: Iterable[str] = (),
    pick: Callable[[nn.Module, Any], Tensor] | None = None,
    given: Loss | None = None,
) -> TrainerLoss:
    """Take the loss of a Trainer apart.

    Args:
        trainer: The Trainer; a copy is asked, so that what it keeps account of stays as it is.
        model: What it trains.
        batch: As `training_step` takes it.
        labels: Names of the labels in it; none given means those the Trainer knows.
        pick: ``forward(model, inputs)`` for the outputs that are meant; `None` means ``logits``,
            or the only ones there are.
        given: A loss of the user's to take instead.

    Raises:
        ValueError: The loss is not a function of outputs and labels, or not one that is known.

    Cost:
        Two or three forward passes.
    """
    where, hint = "TransformersMonitor(loss=None)", "pass loss=, and forward= where needed."
    expect(isinstance(batch, Mapping), where, "batches by name", type(batch).__name__, hint)
    batch, trainer = dict(batch), _apart(trainer)
    own = tuple(name for name in (tuple(labels) or trainer.label_names) if name in batch)
    if given is not None:
        expect(own, "TransformersMonitor(labels=...)", "labels in a batch", ", ".join(batch))
        plain = tuple(name for name in batch if name not in own)
        return TrainerLoss(
            trainer, model, tuple(batch), plain, {}, own, None, pick, given=given
        )  # fmt: skip
    with undisturbed(model, evaluation=True), torch.no_grad():
        actual, passed, outputs = _asked(trainer, model, batch)
        tensors = tuple(name for name, value in passed.items() if isinstance(value, Tensor))
        foreign = [name for name in tensors if passed[name] is not batch.get(name)]
        words = "a model that is called with what is in the batch"
        expect(not foreign, where, words, f"another {', '.join(foreign)}", hint)
        more = tuple(n for n, v in batch.items() if isinstance(v, Tensor) and n not in passed)
        plain = tuple(name for name in tensors if name not in own)
        fixed = {name: value for name, value in passed.items() if name not in tensors}
        whole = TrainerLoss(trainer, model, tuple(batch), plain, fixed, own, outputs, pick)
        inner = inner_losses(model) if set(own) & set(passed) else [None]
        # Some models need the labels as inputs too: decoders make their own inputs of them.
        for inputs in dict.fromkeys((plain, tensors)):
            for names in dict.fromkeys((own, tuple(dict.fromkeys(own + more)))):
                tried = replace(whole, inputs=inputs, labels=names)
                for found in _same(tried, inner, batch, actual):
                    return found
    expect(
        False, where, "a loss that is a function of outputs and labels, and of nothing else",
        f"{float(actual):.6g} on the first batch, which is none that is known", hint,
    )  # fmt: skip
    raise AssertionError


def _same(
    tried: TrainerLoss, inner: list[Any], batch: Batch, actual: Tensor
) -> Iterator[TrainerLoss]:
    """Those that give the Trainer's own value."""
    try:
        x, targets = tried.pair(batch)
        outputs = tried.forward(tried.model, x)
    except Exception:  # the model wants its labels, or there is no telling what it returns
        return
    for one in inner:
        found = replace(tried, inner=one)
        try:
            value = found.loss(outputs, targets)
        except Exception:  # made for other labels or outputs
            continue
        # The same operations on the same numbers: what differs is the order of a sum.
        tolerance = max(1e-5, 4 * torch.finfo(actual.dtype).eps)
        if value.ndim == 0 and torch.isclose(value.double(), actual.double(), tolerance, 0.0):
            yield found


def _asked(trainer: Any, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Any], Any]:
    """A Trainer's loss, what it gave the model, and what that returned."""
    calls: list[tuple[dict[str, Any], Any]] = []

    def noted(*args: Any, **kwargs: Any) -> Any:
        named = inspect.signature(model.forward).bind_partial(*args).arguments
        calls.append(({**named, **kwargs}, model(*args, **kwargs)))
        return calls[-1][1]

    loss = trainer.compute_loss(_Stand(model, noted), dict(batch))
    where = "TransformersMonitor(loss=None)"
    expect(len(calls) == 1, where, "one call of the model a batch", len(calls), "pass loss=.")
    return loss, *calls[0]


class _Stand(nn.Module):
    """Takes a model's place in `compute_loss`: all but the answer to a call is the model's."""

    def __init__(self, model: nn.Module, answer: Callable[..., Any]) -> None:
        super().__init__()
        # Not as a submodule: nobody shall find its parameters here.
        self.__dict__.update(_stood_for=model, _answer=answer, training=model.training)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer(*args, **kwargs)

    def _get_name(self) -> str:
        """Trainers tell by it whether labels are shifted; of an adapted model by what is inside."""
        model = self._stood_for
        while type(model).__name__.startswith("Peft"):
            model = model.base_model.model
        return model._get_name()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_stood_for"], name)


class _Absent:
    """Stands for what a loss must not look at; any use of it fails."""


_ABSENT = _Absent()


def _parts(outputs: Any, labels: tuple[str, ...]) -> dict[str, Tensor]:
    """What is meant by a model's outputs, by name; several are of one shape.

    Raises:
        ValueError: If there is no telling.
    """
    if isinstance(outputs, Tensor):
        return {"outputs": outputs}
    if isinstance(outputs, (tuple, list)):
        held = {str(i): v for i, v in enumerate(outputs)}
    else:
        held = dict(outputs) if isinstance(outputs, Mapping) else dict(vars(outputs))
    held = {n: v for n, v in held.items() if isinstance(v, Tensor) and v.ndim and n != "loss"}
    ends = ("start_positions", "end_positions")
    if isinstance(outputs, (tuple, list)):  # after the loss, the outputs come first
        names = list(held)[: 2 if labels == ends else 1]
    elif {"start_logits", "end_logits"} <= held.keys():
        names = ["start_logits", "end_logits"]
    else:
        names = ["logits"] if "logits" in held else list(held)
    expect(
        names and (len(names) == 1 or labels == ends), "TransformersMonitor(forward=None)",
        "a model that returns logits, or one tensor", ", ".join(held) or "none",
        "pass forward=forward(model, inputs).",
    )  # fmt: skip
    return {name: held[name] for name in names}


def _apart(trainer: Any) -> Any:
    """A copy of a Trainer that may be asked for losses: it logs nothing, and counts for itself."""
    apart = copy.copy(trainer)
    for name, value in vars(trainer).items():
        setattr(apart, name, _counted(value))
    apart.log = lambda *args, **kwargs: None
    apart.state, apart.control = copy.copy(trainer.state), copy.copy(trainer.control)
    return apart


def _counted(value: Any) -> Any:
    """A container with containers of its own, in which someone may keep count."""
    if isinstance(value, dict):
        made = copy.copy(value)
        made.update({key: _counted(v) for key, v in value.items()})
        return made
    if type(value) in (list, set, deque):
        return copy.copy(value)
    return value
