"""Losses by name, and by what the targets are."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from overparam._errors import expect
from overparam._types import Loss


def named_loss(loss: Any, labels: bool, who: str) -> tuple[Loss, str]:
    """The loss as a function of outputs and targets as they are stored, and its name.

    Args:
        loss: A function, a name, or `None`.
        labels: Whether every example has one class.
        who: The call this is for, for the error message.
    """
    if loss is None:
        loss = "cross_entropy" if labels else "mse"
    if isinstance(loss, str):
        expect(
            loss in ("mse", "cross_entropy"),
            f"{who}(loss=...)",
            "'mse', 'cross_entropy' or a function of outputs and targets",
            repr(loss),
        )
        loss = nn.MSELoss() if loss == "mse" else nn.CrossEntropyLoss()
    expect(
        not isinstance(loss, type), f"{who}(loss=...)", "a loss that has been made",
        f"the class {getattr(loss, '__name__', loss)}",
        f"add brackets: {getattr(loss, '__name__', 'loss')}().", TypeError,
    )  # fmt: skip
    expect(
        callable(loss), f"{who}(loss=...)", "a function of outputs and targets, or a name",
        f"{type(loss).__name__} {loss!r:.60}", error=TypeError,
    )  # fmt: skip
    name = getattr(loss, "__name__", type(loss).__name__)
    if isinstance(loss, nn.MSELoss) and labels:
        return squared_error_of_labels, "MSELoss of one-hot labels"
    return loss, name


@contextmanager
def unspread() -> Iterator[None]:
    """Raise where a loss spreads targets over outputs of another shape.

    Torch warns of it, and a training that does so learns the mean of all targets.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Using a target size", UserWarning)
        yield


def misfit(problem: Exception) -> str:
    """What to try where outputs and targets do not fit a loss; empty if that is not known."""
    said = str(problem).lower()
    if "target size" in said:
        return (
            "give both one shape: targets as y[:, None], or a model whose outputs lack that axis."
        )
    if "target" in said and "out of bounds" in said:
        return "give the last layer one output per class."
    return ""


def squared_error_of_labels(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean over examples and classes of (output − one-hot label)²."""
    target = nn.functional.one_hot(labels, outputs.shape[-1]).to(outputs)
    return nn.functional.mse_loss(outputs, target)
