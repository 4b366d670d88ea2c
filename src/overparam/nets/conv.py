"""A convolution in NTK parametrisation: its scale is in the formula, not in the weights."""

import math
from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam.nets.seeding import generator

PADDINGS = ("circular", "zeros")


class NTKConv2d(nn.Module):
    """A 2-D convolution whose weights are all N(0, 1), scaled by its fan-in when it is applied.

    For C input channels in G groups and a window of k_h × k_w, the fan-in is m = C k_h k_w / G and

        y[o, p] = Σ_{c, δ} W[o, c, δ] x[c, p + δ] · weight_scale / √m + bias_scale · b[o],

    with W, b ~ N(0, 1) independent. Channels are this layer's width: outputs and gradients have
    the same size at any number of them. The fan-in counts the **whole window also at a border
    padded with zeros**, where fewer pixels contribute; circular padding has no border.

    Args:
        in_channels: C ≥ 1.
        out_channels: At least 1.
        kernel_size: Height and width of the window, or one number for both.
        stride: Step of the window, or one number for both directions.
        padding: Pixels added on every side, or one number for both directions. (k − 1)/2 keeps
            the size of the image for odd k and stride 1.
        padding_mode: "zeros" beyond the border, or "circular", the other side of the image.
        groups: G ≥ 1, a divisor of both numbers of channels.
        weight_scale: Multiplies 1/√m; √2 keeps the variance through a ReLU.
        bias_scale: Multiplies the bias; 0 means that there is no bias parameter.
        seed: A number, or a generator that is advanced: two layers drawn with the same number
            have the same weights.
        dtype: Floating-point type of the parameters; `None` means torch's default.

    Attributes:
        weight: W, (out_channels, in_channels / G, k_h, k_w).
        bias: b, (out_channels,), or `None`.
        scale: weight_scale / √m, what W is multiplied by.

    Raises:
        ValueError: If a size is not positive, `groups` does not divide the channels, a scale is
            negative or not finite, or the padding is negative, unknown, or wider than an image.

    Example:
        A window of 2 × 2 with weights of one gives half the sum of the four, since √4 = 2:

        >>> layer = NTKConv2d(1, 1, 2, seed=0)
        >>> _ = torch.nn.init.ones_(layer.weight)
        >>> layer(torch.ones(1, 1, 2, 2)).item()
        2.0

    References:
        Arora, Du, Hu, Li, Salakhutdinov, Wang (2019), arXiv:1904.11955: the parametrisation of
        convolutions. Liu, Zhu, Belkin (2020), arXiv:2010.01092: channels as the width.
    """

    @checked
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        padding_mode: str = "zeros",
        groups: int = 1,
        weight_scale: float = 1.0,
        bias_scale: float = 0.0,
        seed: int | torch.Generator,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = _pair("kernel_size", kernel_size, 1)
        self.stride, self.padding = _pair("stride", stride, 1), _pair("padding", padding, 0)
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            expect(
                isinstance(value, Integral) and value >= 1,
                f"NTKConv2d({name}=...)",
                "a whole number ≥ 1",
                value,
            )
        expect(
            isinstance(groups, Integral)
            and groups >= 1
            and in_channels % groups == 0
            and out_channels % groups == 0,
            "NTKConv2d(groups=...)",
            f"a divisor of {in_channels} and {out_channels} channels",
            groups,
        )
        for name, value in (("weight_scale", weight_scale), ("bias_scale", bias_scale)):
            expect(
                math.isfinite(value) and value >= 0,
                f"NTKConv2d({name}=...)",
                "a finite number ≥ 0",
                value,
            )
        if padding_mode not in PADDINGS:
            unknown("NTKConv2d(padding_mode=...)", "a padding", padding_mode, PADDINGS)
        draw = generator(seed)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.padding_mode, self.groups = padding_mode, groups
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.scale, self.bias_scale = weight_scale / math.sqrt(math.prod(shape[1:])), bias_scale
        self.weight = nn.Parameter(torch.randn(shape, generator=draw, dtype=dtype))
        self.bias: nn.Parameter | None = None
        if bias_scale > 0:
            self.bias = nn.Parameter(torch.randn(out_channels, generator=draw, dtype=dtype))

    def forward(self, x: Float[Tensor, "*batch c h w"]) -> Float[Tensor, "*batch o h2 w2"]:
        """The scaled convolution over the last two axes."""
        bias = None if self.bias is None else self.bias_scale * self.bias
        x, padding = x * self.scale, self.padding
        if self.padding_mode == "circular" and any(padding):
            expect(
                padding[0] <= x.shape[-2] and padding[1] <= x.shape[-1],
                "NTKConv2d(padding=...)",
                f"at most the image's size, {x.shape[-2]} × {x.shape[-1]}, to go round it",
                padding,
            )
            margins = (padding[1], padding[1], padding[0], padding[0])
            x, padding = nn.functional.pad(x, margins, mode="circular"), (0, 0)
        return nn.functional.conv2d(
            x, self.weight, bias, stride=self.stride, padding=padding, groups=self.groups
        )

    def extra_repr(self) -> str:
        """Sizes and scales, for `print(model)`."""
        return (
            f"{self.in_channels}, {self.out_channels}, {self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding} {self.padding_mode}, groups={self.groups}, "
            f"scale={self.scale:.3g}, bias_scale={self.bias_scale:.3g}"
        )


def _pair(name: str, value: int | tuple[int, int], least: int) -> tuple[int, int]:
    """Height and width from one number or two, checked."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    expect(
        len(pair) == 2 and all(isinstance(number, Integral) and number >= least for number in pair),
        f"NTKConv2d({name}=...)",
        f"one or two whole numbers ≥ {least}",
        value,
    )
    return pair[0], pair[1]
