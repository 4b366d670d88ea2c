"""The leading eigenvalue of a rescaled Gauss–Newton matrix, iterated among the outputs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from overparam._errors import expect
from overparam._exclusive import forward_mode
from overparam._model import as_function, undisturbed
from overparam._random_numbers import start_from
from overparam._types import Loss, Params
from overparam.curvature.differences import agree, difference
from overparam.errors import NumericalError

Rescale = Callable[[str, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Of a parameter's name and a vector g of its shape: D g, perhaps in its place, gᵀ D g, gᵀ s D g,
where D and s are the diagonals of the matrix; all of one parameter alone."""


@dataclass(frozen=True)
class Direction:
    """The leading direction among the parameters, D Jᵀu, as the last turn has left it.

    Attributes:
        step: By parameter.
        second: uᵀ J D Jᵀ u.
        moves: By how much it changes an output, in the mean over their squares.
    """

    step: Params
    second: float
    moves: float


@dataclass(frozen=True)
class OutputIteration:
    """Where the iteration has come.

    Attributes:
        value: The eigenvalue, from below.
        residual: An eigenvalue lies within this part of `value`.
        change: The leading direction, as the change of the outputs it makes: to go on from.
        direction: The same among the parameters, of their size; at these weights alone.
    """

    value: float
    residual: float
    change: Tensor
    direction: Direction | None = None


def iterate_outputs(
    model: nn.Module,
    x: Any,
    y: Any,
    loss: Loss,
    params: Params,
    rescale: Rescale,
    *,
    change: Tensor | None = None,
    turns: int = 1,
    seed: int = 0,
    differences: bool = False,
) -> OutputIteration:
    """A few turns of power iteration for λ_max( D^½ G D^½ + s ), G the Gauss–Newton matrix.

        a ← J D Jᵀ H a,    H = ∂²L/∂f²,    v = D^½ Jᵀ H a,    λ = vᵀ D^½ G D^½ v / ‖v‖²

    The vectors that are kept have the size of the outputs, not of the parameters. Gradients are
    taken up parameter by parameter as the backward pass finds them, and no second derivative's
    graph is built. Examples need not be apart: the batch is taken as a whole.

    Args:
        model: Any module that gives a tensor; random layers draw the same numbers in each pass.
        x: Inputs, as the model takes them.
        y: Targets, as the loss takes them.
        loss: `loss(outputs, targets)`, a scalar.
        params: What is differentiated by, the model's own tensors under their names.
        rescale: D and s.
        change: Where to go on; `None`, or another shape than that of the outputs, begins with
            the loss's own gradient and some noise.
        turns: At least one.
        seed: Of the noise and of random layers.
        differences: Take J w for the difference of two passes forward, at half the cost of one
            with tangents and without their memory. How far it is off is known for each, as
            ⟨u, J D Jᵀ u⟩ is there already: by more than 2 %, or in half precision, tangents are
            taken after all.

    Raises:
        NumericalError: A loss or a product that is not finite.
        NotImplementedError: An operation without a forward-mode derivative; sometimes torch
            raises a RuntimeError in its place.

    Cost:
        One forward pass; for each turn a backward pass and a forward pass with tangents. Memory
        of a backward pass, and one vector of the size of `params`.
    """
    function, held = as_function(model), _others(model, params)
    with undisturbed(model):
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        outputs = _outputs(function, {**held, **leaves}, x, seed)
        curvature = _LossCurvature(outputs.detach(), y, loss)
        if change is None or change.shape != outputs.shape:
            change = _start(curvature.slope, seed)
        change = change.to(outputs)
        value = residual = math.nan
        direction = None
        for turn in range(turns):
            direction = None  # its memory is needed
            bent = curvature.times(change)
            first = _product(change, bent)
            pulled = _pull(outputs, bent, leaves, rescale, keep=turn + 1 < turns)
            step, second = pulled.step, pulled.second
            _expect_finite(second)
            if second == 0:  # the outputs do not depend on the parameters
                return OutputIteration(0.0, 0.0, change)
            change = None
            if differences:
                now, moves = outputs.detach(), second / _length(bent)
                change = difference(function, held, params, step, x, now, moves, seed)
            if change is None or not agree(_product(change, bent), second):
                change = _push(function, held, params, step, x, seed)
            third = _product(change, curvature.times(change))
            length = _length(change)
            _expect_finite(length + third)
            value = (third + pulled.shifted) / second
            residual = _residual(first, second, third)
            if length == 0:
                return OutputIteration(value, 0.0, torch.zeros_like(change))
            direction = Direction(step, second, length / math.sqrt(change.numel()))
            change = change / length
    return OutputIteration(value, residual, change.detach(), direction)


