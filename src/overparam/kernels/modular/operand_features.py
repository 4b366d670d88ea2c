"""The block of a feature matrix that couples two operands, and features with a circulant one."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam.kernels.modular.arithmetic import discrete_log_order, expect_operation
from overparam.kernels.modular.circulance import KINDS, circulant, expect_square
from overparam.kernels.powers import matrix_power_psd
from overparam.nets.seeding import generator

# What the kernel machine learns; two-layer quadratic networks learn the other kind.
KERNEL_KINDS = {"add": "circulant", "sub": "hankel", "mul": "circulant", "div": "hankel"}


@checked
def operand_block(feature_matrix: Float[Tensor, "d d"], operation: str) -> Tensor:
    """The block of a feature matrix that couples the operands, in the order that shows structure.

    The bottom-left p × p block: rows are the second operand, columns the first. For "mul" and
    "div" rows and columns of the residue 0 are left out and the others are in the order
    g⁰, g¹, … of `discrete_log_order`; the result is then (p − 1) × (p − 1).

    Args:
        feature_matrix: M, over inputs e_a ⊕ e_b.
        operation: "add", "sub", "mul" or "div".

    Returns:
        A new matrix.

    Raises:
        ValueError: If the matrix is not square, of odd size or not finite, or the operation
            unknown or not defined for this p.

    Example:
        >>> operand_block(torch.arange(36.0).reshape(6, 6), "mul")
        tensor([[25., 26.],
                [31., 32.]])
    """
    p = _modulus(feature_matrix, operation, "operand_block")
    order = operand_order(operation, p).to(feature_matrix.device)
    return feature_matrix[p:, :p][order[:, None], order]


@checked
def operand_order(operation: str, modulus: int) -> Int[Tensor, "m"]:
    """The residues in the order in which an operation is addition or subtraction of positions.

    Args:
        operation: "add", "sub", "mul" or "div".
        modulus: p ≥ 2; a prime for the last two.

    Returns:
        0, …, p − 1, or for "mul" and "div" the p − 1 powers of `discrete_log_order`.

    Raises:
        ValueError: If the operation is unknown or not defined for this p.

    Example:
        >>> operand_order("add", 5), operand_order("div", 5)
        (tensor([0, 1, 2, 3, 4]), tensor([1, 2, 4, 3]))
    """
    expect_operation(operation, modulus, "operand_order")
    if operation in ("mul", "div"):
        return discrete_log_order(modulus)
    return torch.arange(modulus)


@checked
def random_circulant_features(
    operation: str,
    modulus: int,
    *,
    kind: str = "auto",
    seed: int | torch.Generator = 0,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "d d"]:
    """A random feature matrix with which a kernel machine does modular arithmetic unlearned.

        M = (B₊)^{1/2},   B = [[A, Cᵀ], [C, A]],   A = I − 11ᵀ/p

    C is circulant or Hankel in the order of `operand_order`, from independent c ~ U[0, 1] minus
    their mean; rows and columns of the residue 0 are 0 for "mul" and "div". B is indefinite:
    B₊ is its positive part. M is for the quadratic form xᵀ M z, so that inputs are mapped by
    (B₊)^{1/4}.

    Args:
        operation: "add", "sub", "mul" or "div".
        modulus: p ≥ 2; a prime for the last two.
        kind: "auto" is the kind that solves the operation. "circulant" and "hankel" force one,
            "unstructured" draws every entry of C on its own: controls, which do not solve it.
        seed: A number, or a generator on the CPU.
        dtype: Of the result.

    Raises:
        ValueError: If the operation or kind is unknown, or the operation is not defined modulo p.

    Cost:
        One eigendecomposition, O(p³).

    Example:
        >>> features = random_circulant_features("add", 5)
        >>> features.shape, bool(torch.linalg.eigvalsh(features).min() > -1e-12)
        (torch.Size([10, 10]), True)

    References:
        Mallinar et al. (2025), arXiv:2407.20199, section on random circulant features.
    """
    where = "random_circulant_features"
    expect_operation(operation, modulus, where)
    if kind not in ("auto", *KINDS, "unstructured"):
        unknown(f"{where}(kind=...)", "a kind", str(kind), ("auto", *KINDS, "unstructured"))
    order, draw = operand_order(operation, modulus), generator(seed)
    m = len(order)
    if kind == "unstructured":
        block = torch.rand(m, m, generator=draw, dtype=dtype)
    else:
        vector = torch.rand(m, generator=draw, dtype=dtype)
        block = circulant(vector, kind=KERNEL_KINDS[operation] if kind == "auto" else kind)
    block = block - block.mean()
    return matrix_power_psd(_assemble(block, order, modulus), 0.5)


@checked
def enforce_circulance(
    feature_matrix: Float[Tensor, "d d"], operation: str
) -> Float[Tensor, "d d"]:
    """A learned feature matrix with its coupling of the operands made exactly circulant.

        M̃ = D^{−1/2} M D^{−1/2},   D = diag(M)

    Then both diagonal blocks become I − 11ᵀ/p, and the block that couples the operands the
    circulant (for "sub" and "div": Hankel) matrix with the same first column, in the order of
    `operand_order`. What is negative in the result is cut off, so that it stays a metric.

    Args:
        feature_matrix: M, positive semi-definite, over inputs e_a ⊕ e_b.
        operation: "add", "sub", "mul" or "div".

    Raises:
        ValueError: If the matrix is not square, of odd size, not finite, or has a diagonal
            entry that is not positive; or the operation is unknown or not defined for this p.

    Cost:
        One eigendecomposition, O(p³).

    Example:
        >>> from overparam.kernels.modular import circulant_deviation
        >>> learned = random_circulant_features("add", 5) + 0.1 * torch.eye(10)
        >>> block = operand_block(enforce_circulance(learned, "add"), "add")
        >>> circulant_deviation(block) < 1e-12
        True

    References:
        Mallinar et al. (2025), arXiv:2407.20199, appendix F.
    """
    p = _modulus(feature_matrix, operation, "enforce_circulance")
    diagonal = feature_matrix.diagonal()
    expect(
        bool((diagonal > 0).all()),
        "enforce_circulance(feature_matrix=...)",
        "a matrix with a positive diagonal",
        f"a smallest entry of {float(diagonal.min()):.3g}",
    )
    scale = diagonal.rsqrt()
    order = operand_order(operation, p).to(feature_matrix.device)
    column = operand_block(scale[:, None] * feature_matrix * scale, operation)[:, 0]
    block = circulant(column, kind=KERNEL_KINDS[operation])
    values, vectors = torch.linalg.eigh(_assemble(block, order, p))
    return (vectors * values.clamp_min(0)) @ vectors.T


def _assemble(block: Tensor, order: Tensor, p: int) -> Tensor:
    """[[A, Cᵀ], [C, A]] with A = I − 11ᵀ/p and C in the order of the residues."""
    inner = torch.eye(p, dtype=block.dtype, device=block.device) - 1 / p
    coupling = torch.zeros_like(inner)
    coupling[order[:, None], order] = block
    return torch.cat([torch.cat([inner, coupling.T], 1), torch.cat([coupling, inner], 1)])


def _modulus(feature_matrix: Tensor, operation: str, where: str) -> int:
    """The modulus p of a 2p × 2p matrix."""
    expect_square(feature_matrix, f"{where}(feature_matrix=...)")
    size = len(feature_matrix)
    expect(size % 2 == 0, f"{where}(feature_matrix=...)", "an even number of rows, 2p", size)
    expect_operation(operation, size // 2, where)
    return size // 2
