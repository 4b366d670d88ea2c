"""A network as a weighted sum of many small ones, and how much one of them matters."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import jacrev, vmap

from overparam._batch import n_examples, take
from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam._exclusive import exclusive
from overparam._model import (
    as_function,
    evaluate_at,
    expect_inputs,
    expect_own_outputs,
    trainable,
    undisturbed,
)
from overparam._types import Inputs, Params
from overparam.errors import InvalidType, NumericalError

SCALES = ("sqrt", "mean")
_CONTAINERS = ("_parameters", "_buffers", "_modules", "training")


class AssemblyModel(nn.Module):
    """A weighted sum of k models of one form, each with parameters of its own.

        f(w; x) = (1/s) Σ_i v_i g_i(w_i; x),     s = √k, unless `scale` says otherwise.

    The parameters are apart, so that the Hessian is block-diagonal,

        ‖∇²f‖ = max_i |v_i| ‖∇²g_i‖ / s,        ‖∇f‖² = Σ_i v_i² ‖∇g_i‖² / s²:

    at s = √k and v_i of order 1 the gradient keeps its size while the Hessian falls as 1/√k.
    What breaks this is one v_i of order √k: see `dominance`. The v_i are **not trained**.

    Args:
        submodels: k ≥ 1 modules that differ in the values of parameters and buffers only. They
            are **copied**: training the assembly leaves them as they are.
        weights: v, k finite numbers; `None` means that all are 1.
        scale: "sqrt" for s = √k, "mean" for s = k, or s itself, a positive number.

    Attributes:
        submodels: A module of the submodels' form whose parameters are theirs, stacked along a
            new first axis of length k. It is not to be called.
        weights: v, a buffer of shape (k,).
        divisor: s.

    Raises:
        TypeError: If a submodel is no module, or a weight no number.
        ValueError: If there is none, two are not of one form, or a weight is not finite, or the
            scale is not positive or unknown.

    Cost:
        One call of all k together, by `torch.vmap`. A tangent kernel of it takes per-example
        gradients, n times the parameters.

    Example:
        Four copies of one linear map add up to 4/√4 of it:

        >>> part = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.ones_(part.weight)
        >>> AssemblyModel([part] * 4)(torch.ones(1, 1)).item()
        2.0

    References:
        Liu, Zhu, Belkin (2022), arXiv:2203.05104: wide networks as assemblies of weak models.
    """

    weights: Tensor

    @checked
    def __init__(
        self,
        submodels: Sequence[nn.Module],
        weights: Float[Tensor, "k"] | Sequence[float] | None = None,
        *,
        scale: str | float = "sqrt",
    ) -> None:
        super().__init__()
        models = list(submodels)
        where = "AssemblyModel(submodels=...)"
        expect(len(models) > 0, where, "at least one module", "none")
        for model in models:
            kind = type(model).__name__
            expect(isinstance(model, nn.Module), where, "modules", kind, error=TypeError)
        forms = [_form(model) for model in models]
        other = next((i for i, form in enumerate(forms) if not _equal(form, forms[0])), None)
        expect(
            other is None,
            where,
            "submodels of one form, mode included",
            f"number {other}, which differs from number 0 in more than the values of parameters",
            hint="their layers, shapes, types and settings must be the same.",
        )
        self.submodels = _stacked(models)
        self.divisor = _divisor(scale, len(models))
        values = _weights(weights, len(models))
        like = next((p for p in self.submodels.parameters() if p.is_floating_point()), values)
        self.register_buffer("weights", values.to(like))

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """The scaled sum of all submodels' outputs."""
        stacked = dict(_places(self.submodels))

        def one(tensors: Params) -> Tensor:
            # Places are listed once each: torch restores tied ones wrongly (torch issue 164759).
            return evaluate_at(self.submodels, tensors, args, kwargs)

        results = vmap(one, randomness="different")(stacked)
        return torch.tensordot(self.weights / self.divisor, results, dims=1)

    @checked
    def submodel(self, index: int) -> nn.Module:
        """A copy of one submodel with its present parameters.

        Args:
            index: Its number, from 0; negative numbers count from the end.

        Raises:
            ValueError: If there is no such submodel.
        """
        k = len(self.weights)
        expect(-k <= index < k, "AssemblyModel.submodel(index=...)", f"one of {k}", index)
        return _with_tensors(self.submodels, lambda tensor: tensor.detach()[index].clone())

    def extra_repr(self) -> str:
        """Number and divisor, for `print(model)`."""
        return f"{len(self.weights)} submodels, divisor={self.divisor:.3g}"


