"""A network as it is trained: with the statistics of its batch, and random layers that repeat."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from overparam._batch import call, is_graph, n_examples, take, tensors
from overparam._random_numbers import seeded

# Why a process cannot measure alone.
SHARED = "layers that share their statistics with other processes"


def is_evaluating(model: nn.Module) -> bool:
    """Whether no part of the model is in training mode."""
    return not any(module.training for module in model.modules())


def is_partly_frozen(model: nn.Module) -> bool:
    """Whether it is in training mode and parts of it are not."""
    return model.training and not all(module.training for module in model.modules())


def set_training(model: nn.Module) -> None:
    """Training mode for every part. To be used inside `undisturbed`, which puts the modes back.

    The flags alone: a module's own `train` may do more, such as split weights it has merged.
    """
    for module in model.modules():
        module.training = True


@contextmanager
def put_into_training(model: nn.Module) -> Iterator[None]:
    """`model.train()` inside; every part in its own mode again afterwards, frozen ones too."""
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        _put_back(modes)


def mixes(model: nn.Module, x: Any) -> bool:
    """Whether outputs of an example depend on the others of its batch, in the present modes.

    Found by what the model does: the first and the last of three examples are passed through
    once with others and once with themselves. Random layers draw the same each time. To be used
    inside `undisturbed`.

    Args:
        model: A module.
        x: Its inputs. A single example has no others: then it does not.

    Cost:
        Three forward passes of three examples.
    """
    n = n_examples(x)
    if n < 2:
        return False
    together = _outputs(model, take(x, [0, n // 2, n - 1]))
    for place, index in ((0, 0), (2, n - 1)):
        alike = _outputs(model, take(x, [index] * 3))
        if any(_differ(a[place], b[place]) for a, b in zip(together, alike, strict=True)):
            return True
    return False


def uses_batch_statistics(model: nn.Module, x: Any) -> bool:
    """Whether training normalises by the statistics of its batch, as batch norm does.

    By what the model does in the modes that training has: outputs depend on the others of a batch,
    and in evaluation mode they do not. The nodes of a graph always do, so that of a model of graphs
    it is told by the kind of its layers. To be used inside `undisturbed`.
    """
    with as_trained(model, x):
        if any(isinstance(m, _BatchNorm) and m.training for m in model.modules()):
            return True
        if is_graph(x) or is_evaluating(model) or not _mixes_if_it_runs(model, x):
            return False
        for module in model.modules():
            module.training = False
        return not _mixes_if_it_runs(model, x)


@contextmanager
def as_trained(model: nn.Module, x: Any) -> Iterator[None]:
    """The modes that training has, inside.

    Those of a model of which a part is in training mode are taken as they are, so that layers
    that were frozen in evaluation mode stay so. One that is in evaluation mode altogether is
    taken to be so for the measurement's sake: where training ties examples together, as batch
    norm does, it is put into training mode. To be used inside `undisturbed`.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        if is_evaluating(model):
            set_training(model)
            if not _mixes_if_it_runs(model, x):
                _put_back(modes)
        yield
    finally:
        _put_back(modes)


@contextmanager
def statistics_fixed(model: nn.Module, x: Any) -> Iterator[None]:
    """Evaluation mode inside; batch norm in training mode has the statistics of `x`, held fixed.

    Examples are then apart. To be used inside `undisturbed`, which puts the buffers back.
    """
    modes = [(module, module.training) for module in model.modules()]
    layers: list[Any] = [part for part, mode in modes if mode and _keeps_averages(part)]
    if n_examples(x) < 2 or waits_for_others(model):  # there are none to be had
        layers = []
    momenta = [layer.momentum for layer in layers]
    try:
        if layers:
            for layer in layers:
                layer.momentum = 1.0  # the average is that of the last batch alone
            with torch.no_grad(), repeatably(model):
                call(model, x)
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        _put_back(modes)


def _keeps_averages(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.running_mean is not None


def waits_for_others(model: nn.Module) -> bool:
    """Whether a layer would share its statistics with other processes, which do not measure now."""
    distributed = torch.distributed
    alone = not (distributed.is_available() and distributed.is_initialized())
    if alone or distributed.get_world_size() < 2:
        return False
    return any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())


def repeatably(model: nn.Module) -> AbstractContextManager[None]:
    """Inside, random layers draw the same numbers as the last time: one mask per measurement."""
    return seeded(0, _device(model))


def _mixes_if_it_runs(model: nn.Module, x: Any) -> bool:
    try:
        return mixes(model, x)
    except Exception:  # in training mode some models want targets too: then they stay as they are
        return False


def _put_back(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        module.training = mode


def _device(model: nn.Module) -> torch.device:
    return next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def _outputs(model: nn.Module, x: Any) -> list[Tensor]:
    with torch.no_grad(), repeatably(model):
        return [value for value in tensors(call(model, x)) if value.ndim and len(value) == 3]


def _differ(one: Tensor, other: Tensor) -> bool:
    """Whether they differ by more than rounding: batches of one length sum in one order."""
    if one.shape != other.shape:
        return True
    if not one.is_floating_point():
        return not torch.equal(one, other)
    scale = float(one.abs().max()) if one.numel() else 0.0
    tolerance = 2e3 * torch.finfo(one.dtype).eps * scale
    return not torch.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True)
