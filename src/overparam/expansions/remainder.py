"""How far a model is from a Taylor polynomial of itself at earlier parameters."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from overparam._batch import n_examples
from overparam._errors import expect
from overparam._forward import seen_through
from overparam._model import (
    as_function,
    expect_inputs,
    expect_outputs,
    expect_own_outputs,
    undisturbed,
)
from overparam._types import Forward, Inputs, Params
from overparam.errors import NumericalError
from overparam.expansions.displaced import earlier_params

Terms = Callable[[str, nn.Module, Params, Params, Inputs], tuple[Tensor, ...]]
"""`terms(where, model, point, direction, x)`: the polynomial's terms, by rising order."""


def remainder(
    where: str,
    model: nn.Module,
    reference_params: Mapping[str, Tensor],
    x: Inputs,
    forward: Forward | None,
    terms: Terms,
) -> float:
    """‖f(w) − p(w)‖₂ / √n of a polynomial p around earlier parameters.

    Args:
        where: The public call this is for, for the error message.
        model: The model at w.
        reference_params: w0 by name, or a part of it: what is not named has not moved.
        x: A batch of n examples.
        forward: Picks the outputs, or `None`.
        terms: Those of p, along w − w0.

    Returns:
        The error, in the units of the outputs: summed over these, averaged over examples.

    Raises:
        ValueError: If the parameters are not the model's, or `x` is empty or not finite.
        NumericalError: If the outputs are not finite.
    """
    model = seen_through(model, forward, where)
    expect_inputs(x, f"{where}(x=...)")
    expect_own_outputs(model, x, f"{where}(model=...)")
    with undisturbed(model), torch.no_grad():
        start = earlier_params(f"{where}(reference_params=...)", model, reference_params)
        now = {name: p.detach() for name, p in model.named_parameters() if name in start}
        outputs = as_function(model)(now, x)
        gap = expect_outputs(outputs, n_examples(x), f"{where}(model=...)")
        moved = {name: now[name] - start[name] for name in start}
        for term in terms(f"{where}(model=...)", model, start, moved, x):
            gap = gap - term  # one after another: each is far smaller than the one before
    error = float(torch.linalg.vector_norm(gap.double()))
    expect(
        math.isfinite(error),
        f"{where}(model=...)",
        "finite outputs at both points",
        error,
        hint="the training run that led here may have diverged.",
        error=NumericalError,
    )
    return error / math.sqrt(n_examples(x))
