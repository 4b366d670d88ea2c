"""Data and models in the forms that people have them: what is called, unpacked or gone through."""

import inspect
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

from overparam._batch import is_graph, tensors
from overparam._errors import expect
from overparam._random_numbers import own_random_numbers
from overparam.datasets.dataset import Dataset as Table
from overparam.diagnosis.examples import Examples
from overparam.diagnosis.race.held import kept_generators

_BATCH = 32
_LIGHTNING = ("lightning", "pytorch_lightning")
# Items whose time is taken, and the part of the budget that loading all of them may have.
_TIMED, _PART = 8, 0.1


def called(where: str, given: Any, *args: Any) -> Any:
    """What a function gives that makes a model or data; of no argument, or of those it takes."""
    if isinstance(given, (nn.Module, Dataset)) or not callable(given):
        return given
    try:
        wanted = [
            p for p in inspect.signature(given).parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]  # fmt: skip
    except (TypeError, ValueError):  # one written in C does not say
        wanted = []
    expect(
        len(wanted) <= len(args), where,
        f"a function of {'at most one argument, the examples' if args else 'no argument'}",
        f"one that asks for {', '.join(p.name for p in wanted)}", error=TypeError,
    )  # fmt: skip
    return given(*args[: len(wanted)])


def loaders_of(data: Any, batch_size: int | None, seconds: float, who: str) -> tuple[Any, Any]:
    """Loaders of training and test batches, or (None, None) for data that belong into memory.

    Args:
        data: What was given as data.
        batch_size: For a data set without a loader.
        seconds: The budget: a data set that takes more than a tenth of it to load is not loaded.
        who: The call this is for, for the error message.
    """
    if callable(getattr(data, "train_dataloader", None)):
        return _of_module(data)
    if isinstance(data, (tuple, list)) and len(data) == 2 and _is_loader(data[0]):
        return data[0], data[1]
    if isinstance(data, IterableDataset) or (isinstance(data, Dataset) and _apart(data, seconds)):
        shuffle = None if isinstance(data, IterableDataset) else True
        return DataLoader(data, batch_size or _BATCH, shuffle=shuffle), None
    if isinstance(data, Dataset) or not _is_loader(data):
        return None, None
    expect(
        not isinstance(data, Iterator), f"{who}(data=...)",
        "batches that can be gone through again and again", f"a {type(data).__name__}",
        hint="pass a DataLoader or a list: list(batches) makes one.",
    )  # fmt: skip
    return data, None


def _is_loader(data: Any) -> bool:
    """Whether it gives batches when it is gone through."""
    known = (Tensor, np.ndarray, str, bytes, Mapping, Table, Examples, Dataset)
    if isinstance(data, (tuple, list)):
        # Batches in a list; a pair or four of arrays is data in memory.
        return isinstance(data, list) and len(data) > 0 and all(
            is_graph(one) or (isinstance(one, (tuple, list, Mapping)) and tensors(one))
            for one in data
        )  # fmt: skip
    frame = hasattr(data, "iloc") or hasattr(data, "__array__") or is_graph(data)
    return isinstance(data, DataLoader) or (
        isinstance(data, Iterable) and not isinstance(data, known) and not frame
    )


def _of_module(module: Any) -> tuple[Any, Any]:
    """Loaders of a data module in the manner of Lightning."""
    for name, args in (("prepare_data", ()), ("setup", ("fit",))):
        if callable(prepare := getattr(module, name, None)):
            prepare(*args)
    validates: Any = getattr(type(module), "val_dataloader", None)
    inherited = getattr(validates, "__module__", "").split(".")[0] in _LIGHTNING  # and raises
    test = None if validates is None or inherited else module.val_dataloader()
    if isinstance(test, (list, tuple)):
        test = test[0] if test else None
    return module.train_dataloader(), test


def in_memory(loader: Any) -> TensorDataset | None:
    """The tensors of a loader that does nothing but take some of them in random order."""
    if not isinstance(loader, DataLoader) or loader.collate_fn is not default_collate:
        return None
    sampler, data = loader.sampler, loader.dataset
    shuffled = type(sampler) is RandomSampler and not sampler.replacement
    plain = type(sampler) is SequentialSampler or (shuffled and len(sampler) == len(data))  # type: ignore[arg-type]
    own = type(loader) is DataLoader and loader.batch_size is not None and plain
    return data if own and type(data) is TensorDataset and len(data.tensors) == 2 else None


def _apart(data: Any, seconds: float) -> bool:
    """Whether a data set is gone through and not loaded, for its items or the time they take."""
    inner = data.dataset if isinstance(data, Subset) else data
    if isinstance(inner, TensorDataset) or not hasattr(data, "__len__") or len(data) == 0:
        return False
    timed = min(_TIMED, len(data))
    with own_random_numbers(), kept_generators(data):
        began = time.perf_counter()
        items = [data[i] for i in range(timed)]
        each = (time.perf_counter() - began) / timed
    pairs = isinstance(items[0], (tuple, list)) and len(items[0]) == 2
    return not pairs or each * len(data) > _PART * seconds