def across_batches(
    model: nn.Module,
    known: tuple[Any, Any, Tensor] | Direction,
    x: Any,
    y: Any,
    loss: Loss,
    params: Params,
    rescale: Rescale,
    *,
    seed: int = 0,
    differences: bool = False,
) -> OutputIteration:
    """The same eigenvalue on a batch that is new, begun with the direction that leads on another.

        w = D J₀ᵀ H₀ a₀,    a = J w,    λ = ‖D^½ Jᵀ H a‖² / aᵀ H a

    Args:
        model: As for `iterate_outputs`, like the rest.
        known: Inputs, targets and `change` of the other batch, or w, found at the same weights.
        x: Inputs.
        y: Targets.
        loss: `loss(outputs, targets)`.
        params: What is differentiated by.
        rescale: D and s.
        seed: Of random layers.
        differences: As for `iterate_outputs`.

    Cost:
        A forward and a backward pass on the other batch, unless w is given; on this one these and
        a forward pass with tangents. Memory as for `iterate_outputs`.
    """
    function, held = as_function(model), _others(model, params)
    with undisturbed(model):
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        if isinstance(known, Direction):
            first, step, moves = known.second, known.step, known.moves
        else:
            outputs = _outputs(function, {**held, **leaves}, known[0], seed)
            bent = _LossCurvature(outputs.detach(), known[1], loss).times(known[2].to(outputs))
            pulled = _pull(outputs, bent, leaves, rescale)
            first, step = pulled.second, pulled.step
            moves = first / max(_length(bent), _LEAST) / math.sqrt(outputs.numel())
            del outputs, pulled
        _expect_finite(first)
        change = None
        if not differences:  # before the graph of the other batch takes room
            change, step = _push(function, held, params, step, x, seed), {}
        outputs = _outputs(function, {**held, **leaves}, x, seed)
        curvature = _LossCurvature(outputs.detach(), y, loss)
        if change is None:
            now, moves = outputs.detach(), moves * math.sqrt(outputs.numel())
            change = difference(function, held, params, step, x, now, moves, seed)

        def back(change: Tensor, along: Params) -> tuple[float, _Pulled]:
            bent = curvature.times(change)
            keep = bool(along)
            pulled = _pull(outputs, bent, leaves, rescale, along=along, forget=True, keep=keep)
            return _product(change, bent), pulled

        if change is None:
            change, step = _push(function, held, params, step, x, seed), {}
        second, pulled = back(change, step)
        if step and not agree(second, pulled.along):
            change = _push(function, held, params, step, x, seed)
            second, pulled = back(change, {})
        third = pulled.second
        _expect_finite(second + third)
    if not (first > 0 and second > 0 and third > 0):  # nothing above rounding is left
        return OutputIteration(0.0, math.inf, change)
    return OutputIteration(
        third / second + pulled.shifted / third, _residual(first, second, third), change
    )


class _LossCurvature:
    """∂²L/∂f² at the outputs, and ∂L/∂f."""

    def __init__(self, outputs: Tensor, y: Any, loss: Loss) -> None:
        self._outputs = outputs.requires_grad_()
        value = loss(self._outputs, y)
        single = isinstance(value, Tensor) and value.numel() == 1
        expect(
            single, "Monitor(loss=...)", "a loss that returns one number for a batch",
            tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__,
            hint="use reduction='mean' or 'sum'.",
        )  # fmt: skip
        expect(
            bool(torch.isfinite(value)), "Monitor(loss=...)", "a finite loss", value.detach(),
            error=NumericalError,
        )  # fmt: skip
        if not value.requires_grad:
            self._slope = torch.zeros_like(outputs)
        else:
            (self._slope,) = torch.autograd.grad(value, self._outputs, create_graph=True)
        self.slope = self._slope.detach()

    def times(self, change: Tensor) -> Tensor:
        if not self._slope.requires_grad:  # a loss linear in the outputs
            return torch.zeros_like(change)
        with torch.enable_grad():
            (product,) = torch.autograd.grad(
                self._slope, self._outputs, change, retain_graph=True, materialize_grads=True
            )
        return product


