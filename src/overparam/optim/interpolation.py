"""The solutions of an over-parameterized model: the nearest one, and the constants there."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import in_precision
from overparam._checked import checked
from overparam._errors import expect
from overparam._model import (
    as_function,
    expect_deterministic,
    expect_inputs,
    expect_own_outputs,
    trainable,
)
from overparam._types import Inputs
from overparam.errors import NumericalError

Outputs = Callable[[Tensor], Tensor]
"""A model on fixed inputs as a function of its flat parameters; its outputs are flat too."""


@checked
def flat_outputs(model: nn.Module, x: Inputs) -> tuple[Outputs, Float[Tensor, "p"]]:
    """The model on `x` as a function of its flat trainable parameters, and these, in float64.

    Args:
        model: A module whose layers are deterministic, so in evaluation mode where it has
            batch norm or dropout. It is left as it was, by every call of the function too.
        x: The inputs.

    Raises:
        ValueError: A layer that draws random numbers or mixes examples, here or when the
            function is called after the model was put into training mode.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> f, w = flat_outputs(model, torch.eye(2, dtype=torch.float64))
        >>> bool((f(2 * w) == 2 * model.weight.double().flatten()).all())
        True
    """
    where = "flat_outputs(model=...)"
    params = trainable(model, None, where)
    expect_inputs(x, "flat_outputs(x=...)")
    # The function computes in float64; asked is the model, in its own numbers.
    dtype = next(iter(params.values())).dtype
    expect_own_outputs(model, in_precision(dtype, x), where)
    sizes = [p.numel() for p in params.values()]
    function = as_function(model)

    def outputs(w: Tensor) -> Tensor:
        expect_deterministic(model, where)
        parts = w.split(sizes)
        values = {
            name: part.view_as(p) for (name, p), part in zip(params.items(), parts, strict=True)
        }
        # `undisturbed` sets flags of parameters, which torch.func does not let it do here.
        buffers = [(b, b.detach().clone()) for b in model.buffers()]
        try:
            return function(values, x).flatten()
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    if not torch.equal(buffer, value):
                        buffer.copy_(value)

    return outputs, torch.cat([p.detach().flatten() for p in params.values()]).double()


@dataclass(frozen=True)
class Projection:
    """A point of the solution set near which none is closer.

    Attributes:
        point: v, with f(v) = y.
        distance: ‖w − v‖.
        tangential: Part of (w − v)/‖w − v‖ along the solution set, 0 at a local projection;
            how far from converged the result is.
        infeasibility: Largest |f(v) − y|.
        iterations: Steps along the solution set.
    """

    point: Float[Tensor, "p"]
    distance: float
    tangential: float
    infeasibility: float
    iterations: int


@checked
def project_to_interpolation(
    f: Outputs,
    w: Float[Tensor, "p"],
    y: Float[Tensor, "n"],
    start: Float[Tensor, "p"],
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 40,
) -> Projection:
    """The interpolating solution closest to w, as a local minimum of the distance.

        minimise ‖v − w‖² subject to f(v) = y

    From a solution v, along the part of w − v tangent to the solution set, halving the step
    until, brought back to the set by Newton's method, it is closer. Gauss–Newton from w itself
    fails far from the set, where it matters.

    Args:
        f: Outputs of the flat parameters, in float64.
        w: The point to project.
        y: Targets.
        start: A solution or a point near one, such as the end of training.
        tolerance: Stop at this tangential part; 1e-3 to 1e-2 is what 40 iterations give far
            from the set.
        max_iterations: Steps at most.

    Returns:
        The projection, with how far from converged it is.

    Raises:
        ValueError: Shapes that do not match.
        NumericalError: If `start` is too far from a solution to reach one.

    Cost:
        Some ten Jacobians of n × p and factorisations of n × n per iteration.

    Example:
        From (3, 4), the nearest point of the line where x = 1 is (1, 4):

        >>> f = lambda v: v[:1]
        >>> w, start = torch.tensor([3.0, 4.0]).double(), torch.tensor([1.0, 0.0]).double()
        >>> project_to_interpolation(f, w, torch.ones(1).double(), start).point
        tensor([1., 4.], dtype=torch.float64)
    """
    where = "project_to_interpolation"
    expect(
        start.shape == w.shape, f"{where}(start=...)", f"shape {tuple(w.shape)}", tuple(start.shape)
    )
    shape = tuple(_pulled(f, w)[0].shape)
    expect(shape == tuple(y.shape), f"{where}(y=...)", f"shape {shape}", tuple(y.shape))
    accuracy = 1e-12 * max(1.0, float(y.abs().max()))
    v = _restore(f, start, y, accuracy, 50)
    if v is None:
        raise NumericalError(
            f"`{where}(start=...)` expected a point from which Newton's method reaches f(v) = y, "
            f"got one with |f − y| up to {float((f(start) - y).abs().max()):.3g}.\n"
            "Hint: train further, until the loss is 1e-6 of its start."
        )
    step, iteration, part = 1.0, 0, math.inf
    for iteration in range(max_iterations + 1):
        towards = w - v
        tangent = _tangent(f, v, towards)
        distance = float(towards.norm())
        part = float(tangent.norm()) / distance if distance > 0 else 0.0
        if part <= tolerance or iteration == max_iterations:
            break
        moved = None
        step = min(2 * step, 1.0)
        while moved is None and step > 1e-6:
            moved = _restore(f, v + step * tangent, y, accuracy, 8)
            if moved is None or float((w - moved).norm()) >= distance:
                moved, step = None, step / 2
        if moved is None:
            break
        v = moved
    return Projection(v, float((w - v).norm()), part, float((f(v) - y).abs().max()), iteration)


def _pulled(f: Outputs, v: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor]]]:
    """f(v), and what takes a gradient of it to one of v.

    Inside the transform torch refuses a function that writes to what it holds, such as the
    statistics of a batch norm in training mode, before anything is written; a call is too late.
    """
    found: Any = torch.func.vjp(f, v)
    return found[0].detach(), found[1]


def _jacobian(f: Outputs, v: Tensor) -> Float[Tensor, "n p"]:
    return torch.func.jacrev(f)(v).detach()


def _tangent(f: Outputs, v: Tensor, direction: Tensor) -> Tensor:
    """The part of a direction along which f does not change to first order."""
    jacobian = _jacobian(f, v)
    return direction - jacobian.T @ torch.linalg.solve(jacobian @ jacobian.T, jacobian @ direction)


def _restore(f: Outputs, v: Tensor, y: Tensor, accuracy: float, steps: int) -> Tensor | None:
    """A solution near v, by Newton steps of least length; `None` if there is none in reach."""
    for _ in range(steps):
        missing = y - f(v)
        size = float(missing.abs().max())
        if size <= accuracy:
            return v
        if not size < 1e6:
            return None
        jacobian = _jacobian(f, v)
        solution, info = torch.linalg.solve_ex(jacobian @ jacobian.T, missing)
        if int(info):
            return None
        v = v + jacobian.T @ solution
    return v if float((y - f(v)).abs().max()) <= accuracy else None


@dataclass(frozen=True)
class SquareLossConstants:
    """Constants at a point of L(w) = (1/2n)Σ(fᵢ(w) − yᵢ)².

    Attributes:
        loss: L(w).
        pl: μ = ½‖∇L‖²/L here; the Polyak–Łojasiewicz constant is its smallest value. At a
            solution, where that is 0/0, its infimum nearby, `pl_bound`.
        pl_bound: λ_min(K)/n, a lower bound of `pl`.
        beta: max Kᵢᵢ, with which E‖∇ℓᵢ‖² ≤ 2βL: the smoothness single examples see.
        beta_full: λ_max(K)/n, with which ‖∇L‖² ≤ 2β_full L.
    """

    loss: float
    pl: float
    pl_bound: float
    beta: float
    beta_full: float

    @checked
    def batch_beta(self, batch_size: int) -> float:
        """β of mini-batches drawn with replacement, β/m + (1−1/m)β_full."""
        return self.beta / batch_size + (1 - 1 / batch_size) * self.beta_full


@checked
def square_loss_constants(
    f: Outputs, w: Float[Tensor, "p"], y: Float[Tensor, "n"]
) -> SquareLossConstants:
    """Smoothness and Polyak–Łojasiewicz constants from the tangent kernel K = JJᵀ at w.

    Args:
        f: Outputs of the flat parameters, one for each example.
        w: Where to measure.
        y: Targets.

    Raises:
        ValueError: Targets of another shape than the outputs.

    Cost:
        One Jacobian of n × p and an eigendecomposition of n × n.

    Example:
        >>> f = lambda w: torch.tensor([1.0, 2.0]) * w
        >>> found = square_loss_constants(f, torch.ones(2), torch.zeros(2))
        >>> found.loss, found.pl_bound, found.beta, found.beta_full
        (1.25, 0.5, 4.0, 2.0)
    """
    outputs, pull_back = _pulled(f, w)
    where = "square_loss_constants(y=...)"
    expect(outputs.shape == y.shape, where, f"shape {tuple(outputs.shape)}", tuple(y.shape))
    basis = torch.eye(len(y), dtype=outputs.dtype, device=outputs.device)
    jacobian = torch.func.vmap(pull_back)(basis)[0].detach().double()
    residual, n = (outputs - y).double(), len(y)
    kernel = jacobian @ jacobian.T
    values = torch.linalg.eigvalsh(kernel)
    pl_bound = max(float(values[0]), 0.0) / n
    loss = float(residual.square().sum()) / (2 * n)
    gradient = float((jacobian.T @ residual).square().sum()) / n**2
    return SquareLossConstants(
        loss=loss,
        pl=gradient / (2 * loss) if loss > 0 else pl_bound,
        pl_bound=pl_bound,
        beta=float(kernel.diagonal().max()),
        beta_full=float(values[-1]) / n,
    )
