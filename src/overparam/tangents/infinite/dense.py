"""Kernels of fully connected networks in the limit of infinite width."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._memory import expect_room
from overparam._switches import full_precision
from overparam.errors import NumericalError
from overparam.tangents.infinite.angles import (
    input_angles,
    relu_deficit,
    relu_embedding_angle,
    unit_rows,
)
from overparam.tangents.infinite.dual_activations import Activation, dual_activation, unit_gain

PARAMETRISATIONS = ("ntk", "unscaled_input")

# Numbers of a block of pairs of inputs that are held at a time.
_HELD = 2**20
# Of each pair without angles: small blocks stay in the caches.
_NUMBERS = 8
# A cosine beyond which, in size, its angle loses a digit.
_NEAR = 0.99

Pairs = Iterator[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Layers:
    """The hidden layers and what is asked of them; `infinite_ntk` explains each."""

    depth: int
    activation: Activation
    weight_variance: float
    bias_variance: float
    tangent: bool

    def next(self, c: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Σ^{l+1} without what a convolution does in between, and the factor of Θˡ in Θ^{l+1}."""
        values, slopes = dual_activation(self.activation, c, a, b)
        return self.weight_variance * values, self.weight_variance * slopes


def hidden_layers(
    where: str, depth: int, activation: Activation, w: float, b: float, *, tangent: bool
) -> Layers:
    """Layers whose every number is in its range."""
    whole = isinstance(depth, int) and depth >= 0
    expect(whole, f"{where}(depth=...)", "a whole number ≥ 0", depth)
    expect(math.isfinite(w) and w > 0, f"{where}(weight_variance=...)", "a finite number > 0", w)
    expect(math.isfinite(b) and b >= 0, f"{where}(bias_variance=...)", "a finite number ≥ 0", b)
    return Layers(depth, activation, w, b, tangent)


@renamed(x="x1", z="x2")
@checked
@full_precision()
def infinite_ntk(
    x1: Float[Tensor, "n1 d"],
    x2: Float[Tensor, "n2 d"] | None = None,
    *,
    depth: int,
    activation: Activation = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    parametrisation: str = "ntk",
) -> Float[Tensor, "n1 n2"]:
    """Tangent kernel of a fully connected network of infinite width, at initialisation.

    The network is `ntk_mlp([d, m, …, m, 1])` with L hidden layers and m → ∞, that is

        h¹ = σ_w W⁰ x/√d + σ_b b⁰,    h^{l+1} = σ_w Wˡ φ(hˡ)/√m + σ_b bˡ,    f = h^{L+1},

    all entries of W and b are N(0, 1) and all are trained. With means over the Gaussians
    (u, v) whose covariance is Σˡ, as in `dual_activation`,

        Σ⁰ = σ_w² ⟨x, x'⟩/d + σ_b²,        Σ^{l+1} = σ_w² E[φ(u)φ(v)] + σ_b²,
        Θ⁰ = Σ⁰,                            Θ^{l+1} = Σ^{l+1} + σ_w² E[φ'(u)φ'(v)] Θˡ,

    and Θ^L is returned. The 1/d is a mean over inputs. σ_w², σ_b² multiply *every* layer's
    weights and biases, the last layer's included; `ntk_mlp` takes their roots.

    Liu and Hui (2023) scale otherwise: h¹ = W⁰x, no biases, and the factor c_σ = 1/E[σ(z)²],
    2 for ReLU, behind each activation. That is ``parametrisation="unscaled_input"``, where
    Σ⁰ = ⟨x, x'⟩ and σ_w² = c_σ stands in every later layer. For ReLU without biases it differs
    by a factor only, K = (d/2) · Θ with σ_w² = 2, and K(x, x) = (L + 1)‖x‖².

    Args:
        x1: n1 inputs, finite.
        x2: n2 inputs. `None` means `x1`, at half the cost and with an exact diagonal.
        depth: Number of hidden layers L ≥ 0; 0 is the linear model.
        activation: φ: "relu", "erf", "gelu", "identity" in closed form, "tanh", "swish" or
            any smooth function by quadrature. See `Activation`.
        weight_variance: σ_w² > 0; 2 keeps the variance through a ReLU.
        bias_variance: σ_b² ≥ 0.
        parametrisation: "ntk" or "unscaled_input", as above.

    Returns:
        Θ^L in float64 on the device of `x1`; with `x2=None` exactly symmetric. For ReLU without
        biases it is built from angles, to rounding however close two inputs are. Otherwise
        two inputs closer than 10⁻⁸ of their length are as if 10⁻⁸ apart.

    Raises:
        ValueError: If shapes do not match, an input is not finite, a variance or the depth is
            out of range, or a name is unknown.
        MemoryError: If the kernel does not fit.
        NumericalError: If the kernel overflows, as it can at great depth.

    Warns:
        UserWarning: If the quadrature is inaccurate for this activation.

    Cost:
        n1 n2 (d + L) operations, by quadrature 1600 values of φ for each of the n1 n2 L;
        8 n1 n2 bytes twice, half the pairs for `x2=None`.

    Example:
        With one hidden layer of ReLUs and a kernel of σ_w² = 2 the diagonal is 2(L + 1)‖x‖²/d,
        here 2 · 2 · 1/2:

        >>> infinite_ntk(torch.eye(2), depth=1)
        tensor([[2.0000, 0.3183],
                [0.3183, 2.0000]], dtype=torch.float64)

    References:
        Jacot, Gabriel, Hongler (2018), arXiv:1806.07572: the limit. Lee et al. (2019),
        arXiv:1902.06720: the recursion in this convention. Liu, Hui (2023), arXiv:2305.08813:
        the angles, and the other convention.
    """
    expect(
        parametrisation in PARAMETRISATIONS,
        "infinite_ntk(parametrisation=...)",
        " or ".join(map(repr, PARAMETRISATIONS)),
        repr(parametrisation),
    )
    where = "infinite_ntk"
    layers = hidden_layers(where, depth, activation, weight_variance, bias_variance, tangent=True)
    return _kernel(where, layers, x1, x2, unscaled=parametrisation == "unscaled_input")


