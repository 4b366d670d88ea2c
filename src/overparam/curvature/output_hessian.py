"""The Hessian of one output: how fast a network leaves its linearisation."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import n_examples
from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._forward import seen_through
from overparam._model import (
    as_function,
    expect_inputs,
    expect_outputs,
    expect_own_outputs,
    trainable,
    undisturbed,
)
from overparam._types import Forward, Inputs
from overparam.errors import NumericalError
from overparam.linalg.operator import SymmetricOperator


@renamed(params="names")
@checked
def hessian_norm(
    model: nn.Module,
    x: Inputs,
    output: int = 0,
    *,
    names: Sequence[str] | None = None,
    tolerance: float = 1e-3,
    max_products: int = 300,
    seed: int = 0,
    forward: Forward | None = None,
) -> float:
    """Spectral norm of the Hessian of one output at one input, with respect to the parameters.

        ‖∇²_w f_c(w; x)‖₂ = max |λ|,

    of the **output**, not of a loss. The spectrum of a network's Hessian is nearly symmetric
    about 0, so a power iteration's Rayleigh quotient does not settle; this is Lanczos's
    largest magnitude. Where an activation has a kink (ReLU), derivatives see only the smooth
    part on either side: use `linearization_error` or the change of the kernel there.

    Args:
        model: Any module, best in float64: in float32 norms below about 1e-6 of the gradient's
            are rounding.
        x: One input, as a batch of length one (``x[:1]``).
        output: Index c into the example's outputs, flattened.
        names: Names of the parameters to differentiate by; `None` means the trainable ones.
        tolerance: Residual ‖H v − λ v‖ at which to stop, relative to |λ|; the error of |λ| is
            at most this, as a rule near its square.
        max_products: Hessian–vector products after which to give up.
        seed: Of the random start vector.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        max |λ| ≥ 0; exactly 0 for a model that is linear in its parameters.

    Raises:
        ValueError: If `x` holds more than one example or `output` does not exist.
        NumericalError: If the Hessian is not finite, or Lanczos did not reach the tolerance.

    Cost:
        One double backward pass per product, 20 to 35 as a rule; as many vectors of P numbers
        in memory, for P parameters.

    Example:
        A product of two weights has Hessian [[0, 1], [1, 0]] x, eigenvalues ±x:

        >>> deep = torch.nn.Sequential(
        ...     torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        ... ).double()
        >>> print(f"{hessian_norm(deep, torch.tensor([[3.0]], dtype=torch.float64)):.6f}")
        3.000000

    References:
        Liu, Zhu, Belkin (2020), arXiv:2010.01092: this norm is Õ(1/√width) in a ball around
        a random initialisation, and why it then governs the change of the tangent kernel.
    """
    expect(tolerance > 0, "hessian_norm(tolerance=...)", "a positive number", tolerance)
    matrix = _Measured(model, x, output, names=names, forward=forward)
    if not matrix.curved:
        return 0.0
    pairs = matrix.eigenpairs(
        which="magnitude", tolerance=tolerance, max_products=max_products, seed=seed
    )
    norm, residual = float(pairs.values[0].abs()), float(pairs.residuals[0])
    expect(
        residual <= tolerance * norm,
        "hessian_norm(max_products=...)",
        f"convergence to {tolerance:g}",
        f"a residual of {residual:.1e} for a norm of {norm:.3e} after {pairs.products} products",
        hint="raise max_products or tolerance.",
        error=NumericalError,
    )
    return norm


class OutputHessian(SymmetricOperator):
    """The Hessian of one output at one input, ∇²_w f_c(w; x), at the present parameters.

    The gradient's graph is built once and kept: the operator does not follow training.

    Args, Raises: As for `hessian_norm`.

    Attributes:
        curved: Whether it is not zero altogether, as of a model linear in its parameters.

    Cost:
        A forward and a backward pass, and their memory as long as the operator lives; a product
        takes a double backward pass.

    Example:
        >>> deep = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        >>> OutputHessian(deep, torch.tensor([[3.0]])).dense()
        tensor([[0., 3.],
                [3., 0.]])
    """

    _said_of = "OutputHessian"

    @renamed(params="names")
    @checked
    def __init__(
        self,
        model: nn.Module,
        x: Inputs,
        output: int = 0,
        *,
        names: Sequence[str] | None = None,
        forward: Forward | None = None,
    ) -> None:
        where = self._said_of
        model = seen_through(model, forward, where)
        expect_inputs(x, f"{where}(x=...)")
        expect(
            n_examples(x) == 1, f"{where}(x=...)", "one example", n_examples(x),
            hint="pass x[:1].",
        )  # fmt: skip
        expect_own_outputs(model, x, f"{where}(model=...)")
        own = trainable(model, names, f"{where}(model=...)")
        self.point = [p.detach().clone().requires_grad_() for p in own.values()]
        with undisturbed(model):
            values = as_function(model)(dict(zip(own, self.point, strict=True)), x)
            values = expect_outputs(values, 1, f"{where}(model=...)").flatten()
            expect(
                -len(values) <= output < len(values),
                f"{where}(output=...)",
                f"an index into {len(values)} outputs",
                output,
            )
            self.gradient = torch.autograd.grad(
                values[output], self.point, create_graph=True, materialize_grads=True
            )
        expect(
            all(bool(torch.isfinite(part).all()) for part in self.gradient),
            f"{where}(model=...)",
            "a finite gradient",
            "NaN or infinity",
            hint="the parameters may have diverged.",
            error=NumericalError,
        )
        self.curved = any(part.requires_grad for part in self.gradient)
        first, size = self.point[0], sum(part.numel() for part in self.point)
        super().__init__(size, dtype=first.dtype, device=first.device)

    def _matvec(self, v: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
        parts = v.split([part.numel() for part in self.point])
        # Where the output is linear in a parameter, its gradient has no graph: those rows are 0.
        curved = [
            (gradient, u.view_as(gradient))
            for gradient, u in zip(self.gradient, parts, strict=True)
            if gradient.requires_grad
        ]
        if not curved:
            return torch.zeros_like(v)
        product = torch.autograd.grad(
            [gradient for gradient, _ in curved],
            self.point,
            grad_outputs=[u for _, u in curved],
            retain_graph=True,
            materialize_grads=True,
        )
        # An older torch hands out the zeros that it filled in with a graph.
        return torch.cat([part.flatten() for part in product]).detach()


class _Measured(OutputHessian):
    """That of `hessian_norm`, which is what the user called."""

    _said_of = "hessian_norm"
