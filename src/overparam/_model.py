"""A module as a function of its parameters, evaluated without leaving a trace."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from overparam._batch import arguments, call, is_graph, leaves, n_examples, take, tensors
from overparam._errors import complaint, expect
from overparam._exclusive import exclusive, exclusively, held
from overparam._findings import found_before
from overparam._kept_state import kept_state
from overparam._numbers import n_bad
from overparam._parts import named_parts, parts
from overparam._random_numbers import own_random_numbers, python_numbers_kept, states
from overparam._switches import full_precision, kept_activations, plain_attention, quietly
from overparam._types import Inputs, Params
from overparam.errors import OverparamError

# Layers whose training mode ties the examples of a batch together or draws random numbers:
# a per-example derivative then does not exist, or is another one at every call.
_MIXES = (nn.modules.batchnorm._BatchNorm,)
_LOOK_UP = (nn.Embedding, nn.EmbeddingBag)
_DRAWS = (nn.modules.dropout._DropoutNd, nn.RReLU)


@exclusively
def trainable(model: nn.Module, names: Sequence[str] | None = None, where: str = "") -> Params:
    """Parameters to differentiate by, under the first name of each.

    A tied parameter occurs once. They are the model's own tensors, not copies.

    Args:
        model: Any module.
        names: Those to keep; `None` means all that require a gradient.
        where: The public call this is for, for the error message.
    """
    everything: Params = dict(model.named_parameters())
    if names is None:
        chosen = {name: p for name, p in everything.items() if p.requires_grad}
        expect(
            chosen,
            where,
            "a model with at least one trainable parameter",
            f"{type(model).__name__} with {len(everything)} parameters, none of which "
            "requires a gradient",
            hint="set requires_grad_(True) on what is trained.",
        )
    else:
        missing = [name for name in names if name not in everything]
        expect(
            not missing and len(names) > 0,
            where.replace("model=", "names=") or "names",
            "names from model.named_parameters()",
            missing or "none",
            hint=f"the model has {', '.join(list(everything)[:6])}"
            + (", …" if len(everything) > 6 else "."),
        )
        chosen = {name: everything[name] for name in names}
    devices = {p.device for p in chosen.values()}
    expect(
        len(devices) == 1,
        where,
        "parameters on one device",
        f"parameters on {', '.join(sorted(map(str, devices)))}",
        hint="move the model to one device first.",
    )
    return chosen


def as_function(model: nn.Module) -> Callable[[Params, Any], Tensor]:
    """The map (params, x) ↦ outputs. Parameters not in `params` keep the model's values."""

    def function(params: Params, x: Any) -> Any:  # a tensor, but for a loss inside the model
        args, kwargs = arguments(model, x)
        with held(model):
            return evaluate_at(model, _every_place(model, params), args, kwargs)

    return function


def evaluate_at(model: nn.Module, places: Params, args: Any, kwargs: Any = None) -> Any:
    """The model with other tensors in the places given, which it holds for that long."""
    with held(model):
        return torch.func.functional_call(model, places, args, kwargs, tie_weights=False)


def _every_place(model: nn.Module, params: Params) -> Params:
    """`params` under the name of every place that holds the same parameter, each place once.

    functional_call would find tied weights itself, but it visits a module that occurs twice
    twice, and then leaves the second visit's tensors behind in the model (torch issue 164759).
    """
    places = [
        (f"{path}.{name}" if path else name, p)
        for path, module in named_parts(model)
        for name, p in module._parameters.items()
    ]
    known = dict(places)
    values = {
        id(known[name] if name in known else model.get_parameter(name)): value
        for name, value in params.items()
    }
    return {place: values[id(p)] for place, p in places if id(p) in values}


