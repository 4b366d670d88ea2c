"""The Gauss–Newton matrix of a loss, as an operator."""

from collections.abc import Sequence
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from overparam._batch import take
from overparam._checked import checked
from overparam._deprecated import deprecated, renamed
from overparam._exclusive import forward_mode
from overparam._model import undisturbed
from overparam._own_loss import seen_with_loss
from overparam._types import Forward, Inputs, Loss, Params
from overparam.curvature.loss_at_point import LossAtPoint, flat
from overparam.linalg.lanczos import Eigenpairs
from overparam.linalg.operator import SymmetricOperator


class GGNOperator(SymmetricOperator):
    """Generalised Gauss–Newton matrix of a loss with respect to the trainable parameters.

        G = Jᵀ (∂²loss/∂f²) J,     J = ∂f/∂w over the whole batch

    The loss is taken as it is called: a mean over n examples gives a matrix 1/n as large as a
    sum. For a loss convex in the outputs (squared error, cross-entropy) G is positive
    semi-definite; it equals the Hessian up to Σ residual × ∂²f/∂w², which vanishes where the
    training set is interpolated and is small in wide networks. For L = (1/n)Σ‖f−y‖² the
    non-zero eigenvalues are those of (2/n) times the tangent kernel.

    The model is taken in the mode it is in. In training mode layers such as batch norm use the
    statistics of this batch, and G is that of the map from parameters to all outputs together;
    dropout and other random layers draw one and the same mask in every product. Buffers and random
    numbers are put back.

    Args:
        model: Any module.
        x: Batch of inputs.
        y: Targets, as the loss takes them.
        loss: `loss(outputs, targets)`, a scalar for the batch; `None` for the one that the model
            computes inside when it is given its labels, as those of transformers do.
        names: Names of the parameters to differentiate by; `None` means all trainable.
        chunk_size: Examples pushed through at a time; changes memory, never the result. Only for
            a model without layers that mix examples or are random.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Attributes:
        at: The point: model, batch, loss, outputs and gradient.
        psd: Whether the loss is one of torch's that are convex in the outputs; of a function of
            one's own that is not known.

    Raises:
        ValueError: Non-finite or empty input, no trainable parameter, targets the loss does not
            accept, or chunks of a batch whose examples mix.
        NumericalError: The loss is not finite.

    Cost:
        A product takes one forward pass with tangents and one backward pass (with chunks, one
        forward pass more). Memory of one backward pass over `chunk_size` examples.

    Example:
        For f = w·x and L = (1/n)Σ(f−y)², G is (2/n)Σ x², here 2·(1+4)/2 = 5:

        >>> model = nn.Linear(1, 1, bias=False)
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> operator = GGNOperator(model, x, torch.zeros(2, 1), nn.functional.mse_loss)
        >>> operator.matvec(torch.ones(1))
        tensor([5.])

    References:
        Schraudolph (2002), Neural Computation 14(7): products with G by a forward and a
        backward pass.
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
        chunk_size: int | None = None,
        forward: Forward | None = None,
    ) -> None:
        model, loss = seen_with_loss("GGNOperator", model, x, y, loss, forward)
        self._begin(LossAtPoint("GGNOperator", model, x, y, loss, names, chunk_size))

    @classmethod
    def at_point(cls, at: LossAtPoint) -> Self:
        """The operator of a point that is there already."""
        operator = cls.__new__(cls)
        operator._begin(at)
        return operator

    def _begin(self, at: LossAtPoint) -> None:
        super().__init__(at.size, dtype=at.dtype, device=at.device, psd=_is_convex(at.loss))
        self.at, self._forward_mode = at, True

    def _matvec(self, v: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
        at, direction = self.at, self.at.split(v)
        with undisturbed(at.model):
            if len(at.slices) == 1:
                outputs, leaves, change = self._directional(direction, at.slices[0])
                curved = self.loss_curvature(change)
                return flat(torch.autograd.grad(outputs, leaves, curved, materialize_grads=True))
            changes = [self._directional(direction, part)[2] for part in at.slices]
            return at.pull_back(self.loss_curvature(torch.cat(changes)))

    @checked
    def top_eigenpairs(
        self, k: int = 1, *, tolerance: float = 1e-3, seed: int = 0, v0: Tensor | None = None
    ) -> Eigenpairs:
        """The old name of `eigenpairs`, to a tolerance of 1e-3."""
        deprecated("GGNOperator.top_eigenpairs", "eigenpairs", stacklevel=4)
        return self.eigenpairs(k, v0=v0, tolerance=tolerance, seed=seed)

    def _directional(self, direction: Params, part: slice) -> tuple[Tensor, list[Tensor], Tensor]:
        """Outputs with their graph, the leaves of that graph, and J v for one chunk."""
        at, inputs = self.at, take(self.at.x, part)
        leaves = at.leaves()
        if self._forward_mode:
            # One forward pass serves both directions: its tangent is J v, its graph gives Jᵀ.
            try:
                with forward_mode(), forward_ad.dual_level():
                    duals = {n: forward_ad.make_dual(p, direction[n]) for n, p in leaves.items()}
                    outputs, change = forward_ad.unpack_dual(at.function(duals, inputs))
                change = torch.zeros_like(outputs) if change is None else change.detach()
                return outputs, list(leaves.values()), change
            except (NotImplementedError, RuntimeError) as problem:
                missing = isinstance(problem, NotImplementedError) or "forward" in str(problem)
                if not missing:
                    raise
                self._forward_mode = False
        outputs = at.function(leaves, inputs)
        # J v as the derivative of Jᵀu, which is linear in u: reverse mode twice.
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(
            outputs, list(leaves.values()), u, create_graph=True, materialize_grads=True
        )
        (change,) = torch.autograd.grad(pulled, u, list(direction.values()), materialize_grads=True)
        return outputs, list(leaves.values()), change.detach()

    @checked
    def loss_curvature(self, change: Tensor) -> Tensor:
        """(∂²loss/∂f²) times a change of the outputs."""
        outputs = self.at.outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.at.loss(outputs, self.at.y), outputs, create_graph=True)
        if not slope.requires_grad:  # a loss linear in the outputs
            return torch.zeros_like(change)
        return torch.autograd.grad(slope, outputs, change, materialize_grads=True)[0]


_CONVEX = (nn.MSELoss, nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, nn.HuberLoss, nn.SmoothL1Loss)
_CONVEX_FUNCTIONS = (F.mse_loss, F.cross_entropy, F.binary_cross_entropy_with_logits)


def _is_convex(loss: Loss) -> bool:
    """Whether a loss is known to be convex in the outputs."""
    return type(loss) in _CONVEX or any(loss is known for known in _CONVEX_FUNCTIONS)
