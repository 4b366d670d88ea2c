"""The full tangent kernel as a linear operator, never formed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import call, chunks, detached, n_examples, take
from overparam._checked import checked
from overparam._deprecated import OldName, deprecated, renamed
from overparam._exclusive import forward_mode
from overparam._forward import seen_through
from overparam._memory import expect_room
from overparam._model import as_function, trainable
from overparam._types import Forward, Inputs, Params
from overparam.linalg.lanczos import Eigenpairs
from overparam.linalg.operator import SymmetricOperator
from overparam.tangents.empirical import empirical_ntk_blocks
from overparam.tangents.engine.contraction import squared_norms
from overparam.tangents.engine.factors import Differentiator, GraphChanged
from overparam.tangents.engine.plan import make_plan
from overparam.tangents.engine.session import chosen_params, opened

# Examples whose factors are held at once for the diagonal.
_HELD = 64


class NTKOperator(SymmetricOperator):
    """The tangent kernel of n examples and C outputs, as an operator of order nC.

        K = J Jᵀ,   row i·C + c of J is ∂f_c(x_i)/∂θ,

    so that a vector is read as an (n, C) array, row by row. Nothing is averaged over outputs:
    the trace is the sum over examples *and* outputs.

    A `SymmetricOperator` on the model's device, positive semi-definite; SciPy's solvers take
    its `to_scipy()`. The model's parameters are read at every product, so that the operator
    follows training.

    Args:
        model: A module in evaluation mode; left as it was after every product.
        x: n examples.
        names: Names of the parameters that make up θ; `None` means all that require a
            gradient.
        chunk_size: Examples differentiated at a time; never changes a product.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Raises:
        ValueError: If the examples of a batch influence one another, or an argument is wrong.
        TypeError: If `x` holds no tensors or `model` returns none.
        MemoryError: If what a product holds does not fit.

    Cost:
        A product takes two passes with derivatives over the n examples, and their memory.

    Example:
        A linear map of one number to one has K = x xᵀ:

        >>> x = torch.tensor([[1.0], [2.0]])
        >>> K = NTKOperator(torch.nn.Linear(1, 1, bias=False), x)
        >>> K @ torch.tensor([1.0, 0.0])
        tensor([1., 2.])
        >>> K.trace()
        5.0

    References:
        Novak, Sohl-Dickstein, Schoenholz (2022), arXiv:2206.08720: NTK-vector products.
    """

    @renamed(params="names")
    @checked
    def __init__(
        self,
        model: nn.Module,
        x: Inputs,
        *,
        names: Sequence[str] | None = None,
        chunk_size: int | None = None,
        forward: Forward | None = None,
    ) -> None:
        model = seen_through(model, forward, "NTKOperator")
        chosen = chosen_params(model, x, None, names, chunk_size, "NTKOperator", "x")
        self.model, self.x, self.names = model, detached(x), list(chosen)
        self.chunk_size = chunk_size
        with opened(model, chosen):
            plan, _ = make_plan(model, self.x, chosen, "NTKOperator(model=...)")
        self.examples, self.outputs = n_examples(x), plan.outputs
        first = next(iter(chosen.values()))
        size = self.examples * self.outputs
        super().__init__(size, dtype=first.dtype, device=first.device, psd=True)
        together = min(chunk_size or self.examples, self.examples)
        activations = together * plan.floats // (plan.outputs if plan.swept else 1)
        parameters = 2 * sum(p.numel() for p in chosen.values())  # a sum, and what is added
        expect_room(
            (activations + parameters) * self.dtype.itemsize,
            self.device,
            "NTKOperator(chunk_size=...)",
            "pass a smaller chunk_size.",
            "a product",
        )

    def _matvec(self, v: Float[Tensor, "nc"]) -> Float[Tensor, "nc"]:
        weights = v.view(self.examples, self.outputs)
        chosen = trainable(self.model, self.names)
        with opened(self.model, chosen):
            direction = self._transposed(weights, chosen)
            products = [
                self._forward(take(self.x, part), chosen, direction)
                for part in chunks(self.examples, self.chunk_size)
            ]
        return torch.cat(products).reshape(-1)

    def _transposed(self, weights: Float[Tensor, "n c"], params: Params) -> list[Tensor]:
        """Jᵀ v by parameter, summed over chunks."""
        total = [torch.zeros_like(p) for p in params.values()]
        for part in chunks(self.examples, self.chunk_size):
            outputs = call(self.model, take(self.x, part)).reshape(-1, self.outputs)
            if not outputs.requires_grad:
                continue
            gradients = torch.autograd.grad(
                outputs, list(params.values()), weights[part], allow_unused=True
            )
            for place, gradient in zip(total, gradients, strict=True):
                if gradient is not None:
                    place.add_(gradient.to_dense())
        return total

    def _forward(self, x: Inputs, params: Params, direction: list[Tensor]) -> Tensor:
        """J u of some examples: forward mode, or backward twice where it is missing."""
        function = as_function(self.model)
        values = {name: p.detach() for name, p in params.items()}
        tangents = dict(zip(params, direction, strict=True))
        try:
            with forward_mode(), torch.no_grad():
                return torch.func.jvp(lambda p: function(p, x), (values,), (tangents,))[1].reshape(
                    -1, self.outputs
                )
        except (RuntimeError, NotImplementedError):
            outputs = call(self.model, x).reshape(-1, self.outputs)
            dummy = torch.zeros_like(outputs, requires_grad=True)
            gradients = torch.autograd.grad(
                outputs, list(params.values()), dummy, create_graph=True, materialize_grads=True
            )
            return torch.autograd.grad(gradients, dummy, direction)[0]

    def diagonal(self) -> Float[Tensor, "nc"]:
        """‖∂f_c(x_i)/∂θ‖² at i·C + c, exact, from the layers' factors.

        Raises:
            MemoryError: If one chunk's factors do not fit.

        Cost:
            C backward passes over the examples.
        """
        return self._diagonal()

    def _diagonal(self) -> Float[Tensor, "nc"]:
        chosen = trainable(self.model, self.names)
        with opened(self.model, chosen):
            plan, uses = make_plan(self.model, self.x, chosen, "NTKOperator(model=...)")
            try:
                return self._norms(Differentiator(self.model, plan, uses, blocks=True))
            except GraphChanged:
                plain = plan.without_rules()
                return self._norms(Differentiator(self.model, plain, {}, blocks=True))

    def _norms(self, differentiator: Differentiator) -> Float[Tensor, "nc"]:
        """The diagonal, a chunk of examples at a time."""
        size = self.chunk_size or _HELD
        norms = [
            squared_norms(differentiator.factors(take(self.x, part), size))
            for part in chunks(self.examples, size)
        ]
        return torch.cat(norms, 1).T.reshape(-1)

    def _dense(self) -> Float[Tensor, "nc nc"]:
        blocks = empirical_ntk_blocks(
            self.model, self.x, names=self.names, chunk_size=self.chunk_size
        )
        return blocks.permute(0, 2, 1, 3).reshape(self.size, self.size).to(self.dtype)

    params = OldName("names")

    # What it was called while it was SciPy's, until 0.3.

    def matvec(self, v: Any) -> Any:
        """K v; see `SymmetricOperator.matvec`."""
        if isinstance(v, np.ndarray):
            deprecated("NTKOperator.matvec of an array", "to_scipy().matvec")
            return super().matvec(torch.from_numpy(v.reshape(-1))).cpu().numpy()
        return super().matvec(v)

    def matmat(self, columns: Any) -> Any:
        """K V; see `SymmetricOperator.matmat`."""
        if isinstance(columns, np.ndarray):
            deprecated("NTKOperator.matmat of an array", "to_scipy().matmat")
            return super().matmat(torch.from_numpy(columns)).cpu().numpy()
        return super().matmat(columns)

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return self.matvec(other) if other.ndim == 1 else self.matmat(other)
        return super().__matmul__(other)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The old name of `dtype`."""
        deprecated("NTKOperator.torch_dtype", "dtype")
        return self.dtype

    def torch_matvec(self, v: Float[Tensor, "nc"]) -> Float[Tensor, "nc"]:
        """The old name of `matvec`."""
        deprecated("NTKOperator.torch_matvec", "matvec")
        return self.matvec(v)

    def diag(self) -> Float[Tensor, "nc"]:
        """The old name of `diagonal`."""
        deprecated("NTKOperator.diag", "diagonal")
        return self.diagonal()

    def eigsh(self, k: int = 6, *, tolerance: float = 1e-6, seed: int = 0) -> Eigenpairs:
        """The old name of `eigenpairs`, of six pairs."""
        deprecated("NTKOperator.eigsh", "eigenpairs")
        return self.eigenpairs(k, tolerance=tolerance, seed=seed)
