"""The activations that builders know by name."""

from collections.abc import Callable

from torch import nn

from overparam._errors import unknown

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


def activation_class(where: str, name: str) -> Callable[[], nn.Module]:
    """The module class of that name, or an error that lists them.

    Args:
        where: The public call and argument, for the error message.
        name: A key of `ACTIVATIONS`.
    """
    if name not in ACTIVATIONS:
        unknown(where, "an activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
