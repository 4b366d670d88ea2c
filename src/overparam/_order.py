"""Arguments that stand in each other's place: a model, data, a loss, an optimizer."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from overparam._errors import complaint

_WORDS = {
    "model": "a model", "data": "data", "x": "inputs", "y": "targets", "loss": "a loss",
    "optimizer": "an optimizer",
}  # fmt: skip
_PLACES = ("first", "second", "third", "fourth", "fifth")
# What may stand in a place besides what belongs there: a loss may have parameters of its own.
_MAY = {("loss", "model")}


def expect_order(who: str, **given: Any) -> None:
    """Raise, in a line, if an argument is what belongs in another one's place.

    Args:
        who: The public call.
        given: The arguments that come by position, in their order. Names beyond model, loss and
            optimizer are those of data.
    """
    for place, (name, value) in enumerate(given.items()):
        kind, wanted = _kind(value), name if name in ("model", "loss", "optimizer") else "data"
        if kind is None or kind == wanted or (wanted, kind) in _MAY:
            continue
        came = "" if kind == "data" else f" ({type(value).__name__})"
        raise complaint(
            f"{who}({', '.join(given)})",
            f"{_WORDS[name]} in {_PLACES[place]} place",
            f"{_WORDS[kind]}{came}",
            error=TypeError,
        )


def _kind(value: Any) -> str | None:
    """What an argument can be nothing but."""
    if isinstance(value, Optimizer) or value is Optimizer:
        return "optimizer"
    if isinstance(value, _Loss):
        return "loss"
    if isinstance(value, nn.Module):
        return "model" if next(value.parameters(), None) is not None else None
    if isinstance(value, (Tensor, np.ndarray, DataLoader, Dataset)):
        return "data" if not isinstance(value, torch.nn.Parameter) else None
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], (Tensor, np.ndarray)):
        return "data"
    return None
