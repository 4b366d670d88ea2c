"""From what a caller has (a model, data, a loss, an optimizer) to a task that can be trained."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from overparam._errors import expect
from overparam._order import expect_order
from overparam._types import Forward, Loss
from overparam.diagnosis.examples import as_examples, batch_size_of
from overparam.diagnosis.feed import first_examples
from overparam.diagnosis.source import called, in_memory, loaders_of
from overparam.diagnosis.split import Split
from overparam.diagnosis.task import OptimizerSource, TrainingTask, build_task, fed_task, place_of

# Part of the budget that loading a sample may take, once there is a batch.
_LOADING = 0.05


def prepared_task(
    model: Any,
    data: Any,
    loss: Loss | str | None,
    optimizer: OptimizerSource,
    *,
    forward: Forward | None,
    split: Split | None,
    batch_size: int | None,
    device: str | torch.device | None,
    seed: int,
    seconds: float,
    few: bool,
    who: str,
    tell: Callable[[float], None] = lambda done: None,
) -> TrainingTask:
    """The task on copies, its data in memory or, of a loader, as they come.

    Args:
        model: As given to `diagnose`, as are the next.
        data: Likewise.
        loss: Likewise.
        optimizer: Likewise.
        forward: Likewise.
        split: Likewise.
        batch_size: Likewise.
        device: Likewise.
        seed: Draws the part that is set aside.
        seconds: The budget.
        few: Whether only the race is run: then nothing is set aside, and little is loaded.
        who: The call this is for.
        tell: Told the part of the data that is loaded.
    """
    expect_order(who, model=model, data=data, loss=loss, optimizer=optimizer)
    data = called(f"{who}(data=...)", data)
    loader, test = loaders_of(data, batch_size, seconds, who)
    if split is None and test is None and (held := in_memory(loader)) is not None:
        if batch_size is None:  # a fifth is set aside
            left = len(held) if few else int(0.8 * len(held))
            batch_size = min(batch_size_of(loader) or 1, max(left, 1))
        data, loader = held, None
    if loader is None:
        expect(split is None, f"{who}(split=...)", "None for data in memory", "a function",
               hint="it splits the batches of a loader.")  # fmt: skip
        examples = as_examples(
            data, seed=seed, test=not few, who=who,
            masked=loss is not None and not isinstance(loss, str),
        )  # fmt: skip
        model = called(f"{who}(model=...)", model, examples)
        place = place_of(model, device, who)
        return build_task(
            model, examples.to(place), loss, optimizer, batch_size, place, who, forward=forward
        )
    own = isinstance(data, DataLoader) and batch_size is not None
    expect(
        not own, f"{who}(batch_size=...)", "None, as the loader has its own", batch_size,
        hint="DataLoader(..., batch_size=) sets it.",
    )  # fmt: skip
    expect(model is not None, f"{who}(model=...)", "a model for the batches of a loader", None,
           error=TypeError)  # fmt: skip
    if not isinstance(model, nn.Module):
        model = called(f"{who}(model=...)", model, first_examples(loader, split, who))
    place = place_of(model, device, who)
    return fed_task(
        model, loader, test, loss, optimizer, forward, split, place,
        few=few, seconds=_LOADING * seconds, who=who, tell=tell,
    )  # fmt: skip
