"""A training whose batches a loader gives: what is measured of it, and its loss."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from overparam._batch import call, is_graph, joined, n_examples, on_device, take, tensors
from overparam._errors import expect
from overparam._switches import quietly
from overparam._types import Forward, Loss
from overparam._user_line import user_level
from overparam.diagnosis.budget import UNKNOWN_EPOCH
from overparam.diagnosis.examples import Examples, is_labels
from overparam.diagnosis.feed_loss import loss_of_batches
from overparam.diagnosis.losses import misfit, unspread
from overparam.diagnosis.race.drawn import Drawn
from overparam.diagnosis.split import Split, split_of, unknown_batch
from overparam.errors import OverparamError

# Examples that are measured on, and batches they may take; of a test loader likewise.
_SAMPLE, _BATCHES = 512, 64


@dataclass(frozen=True)
class Feed:
    """Where the batches of a training come from.

    Attributes:
        loader: As the user has it.
        loss_of: The loss of a model on a batch as the loader gives it.
        split: Inputs and targets of one; `None` if that is not known.
        length: Batches of a pass; `None` of a stream.
        n_train: Examples of a pass, as far as that is known; else those of the sample.
        seconds: To load a batch.
        first: The first batch.
        where: The argument that the loader is, for the error messages.
    """

    loader: Iterable[Any]
    loss_of: Callable[[nn.Module, Any], Tensor]
    split: Split | None
    length: int | None
    n_train: int
    seconds: float
    first: Any
    where: str

    def epoch(self, accumulate: int) -> int:
        """Optimizer steps of a pass."""
        return UNKNOWN_EPOCH if self.length is None else max(self.length // accumulate, 1)

    def drawn(self, seed: int) -> Iterator[Any]:
        """Batches without end for a single training."""
        return iter(Drawn(self.loader, seed, keep=False, where=self.where))

    def pair(self, batch: Any, device: torch.device) -> tuple[Any, Any] | None:
        """Inputs and targets of a batch on a device."""
        return None if self.split is None else tuple(on_device(self.split(batch), device))


@dataclass
class Fed:
    """A feed with the model as it is called, and what is measured.

    Attributes:
        feed: The batches and their loss.
        model: The model, under its call.
        loss: Of outputs and targets; `None` if only the model knows it.
        loss_name: What it is called.
        examples: A sample of the first batches; empty if no measurement takes them.
        batch_size: Of the first batch.
        unmeasured: Why neither kernel nor outputs are measured; empty if they are.
    """

    feed: Feed
    model: nn.Module
    loss: Loss | None
    loss_name: str
    examples: Examples
    batch_size: int
    unmeasured: str = ""


def fed(
    model: nn.Module,
    loader: Any,
    test: Any,
    loss: Loss | str | None,
    forward: Forward | None,
    split: Split | None,
    device: torch.device,
    *,
    few: bool,
    seconds: float,
    who: str,
    tell: Callable[[float], None] = lambda done: None,
) -> Fed:
    """What a training with a loader consists of, everything tried once.

    Args:
        model: A copy of the user's, on its device.
        loader: Gives batches, again and again.
        test: Gives batches to test on, or `None`.
        loss: Of outputs and targets, or a name; `None` is that of the model, or by the targets.
        forward: Picks the outputs.
        split: Inputs and targets of a batch.
        device: Where the model is.
        few: Whether a single batch is enough, since only the race is run.
        seconds: That loading for measurements may take, once it has begun.
        who: The call this is for, for the error messages.
        tell: Told the part of the sample that is loaded.
    """
    where = f"{who}(data=...)"
    batches, times = _first(loader, 1 if few else _BATCHES, seconds, where, tell)
    first = batches[0]
    splits = split_of(first, model, split, who)
    pair = None if splits is None else tuple(on_device(splits(first), device))
    adapted, function, loss_of, name = loss_of_batches(
        model, first, splits, loss, forward, device, who
    )
    _expect_loss(adapted, loss_of, first, who)
    length = _length(loader)
    size = n_examples(pair[0] if pair is not None else first) if tensors(first) else 1
    known = None
    if length is not None:
        known = len(loader.dataset) if hasattr(loader, "dataset") else length * size
    why, examples = _measurable(adapted, function, pair, few)
    if not why and splits is not None and not few:
        examples = _sample(adapted, batches, test, splits, device, where)
    feed = Feed(loader, loss_of, splits, length, known or size, median(times), first, where)
    if why and not few:
        less = "kernel" if function is not None else "curvature, kernel"
        warnings.warn(
            f"{who} races and trains, but measures no {less} or outputs: {why}",
            RuntimeWarning,
            stacklevel=user_level(),
        )
    return Fed(feed, adapted, function, name, examples, size, why)


def first_examples(loader: Any, split: Split | None, who: str) -> Examples:
    """Inputs and targets of the first batch, for who has yet to make a model of that size."""
    batches, _ = _first(loader, 1, 0.0, f"{who}(data=...)", lambda done: None)
    splits = split_of(batches[0], None, split, who)
    if splits is None:
        raise unknown_batch(batches[0], who)
    x, y = splits(batches[0])
    return Examples("your data", x, y, take(x, slice(0, 0)), y[:0])


def _first(
    loader: Any, most: int, seconds: float, where: str, tell: Callable[[float], None]
) -> tuple[list[Any], list[float]]:
    """The first batches, and how long each took; the first whatever it takes."""
    batches: list[Any] = []
    times: list[float] = []
    source, total, began = iter(Drawn(loader, 0, keep=False, where=where)), 0, time.perf_counter()
    length = _length(loader)
    expect(length != 0, where, "at least one batch", "a loader of length 0",
           hint="with drop_last=True a batch must be full.")  # fmt: skip
    for _ in range(min(most, length or most)):
        asked = time.perf_counter()
        batches.append(next(source))
        times.append(time.perf_counter() - asked)
        total += n_examples(batches[-1]) if tensors(batches[-1]) else 1
        tell(min(total / _SAMPLE, 1.0))
        if total >= _SAMPLE or time.perf_counter() - began > seconds:
            break
    return batches, times


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except TypeError:  # a stream
        return None


def _expect_loss(model: nn.Module, loss_of: Any, batch: Any, who: str) -> None:
    """Raise in a line unless model, loss and batches fit together."""
    where, words = f"{who}(model=...)", "a model and a loss that take the loader's batches"
    try:
        with quietly(), unspread(), torch.no_grad():
            value = loss_of(model, batch)
    except OverparamError:
        raise
    except Exception as problem:
        came = (str(problem).strip() or "no message").splitlines()[0]
        hint = misfit(problem)
        if not hint and isinstance(problem, (AttributeError, TypeError, AssertionError)):
            hint = ("a model that returns a tuple, a dict or an object needs forward=lambda model, "
                    "x: model(x)[0] or the like, one that takes parts of its inputs forward=lambda "
                    "model, x: model(x.a, x.b); batches in a form of their own split=lambda batch: "
                    "(inputs, targets).")  # fmt: skip
        expect(False, where, words, f"{type(problem).__name__}: {came}", hint, TypeError)
    single = isinstance(value, Tensor) and value.numel() == 1
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    expect(single, f"{who}(loss=...)", "a loss that returns one number for a batch", shape,
           hint="use reduction='mean'.")  # fmt: skip
    expect(bool(torch.isfinite(value)), where, "a finite loss at the start", float(value),
           hint="look for NaN in the parameters or the data.")  # fmt: skip


def _measurable(model: nn.Module, loss: Loss | None, pair: Any, few: bool) -> tuple[str, Examples]:
    """Why nothing is measured, or nothing; and no examples."""
    none = Examples("your data", torch.zeros(0), torch.zeros(0), torch.zeros(0), torch.zeros(0))
    if loss is None:
        return ("the loss is computed inside the model. Pass loss=, a function of outputs and "
                "targets, and forward=, which picks the outputs."), none  # fmt: skip
    if not isinstance(pair[1], Tensor):
        return ("targets are not one tensor. Pass split=lambda batch: (inputs, targets)."), none
    if is_graph(pair[0]):
        return "the nodes of a graph cannot be taken one by one.", none
    return "", none


def _sample(
    model: nn.Module, batches: list[Any], test: Any, split: Split, device: Any, where: str
) -> Examples:
    """The first examples of the training batches, and of the test batches."""
    x, y = _joined([on_device(split(batch), device) for batch in batches])
    if test is None:
        x_test, y_test = take(x, slice(0, 0)), y[:0]
    else:
        drawn = list(islice(Drawn(test, 0, where=where), min(_length(test) or 8, 8)))
        x_test, y_test = _joined([on_device(split(batch), device) for batch in drawn])
    names: tuple[str, ...] = ()
    if is_labels(y):
        with torch.no_grad():
            outputs = call(model, take(x, slice(0, 2)))
        if isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] > 1:
            names = tuple(map(str, range(outputs.shape[1])))
    shape = tuple(x.shape[1:]) if isinstance(x, Tensor) else ()
    image = (shape[0], shape[1], shape[2]) if len(shape) == 3 and shape[0] in (1, 3, 4) else None
    return Examples("your data", x, y, x_test, y_test, class_names=names, image_shape=image)


def _joined(pairs: list[Any]) -> tuple[Any, Tensor]:
    """Batches as one, or the first where they differ in form, as padded ones do."""
    try:
        return joined([x for x, _ in pairs]), torch.cat([y for _, y in pairs])
    except (RuntimeError, ValueError, KeyError, TypeError):
        return pairs[0]