@renamed(x="x1", z="x2")
@checked
@full_precision()
def infinite_nngp(
    x1: Float[Tensor, "n1 d"],
    x2: Float[Tensor, "n2 d"] | None = None,
    *,
    depth: int,
    activation: Activation = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    parametrisation: str = "ntk",
) -> Float[Tensor, "n1 n2"]:
    """Covariance of the outputs of a network of infinite width over random weights.

    Σ^L in the recursion of `infinite_ntk`: f is a Gaussian process with this covariance, the
    prior that Bayesian inference starts from; it is also the tangent kernel when only the
    last layer is trained (without its bias, if σ_b² = 0).

    Args:
        x1: n1 inputs, finite.
        x2: n2 inputs. `None` means `x1`.
        depth: Number of hidden layers L ≥ 0.
        activation: φ, as for `infinite_ntk`.
        weight_variance: σ_w² > 0.
        bias_variance: σ_b² ≥ 0.
        parametrisation: As for `infinite_ntk`.

    Returns:
        Σ^L in float64, with `x2=None` exactly symmetric.

    Raises:
        ValueError: As `infinite_ntk`.
        MemoryError: If the kernel does not fit.
        NumericalError: If it overflows.

    Warns:
        UserWarning: If the quadrature is inaccurate for this activation.

    Cost:
        That of `infinite_ntk`.

    Example:
        σ_w² = 2 keeps the variance 2 ‖x‖²/d of the first layer:

        >>> infinite_nngp(torch.tensor([[3.0, 4.0]]), depth=7).round(decimals=6)
        tensor([[25.]], dtype=torch.float64)

    References:
        Lee, Bahri, Novak, Schoenholz, Pennington, Sohl-Dickstein (2018), arXiv:1711.00165.
    """
    expect(
        parametrisation in PARAMETRISATIONS,
        "infinite_nngp(parametrisation=...)",
        " or ".join(map(repr, PARAMETRISATIONS)),
        repr(parametrisation),
    )
    where = "infinite_nngp"
    layers = hidden_layers(where, depth, activation, weight_variance, bias_variance, tangent=False)
    return _kernel(where, layers, x1, x2, unscaled=parametrisation == "unscaled_input")


def _kernel(
    where: str, layers: Layers, x1: Tensor, x2: Tensor | None, *, unscaled: bool
) -> Float[Tensor, "n1 n2"]:
    """Θ^L or Σ^L, as `layers` says."""
    x1, x2 = expect_arrays(where, x1, x2, 2, "n examples of d numbers, (n, d)")
    input_scale = layers.weight_variance / x1.shape[1]
    if unscaled:
        no_biases = layers.bias_variance == 0
        where_bias = f"{where}(bias_variance=...)"
        expect(no_biases, where_bias, "0 for unscaled inputs", layers.bias_variance)
        input_scale, layers = 1.0, replace(layers, weight_variance=unit_gain(layers.activation))
    by_angles = layers.activation == "relu" and layers.bias_variance == 0
    expect_fits(where, x1, x2, x1.shape[1] if by_angles else _NUMBERS)
    if by_angles:
        return fill(where, x1, x2, x1.shape[1], _by_angles(layers, input_scale, x1, x2))
    return fill(where, x1, x2, _NUMBERS, _by_moments(layers, input_scale, x1, x2))


def _by_angles(
    layers: Layers, input_scale: float, x1: Tensor, x2: Tensor | None
) -> Callable[[Tensor, Tensor], Tensor]:
    """Entries of a ReLU network without biases, whose layers change nothing but angles."""
    right = x1 if x2 is None else x2
    # A tensor's power overflows to infinity, which `fill` reports.
    scale = input_scale * (x1.new_tensor(layers.weight_variance) / 2) ** layers.depth

    cosines = unit_rows(x1) @ unit_rows(right).T
    own, others = x1.norm(dim=1), right.norm(dim=1)

    def entries(i: Tensor, j: Tensor) -> Tensor:
        theta = torch.acos(cosines[i, j].clamp(-1, 1))
        near = cosines[i, j].abs() > _NEAR
        theta[near] = input_angles(x1[i[near]], right[j[near]])
        lengths = own[i] * others[j]
        if layers.tangent:
            return scale * lengths * (layers.depth + 1 - relu_deficit(theta, layers.depth))
        return scale * lengths * torch.cos(relu_embedding_angle(theta, layers.depth))

    return entries


