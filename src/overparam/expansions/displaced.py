"""A model expanded around frozen weights: what its Taylor polynomials have in common."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from overparam._copies import copied_model
from overparam._errors import expect
from overparam._exclusive import exclusive
from overparam._model import trainable
from overparam._types import Inputs, Params


class DisplacedModel(nn.Module):
    """A frozen copy of a model at w0 and a trainable displacement δ = w − w0.

    Attributes:
        reference: A frozen copy of the model at w0.
        displacement: δ, one tensor per trainable parameter of the model, in its order.
    """

    def __init__(self, model: nn.Module, where: str) -> None:
        super().__init__()
        with exclusive(model):  # which may be held with other parameters in it
            names = list(trainable(model, where=where))
            self.reference = copied_model(model).requires_grad_(False)
        start = dict(self.reference.named_parameters())
        self._names = names
        self.displacement = nn.ParameterList(torch.zeros_like(start[name]) for name in names)

    def train(self, mode: bool = True) -> Self:
        """Set this module's own mode; the frozen model keeps the one it was expanded in."""
        # A reference whose dropout or batch statistics came alive would be another function.
        self.training = mode
        return self

    def displaced(self) -> Params:
        """Parameters w0 + δ by name, as a state to load into the model that was expanded."""
        shifts = zip(self._point().items(), self.displacement, strict=True)
        return {name: start + shift.detach() for (name, start), shift in shifts}

    def _point(self) -> Params:
        """The parameters w0 that may move, by name."""
        start = dict(self.reference.named_parameters())
        return {name: start[name] for name in self._names}

    def _direction(self) -> Params:
        """δ by name."""
        # By index: the compiler of torch 2.7 does not step through a list of parameters.
        return {name: self.displacement[i] for i, name in enumerate(self._names)}


def called_with(args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]) -> Inputs:
    """The arguments of a call as a batch of inputs."""
    return dict(kwargs) if kwargs else args[0] if len(args) == 1 else args


def earlier_params(where: str, model: nn.Module, given: Mapping[str, Tensor]) -> Params:
    """The parameters among `given`, checked against the model's."""
    own = dict(model.named_parameters())
    strangers = set(given) - set(own) - set(model.state_dict())
    expect(not strangers, where, "names of the model's parameters", sorted(strangers))
    start = {name: given[name].detach() for name in own if name in given}
    expect(start, where, "at least one of the model's parameters", sorted(given) or "nothing")
    for name, value in start.items():
        expect(
            value.shape == own[name].shape,
            where,
            f"{name!r} of shape {tuple(own[name].shape)}",
            tuple(value.shape),
        )
    return {name: value.to(own[name]) for name, value in start.items()}
