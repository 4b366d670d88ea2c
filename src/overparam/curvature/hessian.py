"""The Hessian of a loss, as an operator."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._deprecated import deprecated, renamed
from overparam._model import undisturbed
from overparam._own_loss import seen_with_loss
from overparam._types import Forward, Inputs, Loss
from overparam.curvature.loss_at_point import LossAtPoint, flat
from overparam.linalg.lanczos import Eigenpairs
from overparam.linalg.operator import SymmetricOperator


class HessianOperator(SymmetricOperator):
    """Hessian of a loss with respect to the trainable parameters.

        H = ∂²loss(f(w))/∂w²

    Unlike `GGNOperator` it may have negative eigenvalues; `eigenpairs` returns the
    algebraically largest. Autograd's Hessian of a ReLU network is the almost-everywhere part:
    the kinks carry none of it.

    Args, Raises: As for `GGNOperator`, without chunks.

    Cost:
        A product takes one forward pass and two backward passes, and their memory.

    Example:
        L = ½Σ(w·x)² has the Hessian Σ x², here 1+4 = 5:

        >>> model = nn.Linear(1, 1, bias=False)
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> half_sum = lambda f, y: (f - y).square().sum() / 2
        >>> HessianOperator(model, x, torch.zeros(2, 1), half_sum).matvec(torch.ones(1))
        tensor([5.])
    """

    @renamed(params="names")
    @checked
    def __init__(
        self,
        model: nn.Module,
        x: Inputs,
        y: Tensor,
        loss: Loss | None,
        *,
        names: Sequence[str] | None = None,
        forward: Forward | None = None,
    ) -> None:
        model, loss = seen_with_loss("HessianOperator", model, x, y, loss, forward)
        at = LossAtPoint("HessianOperator", model, x, y, loss, names, None)
        super().__init__(at.size, dtype=at.dtype, device=at.device)
        self.at = at

    def _matvec(self, v: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
        at = self.at
        with undisturbed(at.model):
            leaves = at.leaves()
            value = at.loss(at.function(leaves, at.x), at.y)
            gradient = torch.autograd.grad(
                value, list(leaves.values()), create_graph=True, materialize_grads=True
            )
            product = torch.autograd.grad(
                gradient, list(leaves.values()), list(at.split(v).values()),
                materialize_grads=True,
            )  # fmt: skip
        return flat(product)

    @checked
    def top_eigenpairs(
        self, k: int = 1, *, tolerance: float = 1e-3, seed: int = 0, v0: Tensor | None = None
    ) -> Eigenpairs:
        """The old name of `eigenpairs`, to a tolerance of 1e-3."""
        deprecated("HessianOperator.top_eigenpairs", "eigenpairs", stacklevel=4)
        return self.eigenpairs(k, v0=v0, tolerance=tolerance, seed=seed)