def _by_moments(
    layers: Layers, input_scale: float, x1: Tensor, x2: Tensor | None
) -> Callable[[Tensor, Tensor], Tensor]:
    """Entries by the recursion of covariances."""
    gram = input_scale * x1 @ (x1 if x2 is None else x2).T + layers.bias_variance
    own = variances(layers, input_scale * (x1**2).sum(1) + layers.bias_variance)
    others = own
    if x2 is not None:
        others = variances(layers, input_scale * (x2**2).sum(1) + layers.bias_variance)

    def entries(i: Tensor, j: Tensor) -> Tensor:
        signal = tangent = gram[i, j]
        for a, b in zip(own, others, strict=True):
            a, b = a[i], b[j]
            # Rounding would take an input from itself by an angle of 10⁻⁸.
            signal = torch.where(i == j, a, signal) if x2 is None else signal
            signal, factor = layers.next(signal, a, b)
            signal = signal + layers.bias_variance
            tangent = signal + factor * tangent
        return tangent if layers.tangent else signal

    return entries


def variances(layers: Layers, first: Tensor) -> list[Tensor]:
    """Σˡ of each input with itself, before each of the hidden layers' activations."""
    found = [first] if layers.depth else []
    for _ in range(layers.depth - 1):
        found.append(layers.next(*[found[-1]] * 3)[0] + layers.bias_variance)
    return found


def expect_fits(where: str, x1: Tensor, x2: Tensor | None, numbers: int) -> None:
    """Raise unless the matrix, its covariances and one block of pairs fit into memory."""
    n1, n2 = len(x1), len(x1 if x2 is None else x2)
    block = min(max(1, _HELD // max(1, numbers)), n1 * n2)
    expect_room(
        8 * (2 * n1 * n2 + block * (18 * numbers + 16)),
        x1.device,
        f"{where}(x1=...)",
        "compute blocks of it: pass fewer inputs as x1 and x2, or smaller images.",
        f"a kernel of {n1} × {n2} pairs",
    )


def fill(
    where: str,
    x1: Tensor,
    x2: Tensor | None,
    numbers: int,
    entries: Callable[[Tensor, Tensor], Tensor],
) -> Float[Tensor, "n1 n2"]:
    """The matrix of `entries(i, j)`, with `numbers` held for each of a block's pairs."""
    n1, n2 = len(x1), len(x1 if x2 is None else x2)
    block = max(1, _HELD // max(1, numbers))
    kernel = torch.empty(n1, n2, dtype=torch.float64, device=x1.device)
    for i, j in _pairs(n1, n2, x2 is None, block, x1.device):
        kernel[i, j] = entries(i, j)
        if x2 is None:
            kernel[j, i] = kernel[i, j]
    expect(
        bool(torch.isfinite(kernel).all()),
        f"{where}(depth=..., weight_variance=...)",
        "a finite kernel",
        f"{int((~torch.isfinite(kernel)).sum())} entries that overflow",
        hint="1/E[φ(u)²], 2 for ReLU, keeps the variance from layer to layer.",
        error=NumericalError,
    )
    return kernel


def _pairs(n1: int, n2: int, upper: bool, block: int, device: torch.device) -> Pairs:
    """Rows and columns of all entries, or of those with i ≤ j, at most `block` at a time."""
    rows = max(1, block // max(1, n2))
    for start in range(0, n1, rows):
        i = torch.arange(start, min(n1, start + rows), device=device)
        first, second = torch.cartesian_prod(i, torch.arange(n2, device=device)).T
        if upper:
            keep = first <= second
            first, second = first[keep], second[keep]
        yield from zip(first.split(block), second.split(block), strict=True)


def expect_arrays(
    where: str, x1: Tensor, x2: Tensor | None, dimensions: int, shape: str
) -> tuple[Tensor, Tensor | None]:
    """Both batches in float64, detached; an error unless they are numbers that go together."""
    for name, batch in {"x1": x1, **({} if x2 is None else {"x2": x2})}.items():
        is_tensor = isinstance(batch, Tensor)
        expect(is_tensor, f"{where}({name}=...)", "a tensor", type(batch).__name__, error=TypeError)
        fits = (
            batch.ndim == dimensions and batch.shape[1:] == x1.shape[1:] and batch[:1].numel() > 0
        )
        like = "" if name == "x1" else f" like x1, {tuple(x1.shape)}"
        expect(fits, f"{where}({name}=...)", shape + like, f"shape {tuple(batch.shape)}")
        finite = torch.isfinite(batch)
        expect(
            bool(finite.all()),
            f"{where}({name}=...)",
            "finite inputs",
            f"{int((~finite).sum())} that are NaN or infinite",
        )
    return x1.detach().double(), None if x2 is None else x2.detach().double()
