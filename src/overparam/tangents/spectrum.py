"""Numbers that sum up a tangent kernel: its change, and the ends of its spectrum."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import n_examples, take
from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._forward import seen_through
from overparam._types import Forward, Inputs
from overparam.linalg.spectra import (
    LARGEST_FORMED,
    ExtremeEigenvalues,
    bounded_extremes,
    matrix_extremes,
)
from overparam.tangents.empirical import empirical_ntk_blocks
from overparam.tangents.operator import NTKOperator

# Order of the principal submatrix that bounds λ_min of a kernel too large to form.
_SUBMATRIX = 2000


@checked
def kernel_change(kernel: Float[Tensor, "*shape"], initial: Float[Tensor, "*shape"]) -> float:
    """How far a kernel has moved: ‖K − K0‖_F / ‖K0‖_F.

    0 means a constant kernel, linear training; of order 1, features are learned.

    Args:
        kernel: K, in any layout.
        initial: K0, of the same examples in the same layout.

    Raises:
        ValueError: If the shapes differ, or K0 is zero, as at an all-zero initialisation.

    Cost:
        Three passes over the entries, in float64.

    Example:
        >>> kernel_change(torch.tensor([[3.0]]), torch.tensor([[2.0]]))
        0.5

    References:
        Liu, Zhu, Belkin (2020), arXiv:2010.01092: the quantity, there with a supremum over
        training.
    """
    expect(
        kernel.shape == initial.shape,
        "kernel_change(kernel=...)",
        f"a kernel of shape {tuple(initial.shape)}, like `initial`",
        tuple(kernel.shape),
    )
    length = float(initial.double().norm())
    expect(
        length > 0,
        "kernel_change(initial=...)",
        "a kernel that is not zero",
        f"norm {length}",
        hint="at zero weights no relative change exists; start from a random initialisation.",
    )
    return float((kernel.double() - initial.double()).norm()) / length


@renamed(params="names")
@checked
def extreme_eigenvalues(
    model: nn.Module,
    x: Inputs,
    *,
    names: Sequence[str] | None = None,
    chunk_size: int | None = None,
    seed: int = 0,
    forward: Forward | None = None,
) -> ExtremeEigenvalues:
    """Largest and smallest eigenvalue of the full kernel of n examples and C outputs.

    The kernel is the one of order n C, nothing averaged over outputs. Up to n C = 20 000 it is
    formed and decomposed. Beyond, λ_max comes from Lanczos, and λ_min only as an upper bound,
    from a random choice of examples; the result says so.

    Args:
        model: A module in evaluation mode; left as it was.
        x: n examples.
        names: Names of the parameters that make up θ.
        chunk_size: Examples differentiated at a time.
        seed: Of the examples chosen and of Lanczos' start vector.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Raises:
        ValueError: As `empirical_ntk_blocks`.
        TypeError: As `empirical_ntk_blocks`.
        MemoryError: If the kernel does not fit.
        NumericalError: If the kernel is not finite.

    Cost:
        (n C)³ flops and 8 (n C)² bytes up to n C = 20 000; beyond, about 40 passes over the
        examples.

    Example:
        Two orthogonal inputs of lengths 2 and 1:

        >>> x = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> extreme_eigenvalues(torch.nn.Linear(2, 1, bias=False), x).condition_number
        4.0
    """
    model = seen_through(model, forward, "extreme_eigenvalues")
    operator = NTKOperator(model, x, names=names, chunk_size=chunk_size)
    size, outputs = operator.shape[0], operator.outputs
    if size <= LARGEST_FORMED:
        return matrix_extremes(_square(model, x, names, chunk_size))
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(n_examples(x), generator=generator)[: max(1, _SUBMATRIX // outputs)]
    return bounded_extremes(
        operator,
        _square(model, take(x, chosen.to(operator.device)), names, chunk_size),
        seed=seed,
    )


def _square(
    model: nn.Module, x: Inputs, names: Sequence[str] | None, chunk_size: int | None
) -> Float[Tensor, "nc nc"]:
    """The full kernel as a matrix, row i·C + c."""
    blocks = empirical_ntk_blocks(model, x, names=names, chunk_size=chunk_size)
    size = blocks.shape[0] * blocks.shape[2]
    return blocks.permute(0, 2, 1, 3).reshape(size, size)
