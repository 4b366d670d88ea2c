"""The loss of a model on a batch as a loader gives it: of outputs and targets, or its own."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from overparam._batch import call, on_device
from overparam._errors import expect
from overparam._forward import Adapted, inside, seen_through
from overparam._own_loss import LABELS, logits_of, loss_in, loss_like, own_value, with_targets
from overparam._switches import quietly
from overparam._types import Forward, Loss
from overparam.diagnosis.examples import is_labels
from overparam.diagnosis.losses import named_loss
from overparam.diagnosis.split import Split, unknown_batch

LossOf = Callable[[nn.Module, Any], Tensor]


def has_own_step(model: Any) -> bool:
    """Whether it is a module in the manner of Lightning, which brings loss and optimizer."""
    names = ("training_step", "configure_optimizers")
    return isinstance(model, nn.Module) and all(callable(getattr(model, n, None)) for n in names)


def loss_of_batches(
    model: nn.Module,
    batch: Any,
    split: Split | None,
    loss: Loss | str | None,
    forward: Forward | None,
    device: torch.device,
    who: str,
) -> tuple[nn.Module, Loss | None, LossOf, str]:
    """What a training with a loader lowers.

    Args:
        model: On its device.
        batch: The first of the loader.
        split: Inputs and targets of a batch, if that is known.
        loss: As given; `None` is that of the model, or by the targets.
        forward: Picks the outputs.
        device: Where the model is.
        who: The call this is for, for the error messages.

    Returns:
        The model under its call; the loss of outputs and targets, `None` if only the model knows
        it; the loss of a model on a batch; and what it is called.

    Raises:
        TypeError: A batch without targets that are known, of a model without a loss of its own.
    """
    own = _own(model, batch, split, loss, forward, device)
    if own is None and split is None:
        raise unknown_batch(batch, who)
    if own is None:
        assert split is not None
        y = split(batch)[1]
        labels = isinstance(y, Tensor) and is_labels(y)
        function, name = named_loss(loss, labels, who)
        return seen_through(model, forward, who), function, _of_pair(function, split), name
    name = "training_step" if own is _stepped else f"the loss of {model._get_name()}"
    seen, function = seen_through(model, forward or logits_of, who), None
    if split is not None and loss is None:
        # It is the same for any batch; asked is the one that the outputs are of.
        asked = Adapted(model, lambda model, _: own(model, on_device(batch, device)))
        function = loss_like(asked, seen, *on_device(split(batch), device))
    return seen, function, _whole(own), name


def _own(
    model: nn.Module, batch: Any, split: Split | None, loss: Any, forward: Any, device: Any
) -> Any:
    """What returns the model's own loss for a batch, as `loss_in` finds it; `None` if nothing."""
    if loss is not None:
        return _of_output(loss, forward or call) if _takes_one(loss) else None
    if has_own_step(model):
        expect(
            getattr(model, "automatic_optimization", True), "suggest_lr, diagnose(model=...)",
            "a module whose optimizer Lightning steps", "automatic_optimization=False",
            hint="pass loss=, a function of outputs and targets.",
        )  # fmt: skip
        return _stepped
    told = call if split is None else _told(split)
    value = own_value(lambda: told(model, on_device(batch, device)), model)
    return None if value is None else told


def _takes_one(loss: Any) -> bool:
    """Whether a loss takes what a model returns and nothing else."""
    if isinstance(loss, (str, nn.Module)) or not callable(loss):
        return False
    try:
        taken = inspect.signature(loss).parameters.values()
    except (TypeError, ValueError):  # one written in C does not say
        return False
    return len(taken) == 1 and all(p.kind is not p.VAR_POSITIONAL for p in taken)


def _of_output(loss: Any, forward: Any) -> Any:
    """A loss of what a model returns for a whole batch, its targets included."""
    return lambda model, batch: loss(forward(model, batch))


def _stepped(model: Any, batch: Any) -> Any:
    """What the module's own `training_step` gives."""
    with quietly():  # without a trainer it says that it logs nothing
        return model.training_step(batch, 0)


def _told(split: Split) -> Any:
    """What a model returns for its inputs when it is given its targets."""

    def told(model: nn.Module, batch: Any) -> Any:
        x, y = split(batch)
        return with_targets(model, x, y if isinstance(y, Mapping) else {LABELS: y})

    return told


def _whole(own: Any) -> LossOf:
    def loss_of(model: nn.Module, batch: Any) -> Any:
        value = loss_in(own(inside(model), on_device(batch, _device(model))))
        return value if value is None else value.reshape(())

    return loss_of


def _of_pair(loss: Loss, split: Split) -> LossOf:
    def loss_of(model: nn.Module, batch: Any) -> Tensor:
        x, y = on_device(split(batch), _device(model))
        return loss(call(model, x), y)

    return loss_of


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
