"""How circulant a feature matrix is, and feature matrices that are so by construction.

A square matrix is *circulant* if its entries depend on row − column modulo m, and *Hankel*
(anti-circulant) if they depend on row + column modulo m.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam.kernels.modular_arithmetic import discrete_log_order, expect_operation
from overparam.kernels.powers import matrix_power_psd
from overparam.nets.seeding import generator

KINDS = ("circulant", "hankel")
# What the kernel machine learns; two-layer quadratic networks learn the other kind.
KERNEL_KINDS = {"add": "circulant", "sub": "hankel", "mul": "circulant", "div": "hankel"}


@checked
def circulant_deviation(matrix: Float[Tensor, "m m"], *, kind: str = "auto") -> float:
    """Share of a square matrix's energy that its nearest circulant matrix misses.

        D(A) = ‖A − P(A)‖_F² / ‖A‖_F²

    P takes the *mean* along every wrapped diagonal. 0 is exactly circulant; independent
    entries of mean 0 have 1 − 1/m on average. The norm in the denominator is squared.

    Args:
        matrix: A.
        kind: "circulant", "hankel", or "auto", the smaller of both. Say which one you saw: see
            `circulant_kind`.

    Returns:
        A number in [0, 1]; 0 for the zero matrix, which is circulant.

    Raises:
        ValueError: If the matrix is not square, empty or not finite, or the kind is unknown.

    Cost:
        O(m²).

    Example:
        >>> shift = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> circulant_deviation(shift), round(circulant_deviation(shift, kind="hankel"), 3)
        (0.0, 0.667)

    References:
        Mallinar et al. (2025), arXiv:2407.20199. It prints a variance and ‖A‖_F, and describes
        the sum of squares over ‖A‖_F² that is used here.
    """
    if kind == "auto":
        return min(circulant_deviation(matrix, kind=each) for each in KINDS)
    nearest = nearest_circulant(matrix, kind=kind)
    size = matrix.abs().max()
    if size == 0:
        return 0.0
    matrix, nearest = matrix / size, nearest / size  # the squares of 1e200 are not numbers
    return float((matrix - nearest).square().sum() / matrix.square().sum())


@checked
def circulant_kind(matrix: Float[Tensor, "m m"]) -> str:
    """The kind, "circulant" or "hankel", that a matrix deviates from less.

    Args, Raises: As for `circulant_deviation`.

    Example:
        >>> circulant_kind(torch.tensor([[0.0, 1.0, 2.0], [1.0, 2.0, 0.0], [2.0, 0.0, 1.0]]))
        'hankel'
    """
    return min(KINDS, key=lambda kind: circulant_deviation(matrix, kind=kind))


@checked
def nearest_circulant(
    matrix: Float[Tensor, "m m"], *, kind: str = "circulant"
) -> Float[Tensor, "m m"]:
    """The circulant matrix nearest to a matrix in the Frobenius norm.

        P(A)[i, j] = (1/m) Σ_k A[i + k, j + k]        (Hankel: A[i + k, j − k]), modulo m

    Args:
        matrix: A.
        kind: "circulant" or "hankel".

    Raises:
        ValueError: If the matrix is not square, empty or not finite, or the kind is unknown.

    Cost:
        O(m²).

    Example:
        >>> nearest_circulant(torch.tensor([[1.0, 5.0], [7.0, 3.0]]))
        tensor([[2., 6.],
                [6., 2.]])
    """
    _expect_square(matrix, "nearest_circulant(matrix=...)")
    index = _diagonals(len(matrix), kind, "nearest_circulant").to(matrix.device)
    means = torch.zeros_like(matrix[0]).index_add_(0, index.flatten(), matrix.flatten())
    return (means / len(matrix))[index]


@checked
def circulant(vector: Float[Tensor, " m"], *, kind: str = "circulant") -> Float[Tensor, "m m"]:
    """The circulant matrix whose first *column* is a vector.

        C[i, j] = c[(i − j) mod m]        (Hankel: c[(i + j) mod m])

    Args:
        vector: c.
        kind: "circulant" or "hankel".

    Raises:
        ValueError: If `vector` is no vector or empty, or the kind is unknown.

    Example:
        >>> circulant(torch.tensor([1, 2, 3]), kind="hankel")
        tensor([[1, 2, 3],
                [2, 3, 1],
                [3, 1, 2]])
    """
    expect(
        isinstance(vector, Tensor) and vector.ndim == 1 and len(vector) > 0,
        "circulant(vector=...)",
        "a vector that is not empty",
        tuple(vector.shape) if isinstance(vector, Tensor) else type(vector).__name__,
    )
    return vector[_diagonals(len(vector), kind, "circulant").to(vector.device)]


@checked
def operand_block(feature_matrix: Float[Tensor, "2p 2p"], operation: str) -> Tensor:
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
def operand_order(operation: str, modulus: int) -> Int[Tensor, " m"]:
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
) -> Float[Tensor, "2p 2p"]:
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
    feature_matrix: Float[Tensor, "2p 2p"], operation: str
) -> Float[Tensor, "2p 2p"]:
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


def _diagonals(m: int, kind: str, where: str) -> Tensor:
    """For every entry, the number of the wrapped diagonal it stands on."""
    if kind not in KINDS:
        unknown(f"{where}(kind=...)", "a kind", str(kind), KINDS)
    rows, columns = torch.arange(m)[:, None], torch.arange(m)
    return (rows - columns if kind == "circulant" else rows + columns) % m


def _modulus(feature_matrix: Tensor, operation: str, where: str) -> int:
    """The modulus p of a 2p × 2p matrix."""
    _expect_square(feature_matrix, f"{where}(feature_matrix=...)")
    size = len(feature_matrix)
    expect(size % 2 == 0, f"{where}(feature_matrix=...)", "an even number of rows, 2p", size)
    expect_operation(operation, size // 2, where)
    return size // 2


def _expect_square(matrix: Tensor, where: str) -> None:
    """Complain unless it is a square matrix of finite floating-point numbers."""
    expect(
        isinstance(matrix, Tensor)
        and matrix.ndim == 2
        and matrix.shape[0] == matrix.shape[1] > 0
        and matrix.is_floating_point(),
        where,
        "a square matrix of floating-point numbers",
        f"{matrix.dtype} of shape {tuple(matrix.shape)}"
        if isinstance(matrix, Tensor)
        else type(matrix).__name__,
    )
    expect(
        bool(matrix.isfinite().all()),
        where,
        "finite numbers",
        f"{int((~matrix.isfinite()).sum())} that are NaN or infinite",
    )
