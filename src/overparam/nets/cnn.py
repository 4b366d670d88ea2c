"""Convolutional networks in NTK parametrisation."""

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import nn

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam.nets.activations import activation_class
from overparam.nets.conv import PADDINGS, NTKConv2d
from overparam.nets.linear import NTKLinear
from overparam.nets.seeding import generator

HEADS = ("average", "flatten")


@checked
def ntk_cnn(
    input_shape: tuple[int, int, int],
    channels: Sequence[int],
    *,
    outputs: int = 1,
    kernel_size: int = 3,
    padding: str = "circular",
    head: str = "average",
    activation: str = "relu",
    output_activation: str = "identity",
    weight_scale: float = 1.0,
    bias_scale: float = 0.0,
    seed: int | torch.Generator = 0,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """A convolutional network whose kernel has a limit as its numbers of channels grow.

    L convolutions with stride 1 that keep the image's size, each followed by σ, then a linear
    head; all weights are N(0, 1), scaled in the formula (`NTKConv2d`, `NTKLinear`). For P pixels

        average:  f = φ(V mean_p h^L[:, p] / √m_L),        flatten:  f = φ(V vec(h^L) / √(m_L P)).

    These are the networks whose limit is `tangents.infinite_conv_ntk`, with σ_w the same
    `weight_scale` and σ_b the same `bias_scale`. σ is not normalised: with "relu" and
    `weight_scale=1` activations shrink by √2 per layer; pass √2 against it. A small number in
    `channels` is a bottleneck, which keeps the kernel from becoming constant at any width.

    Args:
        input_shape: Channels, height and width of an image.
        channels: Numbers of channels m_1, …, m_L of the L ≥ 1 convolutions.
        outputs: Numbers the network returns for an image.
        kernel_size: Height and width of every window, odd.
        padding: "circular", or "zeros" beyond the border.
        head: "average" over all pixels before the head, or "flatten".
        activation: σ, one of "tanh", "relu", "swish", "gelu", "identity".
        output_activation: φ, one of the same; only under "identity" does the kernel become
            constant.
        weight_scale: As in `NTKLinear`, for every layer.
        bias_scale: As in `NTKLinear`; 0 means no biases.
        seed: A number, or a generator that is advanced.
        dtype: Floating-point type of the parameters; `None` means torch's default.

    Returns:
        A `Sequential` that maps (n, channels, height, width) to (n, outputs).

    Raises:
        ValueError: If a size is not positive, the window is even or more than twice the image,
            or a name is unknown.

    Example:
        >>> model = ntk_cnn((3, 8, 8), [16, 16], outputs=10)
        >>> model(torch.zeros(5, 3, 8, 8)).shape
        torch.Size([5, 10])

    References:
        Arora, Du, Hu, Li, Salakhutdinov, Wang (2019), arXiv:1904.11955: both heads. Liu, Zhu,
        Belkin (2020), arXiv:2010.01092: channels as the width.
    """
    sizes = tuple(input_shape)
    expect(
        len(sizes) == 3 and all(isinstance(size, Integral) and size >= 1 for size in sizes),
        "ntk_cnn(input_shape=...)",
        "three positive whole numbers: channels, height, width",
        input_shape,
    )
    expect(
        len(channels) >= 1 and all(isinstance(m, Integral) and m >= 1 for m in channels),
        "ntk_cnn(channels=...)",
        "at least one positive whole number of channels",
        list(channels),
    )
    expect(
        isinstance(kernel_size, Integral)
        and kernel_size >= 1
        and kernel_size % 2 == 1
        and kernel_size // 2 <= min(sizes[1:]),
        "ntk_cnn(kernel_size=...)",
        f"an odd number ≥ 1 whose half is at most the image's {min(sizes[1:])} pixels",
        kernel_size,
    )
    if padding not in PADDINGS:
        unknown("ntk_cnn(padding=...)", "a padding", padding, PADDINGS)
    if head not in HEADS:
        unknown("ntk_cnn(head=...)", "a head", head, HEADS)
    expect(
        isinstance(outputs, Integral) and outputs >= 1,
        "ntk_cnn(outputs=...)",
        "a whole number ≥ 1",
        outputs,
    )
    hidden = activation_class("ntk_cnn(activation=...)", activation)
    last = activation_class("ntk_cnn(output_activation=...)", output_activation)
    draw = generator(seed)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((sizes[0], *channels)):
        layers += [
            NTKConv2d(
                fan_in,
                fan_out,
                kernel_size,
                padding=kernel_size // 2,
                padding_mode=padding,
                weight_scale=weight_scale,
                bias_scale=bias_scale,
                seed=draw,
                dtype=dtype,
            ),
            hidden(),
        ]
    features = channels[-1] * (1 if head == "average" else sizes[1] * sizes[2])
    layers += [nn.AdaptiveAvgPool2d(1)] if head == "average" else []
    layers += [
        nn.Flatten(),
        NTKLinear(
            features,
            outputs,
            weight_scale=weight_scale,
            bias_scale=bias_scale,
            seed=draw,
            dtype=dtype,
        ),
    ]
    return nn.Sequential(*layers, *([] if output_activation == "identity" else [last()]))
