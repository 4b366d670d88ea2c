"""A model whose call gives the tensor that a loss takes, whatever it returns itself."""

from typing import Any

from torch import nn

from overparam._errors import expect
from overparam._numbers import described
from overparam._types import Forward

# What the two have in common; the mode is handed on as well.
_SHARED = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")


class Adapted(nn.Module):
    """A model under another call: it gives what `forward(model, x)` does, for `x` as it comes.

    All that a module holds is the model's own: parameters, under the names they have there,
    buffers, submodules and mode. Whoever trains, measures or moves the one does so to the other.

    What it has besides bears names that no submodule of a model has, such as `model`.

    Attributes:
        takes_whole: That a batch is one argument, in whatever form it comes.
    """

    takes_whole = True
    _adapted: Any
    _adaptor: Any

    def __init__(self, model: nn.Module, forward: Forward) -> None:
        # Not nn.Module's, which would give the model a mode.
        own = {name: value for name, value in vars(nn.Module()).items() if name != "training"}
        shared = {name: vars(model)[name] for name in _SHARED}
        vars(self).update(own, **shared, _adapted=model, _adaptor=forward)

    @property
    def training(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The mode of the model."""
        return self._adapted.training

    @training.setter
    def training(self, mode: bool) -> None:
        self._adapted.training = mode

    def named_modules(self, *args: Any, **kwargs: Any) -> Any:
        """Those of the model, itself among them."""
        return self._adapted.named_modules(*args, **kwargs)

    def _get_name(self) -> str:
        return self._adapted._get_name()

    def forward(self, x: Any) -> Any:
        """What is picked: the tensor that a loss takes, unless the loss is inside the model."""
        return self._adaptor(self._adapted, x)


def inside(model: nn.Module) -> nn.Module:
    """The model under another call; itself where there is none."""
    return model._adapted if isinstance(model, Adapted) else model


def seen_through(model: Any, forward: Forward | None, where: str = "") -> Any:
    """The model, or the same one under the call that `forward` makes of it.

    Args:
        model: Any module; of a compiled one, the module inside is called. What is none comes back
            as it is, for whoever says what is wrong with it.
        forward: ``forward(model, x)`` that returns one tensor, or `None`.
        where: The public call this is for, for the error message.
    """
    if forward is None or not isinstance(model, nn.Module):
        return model
    words = "a function of a model and its inputs that returns a tensor, or None"
    expect(
        callable(forward) and not isinstance(forward, nn.Module), f"{where}(forward=...)", words,
        described(forward), hint="such as forward=lambda model, x: model(**x).logits.",
        error=TypeError,
    )  # fmt: skip
    written: Any = getattr(model, "_orig_mod", model)
    return Adapted(written, forward)
