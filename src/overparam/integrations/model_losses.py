"""Losses that models of transformers compute inside, as functions of outputs and labels by name."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from overparam._own_loss import losses_by_name, usual_losses, would_broadcast
from overparam._types import Loss

# Of outputs and the labels by name.
Inner = Callable[[Tensor, dict[str, Tensor]], Tensor]


def inner_losses(model: nn.Module) -> list[Inner]:
    """Losses that a model may compute inside, what it calls its own first."""
    return [*map(_of_the_only, [*losses_by_name(model), *usual_losses()]), _positions]


def _of_the_only(loss: Loss) -> Inner:
    """A loss where there are labels of one name."""

    def of_labels(outputs: Tensor, labels: dict[str, Tensor]) -> Tensor:
        (y,) = labels.values()
        if would_broadcast(loss, outputs, y):
            raise ValueError(f"outputs of {tuple(outputs.shape)}, labels of {tuple(y.shape)}")
        return loss(outputs, y)

    return of_labels


def _positions(logits: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """Mean over starts and ends of an answer; positions behind the text do not count."""
    length = logits.shape[1]
    places = [labels[name].clamp(0, length) for name in ("start_positions", "end_positions")]
    pairs = zip(logits.unbind(-1), places, strict=True)
    parts = [functional.cross_entropy(z, y, ignore_index=length) for z, y in pairs]
    return torch.stack(parts).mean()
