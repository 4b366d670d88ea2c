"""Which of the three ways a model's gradients are computed."""

import warnings
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from overparam._errors import expect
from overparam.federated.engine.flat_parameters import FlatParameters
from overparam.federated.engine.looped import Looped
from overparam.federated.engine.mapped import Mapped
from overparam.federated.engine.stacked import Stacked
from overparam.federated.engine.stacked_layers import stacked_layers

Engine: TypeAlias = Literal["auto", "stacked", "vmap", "loop"]
Gradients: TypeAlias = Looped | Mapped | Stacked
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

_STACKS = "a chain (nn.Sequential) of nn.Linear, nn.LayerNorm, nn.Flatten and activations"


def expect_no_batch_norm(model: nn.Module, where: str) -> None:
    """Raise for layers that keep statistics of their batches, which are no parameters."""
    for name, module in model.named_modules():
        batch = isinstance(module, nn.modules.batchnorm._BatchNorm)
        running = getattr(module, "running_mean", None) is not None
        expect(
            not (batch or running), where, "a model whose layers keep no statistics of batches",
            f"{type(module).__name__} {name!r}",
            hint="take nn.GroupNorm or nn.LayerNorm: the running averages of clients that see "
            "other data are not averages of parameters.",
        )  # fmt: skip


def chosen_engine(
    engine: Engine, flat: FlatParameters, loss: Loss, x: Tensor, y: Tensor, where: str, *,
    plain_targets: bool = True,
) -> Gradients:  # fmt: skip
    """The engine by name, or for "auto" the first that suits.

    "stacked" where every layer is known; else the loop for convolutions on the CPU, where a
    grouped convolution is slower than one after another; else `vmap`, or the loop for what vmap
    refuses when it is tried on two clients, or would itself take one after another, slower still.

    Args:
        engine: What was asked for.
        flat: The model's parameters.
        loss: Of a batch.
        x: Two examples.
        y: Their targets.
        where: The public call this is for.
        plain_targets: Whether no class is negative, which cross-entropy may have to ignore.
    """
    if engine in ("auto", "stacked"):
        layers = stacked_layers(flat.model, flat)
        expect(
            engine == "auto" or layers is not None, where, _STACKS, type(flat.model).__name__,
            hint="engine='auto' finds another way.",
        )  # fmt: skip
        if layers is not None:
            return Stacked(flat, loss, layers, plain_targets)
    if engine == "loop" or (engine == "auto" and _convolves_on_cpu(flat)):
        return Looped(flat, loss)
    mapped = Mapped(flat, loss)
    try:
        rows = torch.stack([flat.start()] * 2)
        with warnings.catch_warnings():
            if engine == "auto":
                warnings.filterwarnings("error", "There is a performance drop", UserWarning)
            mapped(rows, torch.stack([x, x]), torch.stack([y, y]))
    except (RuntimeError, UserWarning) as error:
        expect(
            engine == "auto", where, "a model and a loss that torch.func.vmap can take",
            str(error).strip().splitlines()[0], hint="engine='auto' finds another way.",
        )  # fmt: skip
        return Looped(flat, loss)
    return mapped


def _convolves_on_cpu(flat: FlatParameters) -> bool:
    kinds = nn.modules.conv._ConvNd
    return flat.device.type == "cpu" and any(isinstance(m, kinds) for m in flat.model.modules())
