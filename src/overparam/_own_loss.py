"""Losses that a model computes inside, as the models of `transformers` do, taken out of it.

Such a model is given the targets and returns its loss beside its outputs. Curvature needs the loss
as a function of the outputs: of the usual ones the one is taken that gives the model's own number.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from overparam._batch import named_tensors
from overparam._errors import complaint
from overparam._forward import Adapted, inside, seen_through
from overparam._model import as_function, undisturbed
from overparam._types import Forward, Inputs, Loss, Params

LABELS = "labels"
_IGNORED = -100
# What code of a user's raises when it is called in another way than it is meant to.
_NOT_SO = (
    TypeError, ValueError, KeyError, AttributeError, RuntimeError, IndexError, AssertionError,
)  # fmt: skip


def seen_with_loss(
    where: str, model: nn.Module, x: Inputs, y: Any, loss: Loss | None, forward: Forward | None
) -> tuple[nn.Module, Loss]:
    """A model under its call, and its loss: as given, or the one that it computes inside.

    Args:
        where: The public call this is for, for the error message.
        model: Any module.
        x: Inputs.
        y: Targets: a tensor, or several by the names under which the model takes them.
        loss: `loss(outputs, targets)`, or `None` for the model's own.
        forward: Picks the outputs; `None` is the model itself, or the logits of one with a loss
            of its own.

    Raises:
        TypeError: No loss is given, and the model has none inside.
        ValueError: It has one that does not follow from its logits.
    """
    if loss is not None or not isinstance(model, nn.Module):
        return seen_through(model, forward, where), loss  # type: ignore[return-value]
    words = "a function of outputs and targets, or None for a model that returns its loss"
    adapted = seen_through(model, forward or logits_of, where)
    asked = Adapted(model, lambda model, x: with_targets(model, x, y))
    own = own_value(lambda: asked(x), model)
    if own is None:
        raise complaint(f"{where}(loss=...)", words, "None", error=TypeError)
    found = loss_like(asked, adapted, x, y)
    if found is None:
        raise complaint(
            f"{where}(loss=...)",
            "a loss inside the model that follows from its logits and labels",
            f"{own:.6g}, which no usual loss gives",
            hint="pass loss=, a function of outputs and targets, and forward=, which picks the "
            "outputs.",
        )
    return adapted, found


def with_targets(model: nn.Module, x: Any, y: Any) -> Any:
    """What a model returns when it is given its targets as well."""
    targets = {} if y is None else dict(y) if isinstance(y, Mapping) else {LABELS: y}
    if isinstance(x, Mapping):
        return model(**x, **targets)
    return model(x, **targets)


def own_value(returned: Callable[[], Any], model: nn.Module) -> float | None:
    """The loss in what a model returns; `None` if there is none, or it takes no such call."""
    with undisturbed(model, evaluation=True), torch.no_grad():
        try:
            value = loss_in(returned())
        except _NOT_SO:
            return None
    return None if value is None else float(value)


def loss_like(asked: nn.Module, adapted: nn.Module, x: Any, y: Any) -> Loss | None:
    """The loss, of the usual ones, of `adapted` outputs that is what `asked` returns, or `None`.

    Both are the same model. They are compared at other parameters as well, since those that
    training starts from may give the same outputs to all, and so the same loss to many.
    """
    y = y[LABELS] if isinstance(y, Mapping) and set(y) == {LABELS} else y
    own, outputs = as_function(asked), as_function(adapted)
    points = []
    with undisturbed(adapted, evaluation=True), torch.no_grad():
        for params in _points(adapted):
            try:
                value, out = loss_in(own(params, x)), outputs(params, x)
            except _NOT_SO:
                return None
            if value is None or not isinstance(out, Tensor) or not isinstance(y, Tensor):
                return None
            if bool(torch.isfinite(value)) and bool(torch.isfinite(out).all()):
                points.append((float(value), out))
        for loss in (*usual_losses(), *losses_by_name(inside(adapted))):
            if points and all(_gives(loss, out, y, value) for value, out in points):
                return loss
    return None


def _points(model: nn.Module) -> Iterator[Params]:
    """The present parameters, and others well away from them."""
    generator = torch.Generator().manual_seed(0)
    now = {name: p.detach() for name, p in model.named_parameters()}
    yield now
    yield {
        name: p + torch.randn(p.shape, generator=generator).to(p) * (p.std(correction=0) + 0.1)
        for name, p in now.items()
        if p.is_floating_point()
    }


def _gives(loss: Loss, outputs: Tensor, y: Tensor, value: float) -> bool:
    """Whether a loss has a value, up to rounding."""
    if would_broadcast(loss, outputs, y):
        return False
    coarse = outputs.dtype in (torch.float16, torch.bfloat16)
    try:
        found = float(loss(outputs, y))
    except _NOT_SO:
        return False
    return math.isclose(found, value, rel_tol=2e-2 if coarse else 1e-4, abs_tol=1e-6)


def loss_in(returned: Any) -> Tensor | None:
    """The loss in what a model returned: that alone, by that name, or first in a tuple."""
    if isinstance(returned, Tensor):
        value = returned if returned.ndim == 0 else None
    elif isinstance(returned, Mapping):
        value = returned.get("loss")
    elif isinstance(returned, (tuple, list)):
        value = returned[0] if returned else None
    else:
        value = getattr(returned, "loss", None)
    single = isinstance(value, Tensor) and value.numel() == 1 and value.ndim <= 1
    return value if single else None


def logits_of(model: nn.Module, x: Any) -> Tensor:
    """What `model` gives for `x`: its logits, or the first tensor that is no loss."""
    found = model(**x) if isinstance(x, Mapping) else model(x)
    if isinstance(found, Tensor):
        return found
    if isinstance(logits := getattr(found, "logits", None), Tensor):
        return logits
    return next(
        (value for name, value in named_tensors(found) if value.ndim and name != "loss"), found
    )


def usual_losses() -> list[Loss]:
    """Losses that models are trained with, the plainest first."""
    return [
        F.cross_entropy, shifted_cross_entropy, token_cross_entropy, F.mse_loss,
        squared_error_of_one, F.binary_cross_entropy_with_logits, binary_cross_entropy_of_one,
        F.l1_loss, F.nll_loss,
    ]  # fmt: skip


def losses_by_name(model: nn.Module) -> list[Loss]:
    """The `loss_function` of a model of transformers, in the ways in which they call theirs."""
    if not callable(getattr(model, "loss_function", None)):
        return []
    given: Any = model.loss_function
    config = getattr(model, "config", None)
    return [
        lambda z, y: given(logits=z, labels=y, vocab_size=z.shape[-1], config=config),
        lambda z, y: given(logits=z, labels=y, config=config),
        lambda z, y: given(pooled_logits=z, labels=y, config=config),
        lambda z, y: given(logits=z, labels=y),
    ]


def would_broadcast(loss: Loss, outputs: Tensor, y: Tensor) -> bool:
    """Whether a loss compares numbers of different examples, as targets are of another shape."""
    return loss in (F.mse_loss, F.l1_loss) and outputs.shape != y.shape


def token_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the last axis, without labels of −100."""
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=_IGNORED)


def shifted_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """That of a causal language model: the logits at a place are for the next token."""
    return token_cross_entropy(logits[..., :-1, :], labels[..., 1:])


def squared_error_of_one(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of a single output per example."""
    return F.mse_loss(outputs.reshape(y.shape), y.to(outputs))


def binary_cross_entropy_of_one(outputs: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of a single logit per example."""
    return F.binary_cross_entropy_with_logits(outputs.reshape(y.shape), y.to(outputs))
