"""Tangent kernel of convolutional networks in the limit of infinitely many channels."""

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect, unknown
from overparam._switches import full_precision
from overparam.tangents.infinite.dense import (
    Layers,
    expect_arrays,
    expect_fits,
    fill,
    hidden_layers,
)
from overparam.tangents.infinite.dual_activations import Activation

PADDINGS = ("circular", "zeros")
HEADS = ("average", "flatten")


@renamed(x="x1", z="x2")
@checked
@full_precision()
def infinite_conv_ntk(
    x1: Float[Tensor, "n1 c h w"],
    x2: Float[Tensor, "n2 c h w"] | None = None,
    *,
    depth: int,
    kernel_size: int = 3,
    padding: str = "circular",
    head: str = "flatten",
    activation: Activation = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
) -> Float[Tensor, "n1 n2"]:
    """Tangent kernel of a convolutional network of infinitely many channels, at initialisation.

    L convolutions with stride 1 that keep the image's size, each followed by φ, and a linear
    head. Weights are N(0, 1), scaled in the formula by σ_w over the root of their fan-in
    (k² times channels; for the head, channels times positions if flattened), biases by σ_b.
    For positions p, p' of two images and A(M)[p, p'] = (1/k²) Σ_δ M[p + δ, p' + δ],

        Σ¹ = σ_w² A(⟨x_p, z_p'⟩/C) + σ_b²,    Σ^{l+1} = σ_w² A(E[φφ]) + σ_b²,
        Θ¹ = Σ¹,                               Θ^{l+1} = Σ^{l+1} + σ_w² A(E[φ'φ'] Θˡ),

    with the *mean* over C input channels, and after the last convolution

        flatten:  K = σ_w² mean_p (E[φφ] + E[φ'φ'] Θ^L)[p, p] + σ_b²,
        average:  the same with the mean over all p, p'.

    Flattening needs p = p' only. "average" is global average pooling before the head.

    Args:
        x1: n1 images, finite, channels first.
        x2: n2 images of the same shape. `None` means `x1`, at half the cost.
        depth: Number of convolutions L ≥ 1.
        kernel_size: k, odd, so that the size is kept.
        padding: "circular", or "zeros" beyond the border; k² divides in either case.
        head: "flatten" or "average".
        activation: φ, as for `infinite_ntk`.
        weight_variance: σ_w² > 0, of every layer.
        bias_variance: σ_b² ≥ 0, of every layer.

    Returns:
        K in float64, with `x2=None` exactly symmetric.

    Raises:
        ValueError: If shapes do not match, an input is not finite, or an argument is out of
            range or unknown.
        MemoryError: If the kernel and one block of pairs do not fit.
        NumericalError: If the kernel overflows.

    Warns:
        UserWarning: If the quadrature is inaccurate for this activation.

    Cost:
        With P positions, n1 n2 L (P + kP) operations to flatten and n1 n2 L (P² + kP²) to
        average. Beside 16 n1 n2 bytes, about 150 P (flatten) or 150 P² bytes (average) for
        each pair in work: 150 MB for one pair of 32 × 32 images. Pairs are taken together only
        up to that size, and nothing of size n1 n2 P² is kept.

    Example:
        One pixel and a window of one make a fully connected network with one hidden layer:

        >>> x = torch.eye(2).reshape(2, 2, 1, 1)
        >>> infinite_conv_ntk(x, depth=1, kernel_size=1)
        tensor([[2.0000, 0.3183],
                [0.3183, 2.0000]], dtype=torch.float64)

    References:
        Arora, Du, Hu, Li, Salakhutdinov, Wang (2019), arXiv:1904.11955: the recursion with
        both heads. Garriga-Alonso, Rasmussen, Aitchison (2019), arXiv:1808.05587: p = p'.
    """
    where = "infinite_conv_ntk"
    layers = hidden_layers(where, depth, activation, weight_variance, bias_variance, tangent=True)
    expect(depth >= 1, f"{where}(depth=...)", "at least 1 convolution", depth)
    odd = kernel_size >= 1 and kernel_size % 2 == 1
    expect(odd, f"{where}(kernel_size=...)", "an odd number ≥ 1", kernel_size)
    if padding not in PADDINGS:
        unknown(f"{where}(padding=...)", "a padding", padding, PADDINGS)
    if head not in HEADS:
        unknown(f"{where}(head=...)", "a head", head, HEADS)
    x1, x2 = expect_arrays(where, x1, x2, 4, "images (n, channels, height, width)")
    right = x1 if x2 is None else x2
    average = head == "average"
    positions = x1.shape[2] * x1.shape[3]
    numbers = positions**2 if average else positions * x1.shape[1]
    expect_fits(where, x1, x2, numbers)
    windows = _Windows(layers, kernel_size, padding == "circular")
    own, others = windows.variances(x1), windows.variances(right)
    letters = "kchw,kcij->khwij" if average else "kchw,kchw->khw"

    def entries(i: Tensor, j: Tensor) -> Tensor:
        products = torch.einsum(letters, x1[i], right[j]) / x1.shape[1]
        signal = tangent = windows.sum(layers.weight_variance * products) + layers.bias_variance
        for number, (a, b) in enumerate(zip(own, others, strict=True)):
            a, b = a[i], b[j]
            if average:
                a, b = a[:, :, :, None, None], b[:, None, None]
            signal, factor = layers.next(signal, a, b)
            tangent = factor * tangent
            if number < depth - 1:
                signal = windows.sum(signal) + layers.bias_variance
                tangent = signal + windows.sum(tangent)
        return (signal + tangent).flatten(1).mean(1) + layers.bias_variance

    return fill(where, x1, x2, numbers, entries)


class _Windows:
    """The operator A of a convolution, for products at p = p' and at all p, p'."""

    def __init__(self, layers: Layers, size: int, circular: bool) -> None:
        self.layers, self.size, self.circular = layers, size, circular

    def sum(self, products: Tensor) -> Tensor:
        """Mean over the window: along height and width, of both images at once if paired."""
        paired = products.ndim == 5
        for axes in ((1, 3), (2, 4)) if paired else ((1,), (2,)):
            reach = self.size // 2
            shifted = (self._shifted(products, by, axes) for by in range(-reach, reach + 1))
            products = sum(shifted, start=torch.zeros_like(products)) / self.size
        return products

    def _shifted(self, products: Tensor, by: int, axes: tuple[int, ...]) -> Tensor:
        """Entries `by` further along all `axes`; beyond the border the other side, or zero."""
        length = products.shape[axes[0]]
        if self.circular:
            return torch.roll(products, [-by] * len(axes), axes)
        out = torch.zeros_like(products)
        kept = length - abs(by)
        if kept > 0:
            source, target = products, out
            for axis in axes:
                source = source.narrow(axis, max(by, 0), kept)
                target = target.narrow(axis, max(-by, 0), kept)
            target.copy_(source)
        return out

    def variances(self, x: Tensor) -> list[Tensor]:
        """Σˡ[p, p] of each image with itself, before each activation."""
        layers = self.layers
        found = [self.sum(layers.weight_variance * (x**2).mean(1)) + layers.bias_variance]
        for _ in range(layers.depth - 1):
            found.append(self.sum(layers.next(*[found[-1]] * 3)[0]) + layers.bias_variance)
        return found
