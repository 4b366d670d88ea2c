"""Fully connected networks in NTK parametrisation."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from overparam._checked import checked
from overparam._errors import expect
from overparam.nets.activations import activation_class
from overparam.nets.linear import NTKLinear
from overparam.nets.seeding import generator


@checked
def ntk_mlp(
    widths: Sequence[int],
    activation: str = "tanh",
    *,
    output_activation: str = "identity",
    weight_scale: float = 1.0,
    bias_scale: float = 0.0,
    seed: int | torch.Generator = 0,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """A fully connected network whose kernel has a limit as its widths grow.

    With widths m_0, …, m_{L+1} (L hidden layers), h⁰ = x and all weights N(0, 1),

        hˡ = σ(Wˡ hˡ⁻¹ / √m_{l−1}),   l = 1..L,        f = φ(W^{L+1} h^L / √m_L).

    σ is not normalised: with "relu" and `weight_scale=1` activations shrink by √2 per layer;
    pass √2 against it. A small number in the middle of `widths` is a bottleneck.

    Args:
        widths: Number of inputs, of units in each hidden layer, and of outputs; at least two
            numbers. ``[10, 64, 64, 1]`` has two hidden layers.
        activation: σ, one of "tanh", "relu", "swish", "gelu", "identity".
        output_activation: φ, one of the same; "identity" is the linear output under which
            the kernel becomes constant.
        weight_scale: As in `NTKLinear`, for every layer.
        bias_scale: As in `NTKLinear`; 0 means no biases.
        seed: A number, or a generator that is advanced.
        dtype: Floating-point type of the parameters; `None` means torch's default.

    Returns:
        A `Sequential` that alternates `NTKLinear` and activations, mapping (n, m_0) to
        (n, m_{L+1}).

    Raises:
        ValueError: If a width is not positive or an activation is unknown.

    Example:
        >>> model = ntk_mlp([10, 64, 3, 64, 1], seed=0)  # a bottleneck of three units
        >>> model(torch.zeros(5, 10)).shape
        torch.Size([5, 1])

    References:
        Jacot, Gabriel, Hongler (2018), arXiv:1806.07572; Liu, Zhu, Belkin (2020),
        arXiv:2010.01092, whose networks have neither biases nor scales.
    """
    expect(
        len(widths) >= 2 and min(widths) >= 1,
        "ntk_mlp(widths=...)",
        "at least two positive numbers: inputs, hidden widths, outputs",
        list(widths),
    )
    draw = generator(seed)
    hidden = activation_class("ntk_mlp(activation=...)", activation)
    last = activation_class("ntk_mlp(output_activation=...)", output_activation)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [
            NTKLinear(
                fan_in,
                fan_out,
                weight_scale=weight_scale,
                bias_scale=bias_scale,
                seed=draw,
                dtype=dtype,
            ),
            hidden(),
        ]
    # An identity at the end would be a layer that does nothing.
    layers[-1:] = [] if output_activation == "identity" else [last()]
    return nn.Sequential(*layers)
