"""Residual networks in NTK parametrisation, without batch norm."""

import math
from collections.abc import Callable
from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam.nets.activations import activation_class
from overparam.nets.conv import PADDINGS, NTKConv2d
from overparam.nets.linear import NTKLinear
from overparam.nets.seeding import generator


class ResidualBlock(nn.Module):
    """The sum of its input and a scaled branch: h + s · branch(h).

    Args:
        branch: A module whose outputs have the shape of its inputs.
        scale: s, finite.

    Raises:
        ValueError: If the scale is not finite.

    Example:
        >>> ResidualBlock(torch.nn.Identity(), 0.5)(torch.ones(2))
        tensor([1.5000, 1.5000])

    References:
        He, Zhang, Ren, Sun (2016), arXiv:1603.05027: the identity as the way past a branch.
    """

    @checked
    def __init__(self, branch: nn.Module, scale: float) -> None:
        super().__init__()
        expect(math.isfinite(scale), "ResidualBlock(scale=...)", "a finite number", scale)
        self.branch, self.scale = branch, scale

    def forward(self, h: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Input plus scaled branch."""
        return h + self.scale * self.branch(h)

    def extra_repr(self) -> str:
        """The scale, for `print(model)`."""
        return f"scale={self.scale:.3g}"


@checked
def ntk_resnet(
    input_shape: tuple[int, ...],
    width: int,
    *,
    blocks: int = 2,
    outputs: int = 1,
    branch_scale: float | None = None,
    kernel_size: int = 3,
    padding: str = "circular",
    activation: str = "relu",
    output_activation: str = "identity",
    weight_scale: float = 1.0,
    bias_scale: float = 0.0,
    seed: int | torch.Generator = 0,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """A residual network whose kernel has a limit as its width grows, at any number of blocks.

    With all weights N(0, 1), A(W, h) a linear map or convolution in NTK parametrisation, and B
    blocks of two layers each,

        h⁰ = A(W⁰, x),    hᵇ = hᵇ⁻¹ + s A(Wᵇ, σ(A(Uᵇ, σ(hᵇ⁻¹)))),  b = 1..B,    f = φ(A(V, σ(h^B))),

    where images are averaged over all pixels after the last σ. The activation comes before each
    map and nothing after the sum, so that the identity runs from the first map to the last σ.

    There is no batch norm: it ties the examples of a batch together, and per example there is
    then no gradient. What keeps the size of h bounded is the **branch scale, s = 1/√B unless
    given**: without biases a block multiplies the variance of h by at most 1 + s² (σ = tanh, or
    ReLU with `weight_scale` √2, where it is exact), hence all B together by at most
    (1 + 1/B)^B < e; at s = 1 it would be 2^B.

    Args:
        input_shape: (d,) for vectors, with linear maps; (channels, height, width) for images,
            with convolutions that keep the size.
        width: Units or channels of every layer.
        blocks: B ≥ 1.
        outputs: Numbers the network returns for an example.
        branch_scale: s ≥ 0; `None` means 1/√B.
        kernel_size: Height and width of every window, odd; images only.
        padding: "circular", or "zeros" beyond the border; images only.
        activation: σ, one of "tanh", "relu", "swish", "gelu", "identity".
        output_activation: φ, one of the same; only under "identity" does the kernel become
            constant.
        weight_scale: As in `NTKLinear`, for every layer.
        bias_scale: As in `NTKLinear`; 0 means no biases.
        seed: A number, or a generator that is advanced.
        dtype: Floating-point type of the parameters; `None` means torch's default.

    Returns:
        A `Sequential` that maps ``(n, *input_shape)`` to (n, outputs).

    Raises:
        ValueError: If a size is not positive, the window is even or too large, a scale is
            negative or not finite, or a name is unknown.

    Example:
        >>> model = ntk_resnet((3, 8, 8), 16, blocks=3)
        >>> model(torch.zeros(5, 3, 8, 8)).shape
        torch.Size([5, 1])

    References:
        He, Zhang, Ren, Sun (2016), arXiv:1603.05027: activation before each map. Liu, Zhu,
        Belkin (2020), arXiv:2010.01092: residual networks among those whose kernel becomes
        constant. The scale of the branches is our choice.
    """
    shape = tuple(input_shape)
    expect(
        len(shape) in (1, 3) and all(isinstance(size, Integral) and size >= 1 for size in shape),
        "ntk_resnet(input_shape=...)",
        "(d,) or (channels, height, width), positive whole numbers",
        input_shape,
    )
    for name, value in (("width", width), ("blocks", blocks), ("outputs", outputs)):
        expect(
            isinstance(value, Integral) and value >= 1,
            f"ntk_resnet({name}=...)",
            "a whole number ≥ 1",
            value,
        )
    scale = 1 / math.sqrt(blocks) if branch_scale is None else branch_scale
    expect(
        math.isfinite(scale) and scale >= 0,
        "ntk_resnet(branch_scale=...)",
        "a finite number ≥ 0, or None",
        branch_scale,
    )
    images = len(shape) == 3
    expect(
        not images
        or (
            isinstance(kernel_size, Integral)
            and kernel_size >= 1
            and kernel_size % 2 == 1
            and kernel_size // 2 <= min(shape[1:])
        ),
        "ntk_resnet(kernel_size=...)",
        "an odd number ≥ 1 whose half is at most the image's size",
        kernel_size,
    )
    if padding not in PADDINGS:
        unknown("ntk_resnet(padding=...)", "a padding", padding, PADDINGS)
    hidden = activation_class("ntk_resnet(activation=...)", activation)
    last = activation_class("ntk_resnet(output_activation=...)", output_activation)
    draw = generator(seed)

    def dense(fan_in: int, fan_out: int) -> nn.Module:
        return NTKLinear(
            fan_in,
            fan_out,
            weight_scale=weight_scale,
            bias_scale=bias_scale,
            seed=draw,
            dtype=dtype,
        )

    def convolution(fan_in: int, fan_out: int) -> nn.Module:
        return NTKConv2d(
            fan_in,
            fan_out,
            kernel_size,
            padding=kernel_size // 2,
            padding_mode=padding,
            weight_scale=weight_scale,
            bias_scale=bias_scale,
            seed=draw,
            dtype=dtype,
        )

    layer: Callable[[int, int], nn.Module] = convolution if images else dense
    layers = [layer(shape[0], width)]
    for _ in range(blocks):
        branch = nn.Sequential(hidden(), layer(width, width), hidden(), layer(width, width))
        layers.append(ResidualBlock(branch, scale))
    layers += [hidden(), *([nn.AdaptiveAvgPool2d(1), nn.Flatten()] if images else [])]
    layers.append(dense(width, outputs))
    return nn.Sequential(*layers, *([] if output_activation == "identity" else [last()]))
