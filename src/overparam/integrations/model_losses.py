"""Losses that models of transformers compute inside, as functions of outputs and labels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Of outputs and the labels by name.
Inner = Callable[[Tensor, dict[str, Tensor]], Tensor]


def inner_losses(model: nn.Module) -> list[Inner]:
    """Losses that models of transformers compute inside, theirs by name first."""
    given: Any = getattr(model, "loss_function", None)
    config = getattr(model, "config", None)
    own: list[Inner] = []
    if given is not None:
        own = [
            lambda z, y: given(logits=z, labels=_only(y), vocab_size=z.shape[-1]),
            lambda z, y: given(logits=z, labels=_only(y), config=config),
            lambda z, y: given(pooled_logits=z, labels=_only(y), config=config),
        ]
    return [
        *own,
        lambda z, y: token_cross_entropy(z, _only(y)),
        lambda z, y: token_cross_entropy(z[..., :-1, :], _only(y)[..., 1:]),
        lambda z, y: functional.mse_loss(z.squeeze(), _only(y).squeeze()),
        lambda z, y: functional.binary_cross_entropy_with_logits(z, _only(y)),
        _positions,
    ]


def token_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the last axis, without labels of −100."""
    return functional.cross_entropy(logits.flatten(0, -2), labels.flatten())


def _positions(logits: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """Mean over starts and ends of an answer; positions behind the text do not count."""
    length = logits.shape[1]
    places = [labels[name].clamp(0, length) for name in ("start_positions", "end_positions")]
    pairs = zip(logits.unbind(-1), places, strict=True)
    parts = [functional.cross_entropy(z, y, ignore_index=length) for z, y in pairs]
    return torch.stack(parts).mean()


def _only(labels: dict[str, Tensor]) -> Tensor:
    (value,) = labels.values()
    return value