def _others(model: nn.Module, params: Params) -> Params:
    """Parameters that would be differentiated by as well, held fixed."""
    return {
        name: p.detach()
        for name, p in model.named_parameters()
        if p.requires_grad and name not in params
    }


def _outputs(function: Callable[[Params, Any], Any], params: Params, x: Any, seed: int) -> Tensor:
    start_from(seed, next((p.device for p in params.values()), torch.device("cpu")))
    outputs = function(params, x)
    expect(
        isinstance(outputs, Tensor), "Monitor(model=...)", "a model that returns one tensor",
        type(outputs).__name__, hint="pass forward=, which picks it.", error=TypeError,
    )  # fmt: skip
    return outputs


def _start(slope: Tensor, seed: int) -> Tensor:
    """The loss's own gradient, most of which lies in the leading directions, and some noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(slope.shape, generator=generator, dtype=torch.float32).to(slope)
    length = float(slope.double().norm())
    slope = slope / length if length > 0 and math.isfinite(length) else torch.zeros_like(slope)
    return slope + _NOISE * noise / noise.norm()


_NOISE = 0.3
# Below it a length is none.
_LEAST = 1e-300


@dataclass
class _Pulled:
    """What a backward pass gives.

    Attributes:
        step: D Jᵀu by parameter, unless it is to be forgotten.
        second: uᵀ J D Jᵀ u.
        shifted: The sum of s D (Jᵀu)².
        along: ⟨Jᵀu, w⟩ with the direction w that was given.
    """

    step: Params
    second: float
    shifted: float
    along: float


def _pull(
    outputs: Tensor,
    cotangent: Tensor,
    leaves: Params,
    rescale: Rescale,
    *,
    along: Params | None = None,
    keep: bool = False,
    forget: bool = False,
) -> _Pulled:
    """Jᵀu, taken up parameter by parameter."""
    found: Params = {}
    sums: list[Tensor] = []

    def take(name: str, leaf: Tensor) -> None:
        gradient, leaf.grad = leaf.grad, None
        assert gradient is not None
        gradient = gradient.to_dense()
        # Both have moved by the same names: those that the outputs depend on.
        known = [(gradient * along[name]).sum()] if along and name in along else []
        step, inner, shifted = rescale(name, gradient)
        sums.append(torch.stack([inner, shifted, *(k.to(inner) for k in known)]))
        if not forget:
            found[name] = step

    handles = [
        leaf.register_post_accumulate_grad_hook(lambda leaf, name=name: take(name, leaf))
        for name, leaf in leaves.items()
    ]
    try:
        if outputs.requires_grad:
            torch.autograd.backward(outputs, cotangent, retain_graph=keep)
    finally:
        for handle in handles:
            handle.remove()
    if not sums:
        return _Pulled(found, 0.0, 0.0, 0.0)
    numbers = torch.stack(sums).sum(0).tolist()
    return _Pulled(found, numbers[0], numbers[1], numbers[2] if along else 0.0)


def _push(
    function: Callable[[Params, Any], Tensor],
    held: Params,
    params: Params,
    step: Params,
    x: Any,
    seed: int,
) -> Tensor:
    """J times a direction of the parameters; what is left out of it does not move."""
    places: Params = {name: p.detach() for name, p in params.items()}
    start_from(seed, next(iter(places.values())).device)
    with torch.no_grad(), forward_mode(), forward_ad.dual_level():
        duals = {name: forward_ad.make_dual(places[name], d) for name, d in step.items()}
        outputs, change = forward_ad.unpack_dual(function({**held, **places, **duals}, x))
    return torch.zeros_like(outputs) if change is None else change.detach()


def _expect_finite(number: float) -> None:
    words = "finite products with its Gauss–Newton matrix", "NaN or infinity"
    hint = "its outputs, or their derivatives, overflow at the present parameters."
    expect(math.isfinite(number), "Monitor(model=...)", *words, hint, NumericalError)


def _length(vector: Tensor) -> float:
    return float(vector.double().norm())


def _product(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum(dtype=torch.float64))


def _residual(first: float, second: float, third: float) -> float:
    """‖M x − μ x‖ / μ at the vector before, as a part of the value after it.

    With μ = second/first an eigenvalue lies within r μ of μ, and μ (1 + r²) is the value: hence
    within r (1 + r) / (1 + r²) of that.
    """
    if not (first > 0 and second > 0 and third > 0):
        return math.inf
    r = math.sqrt(max(third * first / second**2 - 1, 0.0))
    return r * (1 + r) / (1 + r * r)
