"""The curvature of a loss: Gauss–Newton matrix and Hessian, as operators never formed."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad

from overparam._checked import checked
from overparam._errors import NumericalError, expect
from overparam._exclusive import forward_mode
from overparam._model import (
    as_function,
    chunks,
    expect_inputs,
    expect_outputs,
    expect_own_outputs,
    n_examples,
    take,
    trainable,
    undisturbed,
)
from overparam._types import Inputs, Loss, Params
from overparam.linalg.lanczos import Eigenpairs, top_eigenpairs


class LossAtPoint:
    """A loss of a model on a batch, at the model's present parameters, checked once."""

    def __init__(
        self,
        where: str,
        model: nn.Module,
        x: Inputs,
        y: Tensor,
        loss: Loss,
        params: Sequence[str] | None,
        chunk_size: int | None,
    ) -> None:
        expect_inputs(x, f"{where}(x=...)")
        expect_inputs(y, f"{where}(y=...)", n_examples(x))
        expect(
            chunk_size is None or chunk_size >= 1,
            f"{where}(chunk_size=...)",
            "a positive number of examples or None",
            chunk_size,
        )
        expect_own_outputs(model, x, f"{where}(model=...)")
        self.model, self.x, self.y, self.loss = model, x, y, loss
        self.params: Params = trainable(model, params, f"{where}(model=...)")
        self.function = as_function(model)
        self.slices = chunks(n_examples(x), chunk_size)
        self.size = sum(p.numel() for p in self.params.values())
        first = next(iter(self.params.values()))
        self.dtype, self.device = first.dtype, first.device
        with undisturbed(model), torch.no_grad():
            outputs = [
                expect_outputs(
                    self.function(self.params, take(x, part)),
                    part.stop - part.start,
                    f"{where}(model=...)",
                )
                for part in self.slices
            ]
        self.outputs = torch.cat(outputs)
        try:
            value = loss(self.outputs, y)
        except (IndexError, RuntimeError) as problem:
            raise ValueError(
                f"`{where}(y=...)` expected targets that the loss accepts for outputs of shape "
                f"{tuple(self.outputs.shape)}, got {tuple(y.shape)} {y.dtype}: {problem}"
            ) from problem
        expect(
            isinstance(value, Tensor) and value.numel() == 1,
            f"{where}(loss=...)",
            "a loss that returns one number for a batch",
            f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__,
            hint="use reduction='mean' or 'sum'.",
        )
        self.value = float(value)
        if not torch.isfinite(value):
            raise NumericalError(
                f"`{where}(...)` expected a finite loss at the present parameters, got {value}."
            )

    def split(self, vector: Tensor) -> Params:
        """A flat vector as a direction for each parameter."""
        parts = vector.to(self.dtype).split([p.numel() for p in self.params.values()])
        return {
            name: part.view_as(p)
            for (name, p), part in zip(self.params.items(), parts, strict=True)
        }

    def leaves(self) -> Params:
        """The parameters as fresh leaves that share the model's memory."""
        return {name: p.detach().requires_grad_() for name, p in self.params.items()}

    def pull_back(self, cotangent: Tensor) -> Float[Tensor, " p"]:
        """Jᵀu, for u in the shape of the outputs."""
        total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for part in self.slices:
            leaves = self.leaves()
            outputs = self.function(leaves, take(self.x, part))
            total += flat(
                torch.autograd.grad(
                    outputs, list(leaves.values()), cotangent[part], materialize_grads=True
                )
            )
        return total

    def gradient(self) -> Float[Tensor, " p"]:
        """Gradient of the loss, flat."""
        outputs = self.outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.loss(outputs, self.y), outputs)
        with undisturbed(self.model):
            return self.pull_back(slope)


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors end to end."""
    return torch.cat([t.reshape(-1) for t in tensors])


class GGNOperator:
    """Generalised Gauss–Newton matrix of a loss with respect to the trainable parameters.

        G = Jᵀ (∂²loss/∂f²) J,     J = ∂f/∂w over the whole batch

    The loss is taken as it is called: a mean over n examples gives a matrix 1/n as large as a
    sum. For a loss convex in the outputs (squared error, cross-entropy) G is positive
    semi-definite; it equals the Hessian up to Σ residual × ∂²f/∂w², which vanishes where the
    training set is interpolated and is small in wide networks. For L = (1/n)Σ‖f−y‖² the
    non-zero eigenvalues are those of (2/n) times the tangent kernel.

    Args:
        model: Any module with deterministic layers (dropout, batch norm: evaluation mode).
        x: Batch of inputs.
        y: Targets, as the loss takes them.
        loss: `loss(outputs, targets)`, a scalar for the batch.
        params: Names of the parameters to differentiate by; `None` means all trainable.
        chunk_size: Examples pushed through at a time; changes memory, never the result.

    Raises:
        ValueError: Non-finite or empty input, a layer that mixes examples or is random, no
            trainable parameter, targets the loss does not accept.
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

    @checked
    def __init__(
        self,
        model: nn.Module,
        x: Inputs,
        y: Tensor,
        loss: Loss,
        *,
        params: Sequence[str] | None = None,
        chunk_size: int | None = None,
        _where: str = "GGNOperator",
    ) -> None:
        self.at = LossAtPoint(_where, model, x, y, loss, params, chunk_size)
        self.size, self.dtype, self.device = self.at.size, self.at.dtype, self.at.device
        self._forward_mode = True

    @checked
    def matvec(self, vector: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """G v, for a flat vector in the order of `model.named_parameters()`."""
        at, direction = self.at, self.at.split(vector)
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
        """The k largest eigenvalues, with unit eigenvectors as columns."""
        return top_eigenpairs(
            self.matvec, self.size, k, dtype=self.dtype, device=self.device,
            v0=v0, tolerance=tolerance, seed=seed,
        )  # fmt: skip

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


class HessianOperator:
    """Hessian of a loss with respect to the trainable parameters.

        H = ∂²loss(f(w))/∂w²

    Unlike `GGNOperator` it may have negative eigenvalues; `top_eigenpairs` returns the
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

    @checked
    def __init__(
        self,
        model: nn.Module,
        x: Inputs,
        y: Tensor,
        loss: Loss,
        *,
        params: Sequence[str] | None = None,
    ) -> None:
        self.at = LossAtPoint("HessianOperator", model, x, y, loss, params, None)
        self.size, self.dtype, self.device = self.at.size, self.at.dtype, self.at.device

    @checked
    def matvec(self, vector: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """H v, for a flat vector in the order of `model.named_parameters()`."""
        at = self.at
        with undisturbed(at.model):
            leaves = at.leaves()
            value = at.loss(at.function(leaves, at.x), at.y)
            gradient = torch.autograd.grad(
                value, list(leaves.values()), create_graph=True, materialize_grads=True
            )
            product = torch.autograd.grad(
                gradient, list(leaves.values()), list(at.split(vector).values()),
                materialize_grads=True,
            )  # fmt: skip
        return flat(product)

    @checked
    def top_eigenpairs(
        self, k: int = 1, *, tolerance: float = 1e-3, seed: int = 0, v0: Tensor | None = None
    ) -> Eigenpairs:
        """The k algebraically largest eigenvalues, with unit eigenvectors as columns."""
        return top_eigenpairs(
            self.matvec, self.size, k, dtype=self.dtype, device=self.device,
            v0=v0, tolerance=tolerance, seed=seed,
        )  # fmt: skip
