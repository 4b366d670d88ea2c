"""A kernel from the user's own function."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._switches import full_precision
from overparam.kernels._pairs import BLOCK, apply_metric
from overparam.kernels.functions import FeatureMatrix, Kernel
from overparam.kernels.powers import matrix_power_psd


@checked
@dataclass(frozen=True)
class Custom(Kernel):
    """k(Sx, Sz) with S = M^{1/2}, for a function k of two sets of points.

    Gradients are by automatic differentiation, with points that coincide moved apart by nobody:
    a kernel with a kink at 0, written with a norm, must itself give 0 there.

    Args:
        function: Maps tensors ``(n, d)`` and ``(m, d)`` to the matrix ``(n, m)``,
            differentiably and each entry from its own pair. Positive definite.

    Example:
        >>> linear = Custom(lambda x, z: x @ z.T)
        >>> linear.matrix(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]]))
        tensor([[3.]])
    """

    function: Callable[[Tensor, Tensor], Tensor]

    @renamed(x="x1", z="x2")
    @full_precision()
    def matrix(
        self, x1: Tensor, x2: Tensor | None = None, feature_matrix: FeatureMatrix = None
    ) -> Tensor:
        """Kernel of every pair, as `Kernel.matrix`."""
        root = None if feature_matrix is None else matrix_power_psd(feature_matrix, 0.5)
        left = apply_metric(x1, root)
        right = left if x2 is None else apply_metric(x2, root)
        with torch.no_grad():
            return self._checked(left, right)

    def gradient_blocks(
        self, x: Tensor | None, centres: Tensor, dual: Tensor, feature_matrix: FeatureMatrix = None
    ) -> Iterator[tuple[slice, Tensor]]:
        """As `Kernel.gradient_blocks`."""
        root = None if feature_matrix is None else matrix_power_psd(feature_matrix, 0.5)
        right = apply_metric(centres, root).detach()
        left = right if x is None else apply_metric(x, root).detach()
        step = max(1, BLOCK // max(1, len(right)))
        for start in range(0, len(left), step):
            rows = slice(start, min(start + step, len(left)))
            with torch.enable_grad():
                points = left[rows].clone().requires_grad_()
                values = self._checked(points, right) @ dual
                # Each value depends on its own point, so a sum over points has all gradients.
                parts = [
                    torch.autograd.grad(values[:, k].sum(), points, retain_graph=True)[0]
                    for k in range(dual.shape[1])
                ]
            block = torch.stack(parts, 1)
            yield rows, apply_metric(block.flatten(0, 1), root).view_as(block)

    def diagonal(self, x: Tensor, feature_matrix: FeatureMatrix = None) -> Tensor:
        """k_M(x, x), as `Kernel.diagonal`."""
        return torch.cat([self.matrix(row[None], None, feature_matrix)[0] for row in x])

    def _checked(self, left: Tensor, right: Tensor) -> Tensor:
        value = self.function(left, right)
        shape = (len(left), len(right))
        expect(
            isinstance(value, Tensor) and value.shape == shape,
            "Custom(function=...)",
            f"a function that returns a tensor of shape {shape} for that many points",
            tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__,
        )
        return value