@checked
def dominance(model: AssemblyModel, x: Inputs) -> Float[Tensor, "n"]:
    """The share of the largest submodel in an assembly's gradient, at each input.

        D(x) = max_i |v_i| ‖∇g_i(x)‖ / (Σ_j v_j² ‖∇g_j(x)‖²)^(1/2),

    between 1/√k, where all count the same, and 1, where one is all. Over several outputs ‖∇g‖ is
    the Frobenius norm of the Jacobian. Near 1 a network need not be close to its linearisation,
    however many submodels it has.

    Args:
        model: The assembly; left as it was.
        x: n inputs.

    Returns:
        D at each input.

    Raises:
        TypeError: If the model is not an `AssemblyModel`, or x holds no tensors.
        ValueError: If x is empty or not finite, a layer draws random numbers or mixes examples,
            or nothing in the model is trained.
        NumericalError: If the gradient is zero or not finite at an input.

    Cost:
        n backward passes per output; memory of one example's Jacobian.

    Example:
        Weights 3 and 4 on equal gradients:

        >>> part = torch.nn.Linear(1, 1, bias=False)
        >>> dominance(AssemblyModel([part, part], [3.0, 4.0]), torch.ones(1, 1))
        tensor([0.8000])

    References:
        Liu, Zhu, Belkin (2022), arXiv:2203.05104: that no submodel may dominate. The measure
        is ours.
    """
    where = "dominance(model=...)"
    kind = type(model).__name__
    expect(isinstance(model, AssemblyModel), where, "an AssemblyModel", kind, error=TypeError)
    expect_inputs(x, "dominance(x=...)")
    expect_own_outputs(model, x, where)
    params = {name: p.detach() for name, p in trainable(model, where=where).items()}
    function = as_function(model)
    shares = []
    with undisturbed(model):
        for number in range(n_examples(x)):
            example = take(x, slice(number, number + 1))
            jacobian = jacrev(lambda p, example=example: function(p, example).flatten())(params)
            squares = torch.stack(
                [part.transpose(0, 1).flatten(1).square().sum(1) for part in jacobian.values()]
            ).sum(0)
            shares.append((squares.max() / squares.sum()).sqrt())
    result = torch.stack(shares).detach()
    lost = int((~torch.isfinite(result)).sum())
    expect(
        lost == 0,
        "dominance(x=...)",
        "a gradient that is finite and not zero",
        f"another at {lost} of {len(result)} inputs",
        error=NumericalError,
    )
    return result


def _weights(given: Tensor | Sequence[float] | None, k: int) -> Tensor:
    """A copy of v, k ones if there is none."""
    where, wanted = "AssemblyModel(weights=...)", f"{k} finite numbers, one for each submodel"
    if given is None:
        return torch.ones(k)
    try:
        single = isinstance(given, Tensor)
        values = given.detach().clone() if single else torch.tensor(given, dtype=torch.float64)
    except (TypeError, ValueError) as problem:
        raise InvalidType(f"`{where}` expected {wanted}, got {given!r}.") from problem
    expect(values.shape == (k,), where, wanted, f"shape {tuple(values.shape)}")
    expect(bool(torch.isfinite(values).all()), where, wanted, values.tolist())
    return values


def _divisor(scale: str | float, k: int) -> float:
    """The divisor s as a number."""
    where = "AssemblyModel(scale=...)"
    if isinstance(scale, str):
        if scale not in SCALES:
            unknown(where, "a scale", scale, SCALES)
        return math.sqrt(k) if scale == "sqrt" else float(k)
    expect(math.isfinite(scale) and scale > 0, where, "a finite number > 0", scale)
    return float(scale)


def _form(model: nn.Module) -> list[Any]:
    """Everything about a module but the values of its parameters and buffers."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    shapes = [(name, t.shape, t.dtype, t.device, t.requires_grad) for name, t in tensors]
    settings = [
        (name, type(module), module.training, {
            key: value for key, value in vars(module).items() if key not in _CONTAINERS
        })
        for name, module in model.named_modules()
    ]  # fmt: skip
    return [shapes, settings]


def _equal(one: Any, other: Any) -> bool:
    """Whether two forms are the same; settings without a truth value of `==` are not."""
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):
        return False


def _stacked(models: list[nn.Module]) -> nn.Module:
    """A module of their form, every tensor stacked over the models."""
    originals = [dict(_every(model)) for model in models]
    names = {id(tensor): name for name, tensor in originals[0].items()}
    made = {
        key: torch.stack([tensors[name].detach() for tensors in originals])
        for key, name in names.items()
    }
    return _with_tensors(models[0], lambda tensor: made[id(tensor)])


def _places(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every place that holds a parameter or buffer, each once, also if two hold the same."""
    for path, module in model.named_modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                yield (f"{path}.{name}" if path else name), tensor


def _with_tensors(model: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy of a module with every parameter and buffer replaced, tied ones alike."""
    memo: dict[int, Any] = {}
    with exclusive(model):
        for _, tensor in _every(model):
            new = change(tensor)
            if isinstance(tensor, nn.Parameter):
                new = nn.Parameter(new, requires_grad=tensor.requires_grad)
            memo.setdefault(id(tensor), new)
        return copy.deepcopy(model, memo)


def _every(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers, each once."""
    return [*model.named_parameters(), *model.named_buffers()]
