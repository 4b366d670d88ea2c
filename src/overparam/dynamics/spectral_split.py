"""How much of the loss lies in the top eigenspace of the tangent kernel."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from overparam._batch import call, in_precision, n_examples
from overparam._checked import checked
from overparam._errors import expect
from overparam._model import expect_inputs, expect_own_outputs, undisturbed
from overparam._types import Inputs, Loss, Targets
from overparam.errors import NumericalError
from overparam.linalg.operator import MatrixOperator
from overparam.tangents.empirical import combined_blocks, empirical_ntk_blocks


@dataclass(frozen=True)
class SpectralSplit:
    """A loss in two parts.

    Attributes:
        top: Part in the top eigenvectors.
        rest: Part in the others.
        quadratic: Whether the loss is a squared error, for which the parts are exact.
        eigenvalues: Of the top eigenvectors, the largest first: of K for a squared error, of
            H^½ K H^½ for another loss. Empty where the loss does not depend on the outputs.
    """

    top: float
    rest: float
    quadratic: bool
    eigenvalues: tuple[float, ...] = ()

    @property
    def total(self) -> float:
        """The loss."""
        return self.top + self.rest

    @checked(result="anything")
    def share_of_rise(self, before: "SpectralSplit") -> float:
        """Part of the rise of the loss since `before` that lies in the top eigenvectors.

            (top − top₀) / (total − total₀)

        `nan` if the loss has not risen.
        """
        rise = self.total - before.total
        return (self.top - before.top) / rise if rise > 0 else math.nan


@checked
def spectral_loss_split(
    model: nn.Module,
    x: Inputs,
    y: Targets,
    s: int = 5,
    *,
    loss: Loss = nn.functional.mse_loss,
    chunk_size: int | None = None,
) -> SpectralSplit:
    """The loss in the top s eigenvectors of the present tangent kernel, and the rest.

        L_top = L · Σ_{j≤s} ⟨p_j, r⟩² / ‖r‖²,     r = ∂L/∂f,   p_j eigenvectors of K = J Jᵀ

    over the n·C outputs of the batch. For a squared error of any normalisation r is
    proportional to f − y, and this is (1/n) Σ_{j≤s} ⟨p_j, f − y⟩² for L = (1/n)‖f − y‖².

    For any other loss the eigenvectors are those of H^½ K H^½ with H = ∂²L/∂f², the
    Gauss–Newton matrix seen from the outputs, and the split of L is by the share of the
    residual, not an identity: the top kernel eigenvectors themselves shift the logits of all
    classes alike, which cross-entropy does not see.

    Args:
        model: Any module with deterministic layers.
        x: Batch of inputs; the eigenvectors are those of its own kernel.
        y: Targets.
        s: Number of eigenvectors. Where eigenvalues nearly coincide single vectors are
            arbitrary; only a subspace means something.
        loss: `loss(outputs, targets)`.
        chunk_size: Examples differentiated at a time; changes memory, never the result.

    Returns:
        The two parts; both 0 if the loss is.

    Raises:
        ValueError: Bad input as for the tangent kernel; s outside 1 … n·C.

    Cost:
        The kernel of all outputs, (n·C)² numbers, and a few dozen products with it: meant for
        probe sets of up to about 500 outputs in all.

    Example:
        One example is one direction, so all of its loss is in the top:

        >>> model = nn.Linear(2, 1)
        >>> split = spectral_loss_split(model, torch.ones(1, 2), torch.zeros(1, 1), s=1)
        >>> split.top > 0, split.rest
        (True, 0.0)

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2023), arXiv:2306.04815: the decomposition. The form
        for other losses is ours.
    """
    where = "spectral_loss_split"
    expect_inputs(x, f"{where}(x=...)")
    expect_inputs(y, f"{where}(y=...)", n_examples(x))
    expect_own_outputs(model, x, f"{where}(model=...)")
    return split_along(model, x, y, s, loss, chunk_size)[0]


def split_along(
    model: nn.Module,
    x: Inputs,
    y: Targets,
    s: int,
    loss: Loss,
    chunk_size: int | None = None,
    combinations: Tensor | None = None,
) -> tuple[SpectralSplit, Tensor | None]:
    """`spectral_loss_split`, or that of a loss other than a squared error along combinations.

    These are orthonormal columns P, (C, m): then it is L as a function of f P, the rest of the
    outputs kept where they are, for m backward passes.

    Returns:
        The split, and the tangent kernel (n, n), in the mean over the outputs or combinations;
        `None` where the loss does not depend on the outputs and none was needed.
    """
    where = "spectral_loss_split"
    with undisturbed(model):
        with torch.no_grad():
            outputs = call(model, x)
        # The outputs of half precision are decomposed in single.
        single = torch.promote_types(outputs.dtype, torch.float32)
        outputs = outputs.detach().to(single)
        y = in_precision(single, y) if outputs.dtype != single else y
        if combinations is None:
            leaf = outputs.requires_grad_()
            value = loss(leaf, y)
        else:
            along = combinations.to(outputs)
            leaf = (outputs.flatten(1) @ along).requires_grad_()
            moved = (leaf - leaf.detach()) @ along.T
            value = loss(outputs + moved.view_as(outputs), y)
        (residual,) = torch.autograd.grad(value, leaf, create_graph=True)
        expect(1 <= s <= residual.numel(), f"{where}(s=...)", f"1 to {residual.numel()} (n·C)", s)
        curvature = _Curvature(residual, leaf)
        squared = float(residual.detach().double().square().sum())
        total = float(value.detach())
        if squared == 0:
            return SpectralSplit(0.0, total, quadratic=False), None
        quadratic = combinations is None and curvature.is_squared_error(total, squared)
        if combinations is None:
            blocks = empirical_ntk_blocks(model, x, chunk_size=chunk_size)
        else:
            blocks = combined_blocks(model, x, combinations)
        root = None if quadratic else curvature.root()
    n, c = blocks.shape[0], blocks.shape[2]
    kernel = blocks.diagonal(dim1=2, dim2=3).mean(-1)
    if root is not None:
        blocks = torch.einsum("iab,ijbc,jcd->ijad", root, blocks, root)
    matrix = blocks.permute(0, 2, 1, 3).reshape(n * c, n * c)
    values, vectors = _top_eigenvectors(matrix, s)
    parts = vectors.T @ residual.detach().reshape(-1).to(vectors)
    share = min(float(parts.double().square().sum()) / squared, 1.0)
    split = SpectralSplit(share * total, (1 - share) * total, quadratic, tuple(values.tolist()))
    return split, kernel


def is_squared_error(loss: Loss, outputs: Tensor, y: Any) -> bool | None:
    """Whether a loss is a squared error of outputs, by its first two derivatives there.

    `None` where that does not show: half precision, no slope, or a loss that does not let itself
    be differentiated twice.
    """
    if outputs.dtype not in (torch.float32, torch.float64):
        return None
    leaf = outputs.detach().requires_grad_()
    try:
        value = loss(leaf, y)
        (residual,) = torch.autograd.grad(value, leaf, create_graph=True)
        squared = float(residual.detach().double().square().sum())
        if not 0 < squared < math.inf:
            return None
        return _Curvature(residual, leaf).is_squared_error(float(value.detach()), squared)
    except RuntimeError:
        return None


def _finite(matrix: Tensor) -> Tensor:
    """The same, if all of it is finite."""
    expect(
        bool(torch.isfinite(matrix).all()), "spectral_loss_split(model=..., loss=...)",
        "derivatives that are finite", "NaN or infinity among them",
        hint="the weights or the loss have left all bounds.", error=NumericalError,
    )  # fmt: skip
    return matrix


def _top_eigenvectors(matrix: Tensor, s: int) -> tuple[Tensor, Tensor]:
    """The s largest eigenvalues in descending order, and orthonormal columns to them."""
    size = len(_finite(matrix))
    if size <= 64 or s > size // 8:
        values, vectors = torch.linalg.eigh(matrix.double())
        return values[-s:].flip(0), vectors[:, -s:].flip(1)
    pairs = MatrixOperator(matrix, psd=True).eigenpairs(s, tolerance=1e-4)
    return pairs.values, pairs.vectors


class _Curvature:
    """∂²L/∂f² of a loss that adds up over examples."""

    def __init__(self, slope: Tensor, leaf: Tensor) -> None:
        self.slope, self.leaf = slope, leaf

    def times(self, direction: Tensor) -> Tensor:
        if not self.slope.requires_grad:  # a loss linear in the outputs
            return torch.zeros_like(direction)
        (product,) = torch.autograd.grad(
            self.slope, self.leaf, direction, retain_graph=True, materialize_grads=True
        )
        return product

    def is_squared_error(self, value: float, squared: float) -> bool:
        """Whether L = ‖r‖²/(2h) with H r = h r, as for c·‖f − y‖² and nothing else in use."""
        residual = self.slope.detach()
        bent = self.times(residual)
        h = float((residual.double() * bent.double()).sum()) / squared
        if h <= 0:
            return False
        straight = float((bent - h * residual).norm()) <= 1e-3 * h * math.sqrt(squared)
        return straight and abs(squared / (2 * h) - value) <= 1e-3 * value

    def root(self) -> Tensor:
        """H^½ of every example, (n, C, C)."""
        flat = self.leaf.detach().flatten(1)
        columns = []
        for k in range(flat.shape[1]):
            unit = torch.zeros_like(flat)
            unit[:, k] = 1
            columns.append(self.times(unit.view_as(self.leaf)).flatten(1))
        values, vectors = torch.linalg.eigh(_finite(torch.stack(columns, dim=2)))
        return (vectors * values.clamp(min=0).sqrt()[:, None]) @ vectors.mT
