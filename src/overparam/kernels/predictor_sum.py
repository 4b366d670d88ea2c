"""Several kernel predictors on the same centres, added up."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam.kernels.feature_matrix import KernelPredictor

# Numbers of a block of gradients.
BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class PredictorSum:
    """A function f(x) = Σ_m w_m f_m(x).

    Attributes:
        predictors: The f_m, with the same centres.
        shares: The w_m.
    """

    predictors: tuple[KernelPredictor, ...]
    shares: tuple[float, ...]

    @property
    def centres(self) -> Float[Tensor, "n d"]:
        """The centres of all."""
        return self.predictors[0].centres

    def __call__(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m c"]:
        """Values of every output."""
        first, *others = (
            share * predictor(x)
            for share, predictor in zip(self.shares, self.predictors, strict=True)
        )
        return sum(others, first)

    def gradient(self, x: Float[Tensor, "m d"] | None = None) -> Float[Tensor, "m c d"]:
        """Derivatives of every output by the input; None means at the centres."""
        first, *others = (
            share * predictor.gradient(x)
            for share, predictor in zip(self.shares, self.predictors, strict=True)
        )
        return sum(others, first)

    def gradient_blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Gradients at the centres, a block of them at a time."""
        x = self.centres
        outputs = self.predictors[0].dual.shape[1]
        step = max(1, BLOCK // (x.shape[1] * outputs))
        for start in range(0, len(x), step):
            rows = slice(start, min(start + step, len(x)))
            yield rows, self.gradient(x[rows])

    def agop(self, weights: Float[Tensor, "n"]) -> Float[Tensor, "d d"]:
        """Average over the centres of ∇f ∇fᵀ, summed over outputs."""
        x = self.centres
        outer = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
        for rows, block in self.gradient_blocks():
            flat = (block * weights[rows, None, None].sqrt()).flatten(0, 1).double()
            outer += flat.T @ flat
        return (outer / weights.double().sum()).to(x.dtype)
