"""Arithmetic modulo p as one product of Fourier transforms."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam.kernels.modular.arithmetic import discrete_log_order, expect_operation


@checked
def fourier_multiplication(x: Float[Tensor, "n d"], operation: str = "add") -> Float[Tensor, "n p"]:
    """The Fourier multiplication algorithm: exact modular arithmetic on one-hot pairs.

    With the unitary transform F_{jk} = p^{−1/2} exp(−2πi jk/p), x = x₁ ⊕ x₂, and
    ⟨u, v⟩ = uᵀ v̄, output ℓ is

        add   √p ⟨F x₁ ⊙ F x₂, F e_ℓ⟩           = Σ_a x₁[a] x₂[(ℓ − a) mod p]
        sub   √p ⟨F x₁ ⊙ F e_{(−ℓ) mod p}, F x₂⟩ = Σ_b x₁[(ℓ + b) mod p] x₂[b]

    "mul" and "div" are these on the residues other than 0 in the order of their discrete
    logarithms, modulo p − 1, and what 0 contributes. The outputs are bilinear in x₁ and x₂ and
    equal to e_{a∘b} at e_a ⊕ e_b; a pair that is not defined, such as a/0, gives 0.

    Args:
        x: Pairs of vectors, not necessarily one-hot.
        operation: "add", "sub", "mul" or "div"; for the last two p must be prime.

    Returns:
        p outputs for each row, real, in the dtype of `x`.

    Raises:
        ValueError: If `x` is not a matrix of real floating-point numbers with an even number of
            columns, or the operation is unknown or not defined for this p.

    Cost:
        O(n p log p).

    Example:
        1 + 2 is 0 modulo 3:

        >>> x = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]])
        >>> fourier_multiplication(x).round(decimals=5).abs()
        tensor([[1., 0., 0.]])

    References:
        Mallinar, Beaglehole, Zhu, Radhakrishnan, Pandit, Belkin (2025), arXiv:2407.20199. For
        subtraction it prints e_{p−ℓ−1}, which counts residues from 1; from 0 it is
        e_{(−ℓ) mod p}.
    """
    where = "fourier_multiplication"
    expect(
        isinstance(x, Tensor) and x.ndim == 2 and x.is_floating_point() and x.shape[1] % 2 == 0,
        f"{where}(x=...)",
        "a matrix of floating-point numbers with an even number of columns, two per residue",
        f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__,
    )
    p = x.shape[1] // 2
    expect_operation(operation, p, where)
    first, second = x[:, :p], x[:, p:]
    if operation == "add":
        return _sum(first, second)
    if operation == "sub":
        return _difference(first, second)
    order = discrete_log_order(p).to(x.device)
    out = torch.zeros_like(first)
    if operation == "mul":
        out[:, order] = _sum(first[:, order], second[:, order])
        out[:, 0] = first[:, 0] * second.sum(1) + first[:, 1:].sum(1) * second[:, 0]
    else:
        out[:, order] = _difference(first[:, order], second[:, order])
        out[:, 0] = first[:, 0] * second[:, 1:].sum(1)
    return out


def _sum(first: Tensor, second: Tensor) -> Tensor:
    """√m ⟨F x₁ ⊙ F x₂, F e_ℓ⟩ for every ℓ: an inverse transform of the product."""
    product = _transform(first) * _transform(second)
    return math.sqrt(first.shape[1]) * torch.fft.ifft(product, norm="ortho").real


def _difference(first: Tensor, second: Tensor) -> Tensor:
    """√m ⟨F x₁ ⊙ F e_{−ℓ}, F x₂⟩ for every ℓ: F e_{−ℓ} is the conjugate of F e_ℓ."""
    product = _transform(first) * _transform(second).conj()
    return math.sqrt(first.shape[1]) * torch.fft.ifft(product, norm="ortho").real


def _transform(rows: Tensor) -> Tensor:
    """F applied to every row."""
    return torch.fft.fft(rows, norm="ortho")
