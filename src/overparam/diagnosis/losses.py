"""Losses by name, and by what the targets are."""

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
        callable(loss), f"{who}(loss=...)", "a function of outputs and targets, or a name",
        f"{type(loss).__name__} {loss!r:.60}", error=TypeError,
    )  # fmt: skip
    name = getattr(loss, "__name__", type(loss).__name__)
    if isinstance(loss, nn.MSELoss) and labels:
        return squared_error_of_labels, "MSELoss of one-hot labels"
    return loss, name


def squared_error_of_labels(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean over examples and classes of (output − one-hot label)²."""
    target = nn.functional.one_hot(labels, outputs.shape[-1]).to(outputs)
    return nn.functional.mse_loss(outputs, target)
