"""A linear layer in NTK parametrisation: its scale is in the formula, not in the weights."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._errors import expect
from overparam.nets.seeding import generator


class NTKLinear(nn.Module):
    """A linear map whose weights are all N(0, 1), scaled by its fan-in when it is applied.

    For fan-in m,

        y = W x · weight_scale / √m + bias_scale · b,      W_ij, b_i ~ N(0, 1) independent.

    Outputs have variance O(1) at any m, and so have gradients: widening the layer changes
    neither. In PyTorch's own layers the 1/√m is in the initial weights instead; then the norm
    of the gradient grows as √m and a learning rate for one width is wrong for another.

    Args:
        in_features: Fan-in m ≥ 1.
        out_features: Number of outputs, at least 1.
        weight_scale: Multiplies 1/√m; √2 keeps the variance through a ReLU.
        bias_scale: Multiplies the bias; 0 means that there is no bias parameter.
        seed: A number, or a generator that is advanced: two layers drawn with the same number
            have the same weights.
        dtype: Floating-point type of the parameters; `None` means torch's default.

    Attributes:
        weight: W, (out_features, in_features).
        bias: b, (out_features,), or `None`.
        scale: weight_scale / √m, what W is multiplied by.

    Raises:
        ValueError: If a size is not positive or a scale is negative or not finite.

    Example:
        Four equal weights of one give half the sum, since √4 = 2:

        >>> layer = NTKLinear(4, 1, seed=0)
        >>> _ = torch.nn.init.ones_(layer.weight)
        >>> layer(torch.ones(1, 4)).item()
        2.0

    References:
        Jacot, Gabriel, Hongler (2018), arXiv:1806.07572: the parametrisation. Liu, Zhu, Belkin
        (2020), arXiv:2010.01092: why widths must be compared in it.
    """

    @checked
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        weight_scale: float = 1.0,
        bias_scale: float = 0.0,
        seed: int | torch.Generator,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        expect(in_features >= 1, "NTKLinear(in_features=...)", "at least 1", in_features)
        expect(out_features >= 1, "NTKLinear(out_features=...)", "at least 1", out_features)
        for name, value in (("weight_scale", weight_scale), ("bias_scale", bias_scale)):
            expect(
                math.isfinite(value) and value >= 0,
                f"NTKLinear({name}=...)",
                "a finite number ≥ 0",
                value,
            )
        draw = generator(seed)
        self.in_features, self.out_features = in_features, out_features
        self.scale, self.bias_scale = weight_scale / math.sqrt(in_features), bias_scale
        weight = torch.randn(out_features, in_features, generator=draw, dtype=dtype)
        self.weight = nn.Parameter(weight)
        self.bias: nn.Parameter | None = None
        if bias_scale > 0:
            self.bias = nn.Parameter(torch.randn(out_features, generator=draw, dtype=dtype))

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """The scaled linear map of the last axis."""
        # Scaling x instead of W: one of the two has to be written, and x is the smaller.
        bias = None if self.bias is None else self.bias_scale * self.bias
        return nn.functional.linear(x * self.scale, self.weight, bias)

    def extra_repr(self) -> str:
        """Sizes and scales, for `print(model)`."""
        return (
            f"{self.in_features}, {self.out_features}, scale={self.scale:.3g}, "
            f"bias_scale={self.bias_scale:.3g}"
        )
