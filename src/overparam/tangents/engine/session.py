"""Opening a model for differentiation: every check, and a state that is left as it was."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import nn

from overparam._batch import form, is_graph, tensors
from overparam._errors import expect
from overparam._model import expect_deterministic, expect_inputs, trainable, undisturbed
from overparam._switches import no_mkldnn
from overparam._types import Inputs, Params


def chosen_params(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None,
    names: Sequence[str] | None,
    chunk_size: int | None,
    name: str,
    first: str = "x1",
) -> Params:
    """Every check that needs no forward pass; the parameters to differentiate by."""
    where = f"{name}(model=...)"
    expect(
        isinstance(model, nn.Module),
        where,
        "a torch.nn.Module",
        type(model).__name__,
        error=TypeError,
    )
    expect(
        chunk_size is None or (isinstance(chunk_size, int) and chunk_size >= 1),
        f"{name}(chunk_size=...)",
        "an integer ≥ 1, or None",
        chunk_size,
    )
    chosen = trainable(model, names, where)
    expect_deterministic(model, where)
    _expect_plain_embeddings(model, where)
    device = next(iter(chosen.values())).device
    for x, label in ((x1, first), (x2, "x2")):
        if x is None:
            continue
        devices = {str(value.device) for value in tensors(x)}
        expect(
            devices <= {str(device)},
            f"{name}({label}=...)",
            f"inputs on the model's device {device}",
            f"inputs on {', '.join(sorted(devices))}",
        )
        expect_inputs(x, f"{name}({label}=...)")
        expect(
            not is_graph(x), f"{name}({label}=...)", "inputs that can be taken one by one",
            f"a graph's {type(x).__name__}, whose nodes belong together",
            hint="pass the nodes' features, and the edges by "
            "forward=lambda model, x: model(x, edges), if nodes do not mix.",
        )  # fmt: skip
    if x2 is not None:
        expect(
            form(x1) == form(x2),
            f"{name}(x2=...)",
            f"examples of shape {form(x1)}, like those of `{first}`",
            form(x2),
            hint="the first axis of both is the batch axis.",
        )
    return chosen


def _expect_plain_embeddings(model: nn.Module, where: str) -> None:
    """Raise for embeddings that change their weights, or their gradient, as they go."""
    for name, module in model.named_modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            expect(
                module.max_norm is None and not module.scale_grad_by_freq,
                where,
                "embeddings without max_norm and scale_grad_by_freq",
                f"{type(module).__name__} {name!r} that has one of them",
                hint="max_norm changes the weights in every forward pass, and "
                "scale_grad_by_freq makes gradients depend on the batch.",
            )


@contextmanager
def opened(model: nn.Module, params: Params) -> Iterator[None]:
    """Differentiate by `params` alone; afterwards the model is as it was."""
    chosen = {id(p) for p in params.values()}
    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        if any(isinstance(module, nn.LSTM) for module in model.modules()):
            # One fused operation hides all of an LSTM's parameters; the plain one does not.
            stack.enter_context(no_mkldnn())
        for p in model.parameters():
            if p.is_floating_point():
                p.requires_grad_(id(p) in chosen)
        yield
