"""How a network's labels, outputs and residuals lie relative to its own tangent kernel."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import call
from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._forward import seen_through
from overparam._model import undisturbed
from overparam._types import Forward, Inputs
from overparam.tangents.alignment import (
    AlignmentResult,
    eigen_alignment,
    eigen_alignments,
    kernel_target_alignments,
)
from overparam.tangents.empirical import empirical_ntk


@dataclass(frozen=True)
class NetworkAlignment:
    """Projections on the eigenvectors of the mean kernel over outputs, at present parameters.

    Attributes:
        labels: Of y, averaged over outputs.
        residual: Of r = f(x) − y, averaged over outputs.
        labels_by_output: Of each column of y, with the same kernel.
        residual_by_output: Of each column of r, with the same kernel.
        centred: Centred alignment of the kernel with each column of y, between −1 and 1; nan
            for a constant column.
    """

    labels: AlignmentResult
    residual: AlignmentResult
    labels_by_output: tuple[AlignmentResult, ...]
    residual_by_output: tuple[AlignmentResult, ...]
    centred: Float[Tensor, "c"]

    def __str__(self) -> str:
        lines = [f"{len(self.labels.eigenvalues)} eigenvalues above float noise"]
        for name, found in (("labels", self.labels), ("residual", self.residual)):
            lines.append(
                f"{name}: projections² ∝ λ^{found.slope:.2f} (correlation {found.corr:.3f}), "
                f"{found.top_share:.0%} on the first eigenvector"
            )
        values = ", ".join(f"{value:.3f}" for value in self.centred.tolist())
        return "\n".join([*lines, f"centred kernel alignment by output: {values}"])


@renamed(params="names")
@checked(result="anything")
def network_alignment(
    model: nn.Module,
    x: Inputs,
    y: Float[Tensor, "n *outputs"],
    *,
    n_bins: int = 15,
    drop_top: int = 0,
    names: Sequence[str] | None = None,
    chunk_size: int | None = None,
    forward: Forward | None = None,
) -> NetworkAlignment:
    """Alignment of labels and residual with the network's tangent kernel where it stands now.

        (v_iᵀ y)² and (v_iᵀ r)² by eigenvalue λ_i of K,   r = f(x) − y,   K = `empirical_ntk`.

    K is the mean over outputs, for every output the same. Call it along training to see
    whether the alignment stays. At an output of zero, r = −y and both are the same.

    Args:
        model: A module in evaluation mode; left as it was.
        x: n examples.
        y: Targets in the form of the model's outputs: one-hot rows for classes, and numbers
            of the size the outputs are trained towards.
        n_bins: Bins of the fits, see `eigen_alignment`.
        drop_top: Leading eigenvalues left out of the fits; 1 for labels that are not centred.
        names: Names of the parameters that make up θ.
        chunk_size: Examples differentiated at a time.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Raises:
        ValueError: As `empirical_ntk` and `eigen_alignment`, or if y has not the shape of the
            outputs.
        TypeError: As `empirical_ntk`.

    Cost:
        The kernel, and 36 n³ flops.

    Example:
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = torch.nn.init.zeros_(model.weight)
        >>> x = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> found = network_alignment(model, x, torch.tensor([[0.0], [3.0]]))
        >>> found.labels.projections.tolist(), found.residual.projections.tolist()
        ([0.0, 9.0], [0.0, 9.0])

    References:
        Marreddy, Liu (2026), arXiv:2605.25275: both alignments, at several times.
    """
    where = "network_alignment(y=...)"
    expect(isinstance(y, Tensor), where, "a tensor", type(y).__name__, error=TypeError)
    model = seen_through(model, forward, "network_alignment")
    kernel = empirical_ntk(model, x, names=names, chunk_size=chunk_size)
    with undisturbed(model), torch.no_grad():
        outputs = call(model, x).detach()
    n = len(outputs)
    expect(
        y.shape == outputs.shape or (y.shape == (n,) and outputs.numel() == n),
        where,
        f"targets of shape {tuple(outputs.shape)}, like the outputs",
        tuple(y.shape),
        hint="classes go in as one-hot rows: torch.nn.functional.one_hot(labels).double().",
    )
    targets = y.detach().reshape(n, -1).to(outputs.device).double()
    residual = outputs.reshape(n, -1).double() - targets
    expect(
        bool(residual.any()),
        where,
        "targets that the model does not fit exactly",
        "a residual of zero",
        hint="eigen_alignment takes the labels alone.",
    )
    return NetworkAlignment(
        eigen_alignment(kernel, targets, n_bins=n_bins, drop_top=drop_top),
        eigen_alignment(kernel, residual, n_bins=n_bins, drop_top=drop_top),
        eigen_alignments(kernel, targets, n_bins=n_bins, drop_top=drop_top),
        eigen_alignments(kernel, residual, n_bins=n_bins, drop_top=drop_top),
        kernel_target_alignments(kernel, targets),
    )