def expect_inputs(x: Any, where: str, n: int | None = None) -> None:
    """Raise unless `x` is a non-empty batch of finite numbers, of n examples if n is given."""
    # An array among tensors would be handed on whole, whichever examples are taken.
    known = not isinstance(x, np.ndarray) and not any(
        isinstance(value, np.ndarray) for _, value in leaves(x)
    )
    expect(
        known and len(tensors(x)) > 0,
        where,
        "a tensor, or a tuple or mapping of tensors",
        type(x).__name__,
        hint="torch.as_tensor makes one of an array.",
        error=TypeError,
    )
    if is_graph(x):
        lengths = {n_examples(x)}
    else:
        lengths = {len(value) for value in tensors(x) if value.ndim} or {0}
    expect(
        len(lengths) == 1, where, "tensors of one batch length", f"lengths {sorted(lengths)}",
        hint="what belongs to all examples, such as the edges of a graph, is better added by "
        "forward=lambda model, x: model(x, edges).",
    )  # fmt: skip
    expect(lengths != {0}, where, "at least one example", "an empty batch")
    expect(n is None or lengths == {n}, where, f"{n} examples", f"{min(lengths)}")
    for value in tensors(x):
        if value.is_floating_point() and not bool(torch.isfinite(value.sum())):
            bad = int((~torch.isfinite(value)).sum())  # none if only the sum overflowed
            expect(
                bad == 0,
                where,
                "finite numbers",
                f"{bad} of {value.numel()} that are NaN or infinite",
                hint="impute or drop the rows that hold them.",
            )


def unusable(model: nn.Module) -> tuple[str, str, str] | None:
    """Why a model cannot be computed with, whatever the inputs: expected, got and hint."""
    tensors_of = [*model.named_parameters(), *model.named_buffers()]
    places = {value.device for _, value in tensors_of}
    for name, value in tensors_of:
        if is_lazy(value):
            hint = "call it once on a batch."
            return "a model whose parameters have shapes", f"{name!r} without one", hint
        if value.is_meta and len(places) == 1:  # `trainable` complains of several
            hint = "model.to_empty(device=...) and then its weights make it one."
            return "a model with values", f"{name!r} on no device (meta)", hint
    for name, value in model.named_parameters():  # a mask among the buffers may be infinite
        if value.layout == torch.strided and not value.is_meta and n_bad(value):
            hint = "if training diverged, take a smaller learning rate."
            return "a model with finite parameters", f"NaN or infinity in {name!r}", hint
    return None


@exclusively
def expect_deterministic(model: nn.Module, where: str) -> None:
    """Raise if a layer in training mode mixes the batch's examples or draws random numbers."""
    for name, module in model.named_modules():
        expect(
            not (module.training and isinstance(module, _MIXES)),
            where,
            "a model whose output per example does not depend on the others",
            f"{type(module).__name__} {name!r} in training mode",
            hint="call model.eval() first: it then uses its running statistics.",
        )
        expect(
            not (module.training and isinstance(module, _DRAWS) and getattr(module, "p", 1) > 0),
            where,
            "a model without random layers",
            f"{type(module).__name__} {name!r} in training mode",
            hint="call model.eval() first.",
        )


def expect_outputs(outputs: object, n: int, where: str, x: object = None) -> Tensor:
    """`outputs` as a tensor whose first axis is the batch of n examples, or an error."""
    expect(
        isinstance(outputs, Tensor),
        where,
        "a model that returns one tensor",
        f"a {type(outputs).__name__}",
        hint=f"pass {picking(outputs, x)}.",
        error=TypeError,
    )
    assert isinstance(outputs, Tensor)
    expect(
        outputs.ndim >= 1 and len(outputs) == n,
        where,
        f"a model that maps a batch of {n} to {n} outputs",
        f"an output of shape {tuple(outputs.shape)}",
        hint="the first axis is the batch axis.",
    )
    return outputs


def picking(outputs: object, x: object = None) -> str:
    """The argument that picks the tensor out of what a model returns, as one would type it."""
    called = "model(**x)" if isinstance(x, Mapping) else "model(x)"
    if isinstance(x, (tuple, list)):
        called = "model(*x)"
    picked = f"{called}[0]"
    if hasattr(outputs, "logits"):  # mostly of transformers, whose inputs are keywords
        picked = f"{'model(**x)' if x is None else called}.logits"
    elif isinstance(outputs, Mapping):
        rows = (k for k, value in outputs.items() if isinstance(value, Tensor) and value.ndim)
        picked = f"{called}[{next(rows, 'logits')!r}]"
    elif dataclasses.is_dataclass(outputs):
        fields = (f.name for f in dataclasses.fields(outputs))
        rows = (name for name in fields if isinstance(getattr(outputs, name, None), Tensor))
        picked = f"{called}.{next(rows, 'logits')}"
    return f"forward=lambda model, x: {picked}, which picks the tensor that the loss takes"


