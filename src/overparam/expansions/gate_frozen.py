"""A two-layer ReLU network with the gates of its start: its Taylor polynomials, exactly."""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._errors import expect
from overparam._exclusive import exclusive, exclusively
from overparam._model import trainable
from overparam._types import Params
from overparam.nets.linear import NTKLinear

# Linear in its weights with the inputs held, and in its inputs with the weights held.
_WEIGHTED = (nn.Linear, NTKLinear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_FIXED = (nn.Flatten, nn.Unflatten, nn.Identity, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_POOLED = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)

Gates = Bool[Tensor, "n *hidden"] | Float[Tensor, "n *hidden"]


class Expansion(NamedTuple):
    """A network and its first two Taylor polynomials at the same parameters."""

    network: Float[Tensor, "n c"]
    linear: Float[Tensor, "n c"]
    quadratic: Float[Tensor, "n c"]


class GateFrozenNetwork(nn.Module):
    """What `freeze_gates` returns: a two-layer ReLU network whose gates stay those of w0.

    Attributes:
        network: The network, at w; its parameters are what is trained.
        start: A frozen copy of it, at w0.
    """

    @checked
    def __init__(self, model: nn.Sequential) -> None:
        super().__init__()
        with exclusive(model):
            self.network = copy.deepcopy(model)
        self.start = copy.deepcopy(self.network).requires_grad_(False)
        self._relu = _gate_index(model)

    @checked
    @exclusively
    def gates(self, x: Float[Tensor, "n *input"]) -> Bool[Tensor, "n *hidden"]:
        """Which hidden units are on at w0, for every example; to be kept for a fixed set."""
        with torch.no_grad():
            return self.start[: self._relu](x) > 0

    @exclusively
    def forward(
        self, x: Float[Tensor, "n *input"], gates: Gates | None = None
    ) -> Float[Tensor, "n c"]:
        """f_quad(w; x); with the `gates` of x at hand, at the cost of the network.

        They may be 1 and 0 in the dtype of x as well, which multiply faster than booleans.
        """
        gates = self.gates(x) if gates is None else gates
        hidden = self.network[: self._relu](x) * gates
        return self.network[self._relu + 1 :](hidden)

    @checked
    @exclusively
    def linear(
        self, x: Float[Tensor, "n *input"], gates: Gates | None = None
    ) -> Float[Tensor, "n c"]:
        """f_lin(w; x) at the same parameters, at the cost of three networks."""
        gates = self.gates(x) if gates is None else gates
        readout, start = self.network[self._relu + 1 :], self.start[self._relu + 1 :]
        hidden = self.network[: self._relu](x) * gates
        held = self.start[: self._relu](x) * gates
        return start(hidden) + readout(held) - start(held)

    @checked
    @exclusively
    def expansion(self, x: Float[Tensor, "n *input"]) -> Expansion:
        """The network itself and both polynomials, at the same parameters."""
        gates = self.gates(x)
        return Expansion(self.network(x), self.linear(x, gates), self(x, gates))

    def displacement(self) -> Params:
        """δ = w − w0 by name, of the parameters that are trained."""
        start = dict(self.start.named_parameters())
        own = trainable(self.network, where="GateFrozenNetwork.displacement()")
        return {name: (p - start[name]).detach() for name, p in own.items()}


@checked
def freeze_gates(model: nn.Sequential) -> GateFrozenNetwork:
    """The second Taylor polynomial of a two-layer ReLU network, without any derivative.

        f_quad(w; x) = V (1{U₀ x > 0} ⊙ U x),      f(w; x) = V (1{U x > 0} ⊙ U x)

    With the gates held, the network is a product of two layers, and its second Taylor
    polynomial is itself; so this equals `quadratize(model)` at every w, biases included, and
    costs what the network costs. It holds for **one** hidden layer of ReLUs, dense or
    convolutional, under a linear readout: three layers have cubic terms, and a smooth
    activation bends between its gates. A unit whose input is exactly 0 is off, as in autograd;
    the theory counts it as on.

    What is trained are the weights w themselves, not the displacement: weight decay pulls them
    to 0, unlike in `quadratize`.

    Args:
        model: ``Sequential(layer, ReLU(), …, layer)`` of `Linear`, `NTKLinear` or convolutions,
            with any number of flattenings and average poolings, such as
            ``ntk_mlp([d, m, 1], "relu")``. Copied, not changed.

    Returns:
        A module called like the model, that also gives the first polynomial (`linear`) and
        all three functions at once (`expansion`).

    Raises:
        TypeError: If the model is not a `Sequential`.
        ValueError: If it has not exactly one ReLU with one weighted layer on either side, or
            holds a layer that is not linear; the message names it.

    Cost:
        Three times the memory of the parameters. A call costs the network and, unless gates
        are given, its first layer once more.

    Example:
        The unit is on at the start; when its input turns negative, the polynomial goes on
        where the network stops:

        >>> model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
        >>> for p in model.parameters():
        ...     _ = torch.nn.init.ones_(p)
        >>> frozen = freeze_gates(model)
        >>> _ = torch.nn.init.constant_(frozen.network[0].weight, -3.0)
        >>> expansion = frozen.expansion(torch.ones(1, 1))
        >>> expansion.network.item(), expansion.quadratic.item()
        (1.0, -1.0)

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2022), arXiv:2205.11787: the quadratic model. That
        freezing the gates gives it is elementary, and ours to use.
    """
    where = "freeze_gates(model=...)"
    expect(
        isinstance(model, nn.Sequential),
        where,
        "an nn.Sequential of a layer, a ReLU and a layer",
        type(model).__name__,
        hint="quadratize(model) takes any module.",
        error=TypeError,
    )
    trainable(model, where=where)
    return GateFrozenNetwork(model)


def _gate_index(model: nn.Sequential) -> int:
    """Where the ReLU stands, after everything around it was checked."""
    where, hint = "freeze_gates(model=...)", "quadratize(model) takes any module."
    layers = list(model)
    places = [index for index, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
    expect(len(places) == 1, where, "exactly one ReLU", f"{len(places)} of them", hint)
    for index, layer in enumerate(layers):
        expect(
            index == places[0] or isinstance(layer, (*_WEIGHTED, *_FIXED, *_POOLED)),
            where,
            "layers that are linear, besides one ReLU",
            f"{type(layer).__name__} at {index}",
            hint,
        )
        expect(
            not list(layer.parameters()) or type(layer) in _WEIGHTED,
            where,
            "plain linear or convolutional layers",
            f"{type(layer).__name__} at {index}",
            hint,
        )
    sides = layers[: places[0]], layers[places[0] + 1 :]
    counts = [sum(isinstance(layer, _WEIGHTED) for layer in side) for side in sides]
    expect(
        counts == [1, 1],
        where,
        "one weighted layer before the ReLU and one after it",
        f"{counts[0]} and {counts[1]}",
        hint,
    )
    tied = {id(p) for layer in sides[0] for p in layer.parameters()} & {
        id(p) for layer in sides[1] for p in layer.parameters()
    }
    expect(not tied, where, "layers that share no weights", "tied weights", hint)
    return places[0]
