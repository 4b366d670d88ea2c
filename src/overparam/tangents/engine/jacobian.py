"""Per-example Jacobians by differentiation: any parameter of any model, at full price."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from overparam._batch import call, chunks, n_examples, take
from overparam._model import as_function
from overparam._switches import quietly
from overparam._types import Inputs, Params


def jacobians(
    model: nn.Module,
    x: Inputs,
    params: Params,
    combine: Callable[[Tensor], Tensor],
    *,
    chunk_size: int | None = None,
) -> Params:
    """∂ combine(outputs) / ∂ parameter for each example, (examples, K, *parameter).

    Args:
        model: Its other parameters stay as they are.
        x: The examples.
        params: What to differentiate by.
        combine: Maps one example's C outputs, flattened, to K.
        chunk_size: Examples differentiated at a time.
    """
    parts = [
        _batched(model, batch, params, combine) or _one_by_one(model, batch, params, combine)
        for batch in (take(x, part) for part in chunks(n_examples(x), chunk_size))
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in params}


def _batched(
    model: nn.Module, x: Inputs, params: Params, combine: Callable[[Tensor], Tensor]
) -> Params | None:
    """All examples at once; `None` if vmap cannot, or if what it gives is wrong.

    A few of PyTorch's batching rules are (the gradient of `prelu` by its weight, if there are
    as many examples as outputs), hence the check.
    """
    function = as_function(model)

    def one(values: Params, example: Inputs) -> Tensor:
        batch = take(example, (None,))  # type: ignore[arg-type]
        return combine(function(values, batch).reshape(-1))

    try:
        with torch.no_grad(), quietly():  # a slow batching rule is no news to the caller
            values = {name: p.detach() for name, p in params.items()}
            result = vmap(jacrev(one), in_dims=(None, 0))(values, x)
    except (RuntimeError, ValueError):  # an operation or a branch that vmap cannot take
        return None
    return result if _sums_agree(model, x, params, combine, result) else None


def _sums_agree(
    model: nn.Module,
    x: Inputs,
    params: Params,
    combine: Callable[[Tensor], Tensor],
    jacobian: Params,
) -> bool:
    """Whether Jacobians, summed with random weights, are the gradient autograd gives."""
    with torch.enable_grad():
        outputs = combine(call(model, x).reshape(n_examples(x), -1))
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0)).to(outputs)
    truth = _gradients(outputs, params, weights)
    for name, value in jacobian.items():
        total = torch.tensordot(weights, value, 2)
        scale = float(value.norm()) * float(weights.norm())
        tolerance = min(0.1, torch.finfo(value.dtype).eps ** 0.5)
        if float(torch.dist(total, truth[name])) > tolerance * scale:
            return False
    return True


def _one_by_one(
    model: nn.Module, x: Inputs, params: Params, combine: Callable[[Tensor], Tensor]
) -> Params:
    """One example and one output at a time: slow, and possible for whatever autograd can do."""
    rows = []
    for i in range(n_examples(x)):
        with torch.enable_grad():
            outputs = combine(call(model, take(x, slice(i, i + 1))).reshape(-1))
        units = torch.eye(len(outputs), dtype=outputs.dtype, device=outputs.device)
        rows.append([_gradients(outputs, params, unit) for unit in units])
    return {
        name: torch.stack([torch.stack([output[name] for output in row]) for row in rows])
        for name in params
    }


def _gradients(outputs: Tensor, params: Params, weights: Tensor) -> Params:
    """The gradient of a weighted sum of outputs; zero where nothing depends on a parameter."""
    if not outputs.requires_grad:
        return {name: torch.zeros_like(p) for name, p in params.items()}
    gradients = torch.autograd.grad(
        outputs,
        list(params.values()),
        weights,
        retain_graph=True,
        materialize_grads=True,
        allow_unused=True,
    )
    return {name: g.to_dense() for name, g in zip(params, gradients, strict=True)}