def expect_own_outputs(model: nn.Module, x: Inputs, where: str) -> None:
    """Raise unless the model takes `x` and gives every example an output of its own.

    Whether it draws random numbers or mixes examples is found by what it does to the first, the
    middle and the last example, not by the classes of its layers. `expect_deterministic` comes
    first, which knows the name of the layer. The nodes of a graph may mix. The model is left as it
    was.
    """
    expect_deterministic(model, where)
    if found_before(model) is not None:
        return
    n = n_examples(x)
    probe = x if is_graph(x) else take(x, sorted({0, n // 2, n - 1}))
    with undisturbed(model), torch.no_grad():
        outputs = expect_outputs(tried(model, probe, where), n_examples(probe), where)
        expect_separate(model, probe, outputs, where)


def tried(model: nn.Module, x: Inputs, where: str) -> Any:
    """`model(x)`; what the model raises becomes the cause of an error of ours."""
    try:
        return call(model, x)
    except Exception as error:
        if isinstance(error, OverparamError):
            raise
        came = (str(error).strip() or "no message").splitlines()[0].rstrip(".")
        forms = " and ".join(str(tuple(value.shape)) for value in tensors(x))
        raise complaint(
            where,
            f"a model that takes the inputs (here of shape {forms})",
            f"{type(error).__name__}: {came}",
            error=TypeError if isinstance(error, TypeError) else ValueError,
        ) from error


def expect_separate(model: nn.Module, x: Inputs, outputs: Tensor, where: str) -> None:
    """Raise unless `outputs` come again, and those of an example also when it comes alone.

    Random layers and layers that mix a batch's examples without being a known kind (dropout
    called as a function, attention over the batch, `x - x.mean(0)`) are found by a repeated pass
    and two of a single example, the first and the last: what looks only at the examples before
    it shows in the last. Like the pass that gave `outputs` it belongs inside `undisturbed`.
    """
    if found_before(model) is not None:
        return
    with torch.no_grad():
        # Dropout of few units drops the same ones twice now and then, so where the generator
        # moved there are more trials: 32 agree by chance once in 1200 where one in five differs.
        first = expect_outputs(tried(model, x, where), n_examples(x), where)
        for _ in range(32):
            before = states()
            difference = _difference(model, x, tried(model, x, where), first)
            expect(
                difference == 0,
                where,
                "a model without random layers",
                f"outputs that differ by {difference:.1e} (relative) from one call to the next",
                hint="call model.eval() first, and give functions such as dropout `self.training`.",
            )
            if before == states():
                break
        n = n_examples(x)
        for index in (0, n - 1) if n > 1 and not is_graph(x) else ():
            one = take(x, slice(index, index + 1))
            with quietly():  # the caller asked for no batch of one
                alone = tried(model, one, where)
                difference = _difference(model, one, alone, outputs[index : index + 1])
                again = difference and _drawn(model, one, alone, where)
            expect(not again, where, "a model without random layers", f"outputs of example {index} "
                   f"that differ by {again:.1e} (relative) from one call to the next",
                   hint="call model.eval() first, or draw nothing in `forward` while "
                   "`self.training` is False.")  # fmt: skip
            expect(
                difference == 0,
                where,
                "a model whose output per example does not depend on the others",
                f"outputs of example {index} that differ by {difference:.1e} (relative) when it "
                "comes alone",
                hint="a derivative per example exists only if each has outputs of its own.",
            )


def repeats(model: nn.Module, x: Inputs, outputs: Tensor) -> bool:
    """Whether the outputs come again; not of a model that samples, or remembers earlier calls."""
    again = (_difference(model, x, call(model, x), outputs) for _ in range(8))
    return not any(again)


def _drawn(model: nn.Module, x: Inputs, outputs: Any, where: str) -> float:
    """How far outputs differ in any of many calls, for a model that seldom draws another number.

    By then it is clear that something is wrong with it, and time does not count.
    """
    if not isinstance(outputs, Tensor):
        return 0.0
    calls = (_difference(model, x, tried(model, x, where), outputs) for _ in range(64))
    return next(filter(None, calls), 0.0)


def _difference(model: nn.Module, x: Inputs, outputs: Any, reference: Tensor) -> float:
    """How far outputs on `x` are from what they should be, relative; 0 if by rounding alone.

    A batch of another length sums in another order: sums of a thousand terms, a few layers
    deep, differ by some 2000 eps of their largest terms.
    """
    if not isinstance(outputs, Tensor) or outputs.shape != reference.shape:
        return math.inf
    if reference.is_complex():
        outputs, reference = torch.view_as_real(outputs), torch.view_as_real(reference)
    if not reference.is_floating_point() or reference.numel() == 0:
        return 0.0 if torch.equal(outputs, reference) else math.inf
    reference = reference.detach()
    if torch.equal(outputs, reference) or not torch.isfinite(reference).all():
        return 0.0  # numbers that are not finite are for others to complain about
    if not torch.isfinite(outputs).all():
        return math.inf  # of one example alone there is no deviation from the mean
    tolerance = 2e3 * torch.finfo(reference.dtype).eps
    scale = float(reference.abs().max()) + torch.finfo(reference.dtype).tiny
    difference = float((outputs - reference).abs().max()) / scale
    if difference > tolerance:
        difference *= scale / max(scale, _terms(model, x))
    return difference if difference > tolerance else 0.0


def _terms(model: nn.Module, x: Inputs) -> float:
    """Σ_p |p · ∂f/∂p| of the examples: the size of the terms that its outputs add up.

    Where they cancel, as at an antisymmetric initialisation, rounding is relative to them.
    """
    params = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        total = call(model, x).sum()
        if not (params and total.requires_grad):
            return 0.0
        gradients = torch.autograd.grad(total, params, materialize_grads=True, allow_unused=True)
    return sum(
        float((p.detach() * g.to_dense()).abs().sum())
        for p, g in zip(params, gradients, strict=True)
    )


@contextmanager
def undisturbed(
    model: nn.Module, *, evaluation: bool = False, sparse: bool = False
) -> Iterator[None]:
    """Leave the model as it was: mode, gradients, buffers, attributes and random numbers.

    Inside, fused attention and the fused Transformer layer are switched to the plain kernels,
    which alone have forward-mode and second derivatives, and nothing is checkpointed, as what is
    computed again is computed with other parameters; TF32 is off, since it makes Gram matrices
    indefinite, and so is autocast. Gradients are on, wherever it is called: within `no_grad` and
    `inference_mode` too.

    Another thread that comes with the same model, or with parts of it, waits. One that goes on
    training the model meanwhile is not kept from it.

    Args:
        model: The module that is about to be evaluated.
        evaluation: Put every submodule into evaluation mode inside.
        sparse: Whether embeddings whose gradients are sparse keep them so, as their optimizers
            may ask for; derivatives of derivatives exist of dense ones.

    Raises:
        RuntimeError: In a thread that holds another model, if this one is in use.
    """
    with ExitStack() as stack:
        stack.enter_context(exclusive(model))
        modules = parts(model)
        places = [place for m in modules for place in (m._parameters, m._buffers)]
        own = [t for place in places for _, t in place.items()]
        stack.enter_context(full_precision())
        stack.enter_context(plain_attention())
        stack.enter_context(kept_activations())
        devices = [t.device for t in own if t is not None]
        stack.enter_context(own_random_numbers(devices))
        stack.enter_context(python_numbers_kept())
        stack.enter_context(gradients_on())
        kind = devices[0].type if devices else "cpu"
        stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(kept_state(modules))
        for module in modules:  # put back with what else is in their attributes
            if evaluation:
                set_mode(module, training=False)
            if isinstance(module, _LOOK_UP) and module.sparse and not sparse:
                module.sparse = False
        yield


def set_mode(module: nn.Module, *, training: bool) -> None:
    """Put one module alone into a mode, which torch keeps among its attributes.

    An assignment goes through all that torch looks for in one: in a network of many small layers
    that takes longer than a layer does.
    """
    attributes = vars(module)
    if "training" in attributes:
        attributes["training"] = training
    else:
        module.training = training


@contextmanager
def gradients_on() -> Iterator[None]:
    """Differentiate inside, also where that was switched off by `no_grad` or `inference_mode`."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield
