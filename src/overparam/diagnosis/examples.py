"""Data in any form a user has them, as tensors in memory."""

import dataclasses
import math
from collections.abc import Mapping, Sized
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from overparam._batch import n_examples, on_device, take
from overparam._environment import digest
from overparam._errors import expect
from overparam._model import expect_inputs
from overparam._types import Inputs
from overparam.datasets.dataset import Dataset, held_out
from overparam.datasets.files import resolve
from overparam.datasets.preparation import prepare
from overparam.diagnosis.race.held import kept_generators
from overparam.errors import InvalidType


@dataclass
class Examples:
    """The data as tensors, and what is known of it.

    `x_test` may be empty. `class_names` is empty for anything but a classification of whole
    examples; `image_shape` is (channels, height, width) where inputs are images.
    """

    name: str
    x: Inputs
    y: Tensor
    x_test: Inputs
    y_test: Tensor
    class_names: tuple[str, ...] = ()
    column_names: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] | None = None

    @property
    def digest(self) -> str:
        """A hash of the numbers."""
        return digest(self.x, self.y, self.x_test, self.y_test)

    def to(self, device: torch.device) -> "Examples":
        """The same examples on a device."""
        places = ("x", "y", "x_test", "y_test")
        return replace(self, **{name: on_device(getattr(self, name), device) for name in places})


def as_examples(
    data: Any, *, seed: int = 0, test: bool = True, who: str = "diagnose", masked: bool = False
) -> Examples:
    """Data in any of the accepted forms, as tensors.

    Args:
        data: The name of a set, a file (``"houses.csv:price"``), a `Dataset`, arrays or
            tensors ``(x, y)`` or ``(x_train, y_train, x_test, y_test)``, or a torch `Dataset`
            or `DataLoader` of pairs.
        seed: Draws the fifth that is set aside where no test part is given.
        test: Whether to set one aside.
        who: The call this is for, for the error message.
        masked: Whether targets may be missing (NaN), as the loss may leave them out.
    """
    where = f"{who}(data=...)"
    if isinstance(data, str):
        data = resolve(data, seed=seed, where=f"{who}(data={data!r})")
    if isinstance(data, Dataset):
        return _from_dataset(data)
    if isinstance(data, Examples):
        return data
    if isinstance(data, DataLoader):
        data = data.dataset
    if isinstance(data, torch.utils.data.Dataset):
        data = _stacked(data, where)
    expect(
        isinstance(data, (tuple, list)) and len(data) in (2, 4),
        where,
        "a name, a file, a Dataset, a torch Dataset or DataLoader, or a tuple of 2 or 4 arrays",
        f"{type(data).__name__}"
        + (f" of length {len(data)}" if isinstance(data, (tuple, list)) else ""),
        error=TypeError,
    )
    x, y = _inputs(data[0], where), _targets(data[1], where)
    expect_inputs(x, f"{who}(data=x)")
    expect_inputs(_known(y, masked), f"{who}(data=y)", n_examples(x))
    if len(data) == 4:
        x_test, y_test = _inputs(data[2], where), _targets(data[3], where)
        expect_inputs(x_test, f"{who}(data=x_test)")
        expect_inputs(_known(y_test, masked), f"{who}(data=y_test)", n_examples(x_test))
    elif not test:
        none = slice(0, 0)
        x_test, y_test = take(x, none), y[none]
    else:
        labels = y.cpu().numpy() if is_labels(y) else np.zeros(len(y))
        mask = torch.from_numpy(held_out(labels, stratified=True, seed=seed, where=where))
        x, y, x_test, y_test = take(x, ~mask), y[~mask], take(x, mask), y[mask]
    shape = tuple(x.shape[1:]) if isinstance(x, Tensor) else ()
    image = (shape[0], shape[1], shape[2]) if len(shape) == 3 and shape[0] in (1, 3, 4) else None
    n_classes = int(torch.cat([y, y_test]).max()) + 1 if is_labels(y) else 0
    return Examples(
        "your data", x, y, x_test, y_test,
        class_names=tuple(map(str, range(n_classes))), image_shape=image,
    )  # fmt: skip


def _targets(array: Any, where: str) -> Tensor:
    """Numbers, labels among them in the precision that losses take."""
    y = _numbers(array, where)
    return y.long() if is_labels(y) and y.dtype != torch.bool else y


def _known(y: Tensor, masked: bool) -> Tensor:
    """The targets, with numbers for those that may be missing."""
    return y.nan_to_num(0.0, math.inf, -math.inf) if masked and y.is_floating_point() else y


def _stacked(data: torch.utils.data.Dataset, where: str) -> tuple[Tensor, Tensor]:
    """All pairs of a torch data set as two tensors."""
    n = len(data) if isinstance(data, Sized) else 0
    expect(n > 0, where, "a data set with a length and examples", f"{n} examples")
    with kept_generators(data):
        pairs = [data[i] for i in range(n)]
    expect(
        all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs),
        where,
        "a data set of pairs (input, target)",
        f"items of {type(pairs[0]).__name__}",
        error=TypeError,
    )
    parts = [[_numbers(pair[part], where) for pair in pairs] for part in (0, 1)]
    for part in parts:
        shapes = sorted({tuple(one.shape) for one in part})
        expect(len(shapes) == 1, where, "examples of one shape", f"shapes {shapes[:3]}")
    return torch.stack(parts[0]), torch.stack(parts[1])


def _inputs(part: Any, where: str) -> Inputs:
    """One array or several as tensors."""
    if isinstance(part, Mapping):
        return {str(name): _numbers(value, where) for name, value in part.items()}
    if isinstance(part, tuple):
        return tuple(_numbers(value, where) for value in part)
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return part  # type: ignore[return-value]
    return _numbers(part, where)


def _numbers(array: Any, where: str) -> Tensor:
    """An array as a tensor of its own numbers, double precision as single."""
    try:
        tensor = array
        if not isinstance(array, Tensor):
            held = np.asarray(array)  # pandas lends memory that nobody is to write to
            tensor = torch.as_tensor(held if held.flags.writeable else held.copy())
    except (TypeError, ValueError, RuntimeError, OverflowError) as problem:
        raise InvalidType(
            f"`{where}` expected arrays of numbers, got {type(array).__name__} ({told(problem)})."
        ) from problem
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def is_labels(y: Tensor) -> bool:
    """Whether targets are one class index per example."""
    return y.ndim == 1 and not y.is_floating_point() and not y.is_complex()


def _from_dataset(dataset: Dataset) -> Examples:
    prepared = prepare(dataset)
    parts = (prepared.x_train, prepared.y_train, prepared.x_test, prepared.y_test)
    x, y, x_test, y_test = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    image = (x.shape[1], x.shape[2], x.shape[3]) if dataset.kind == "images" else None
    return Examples(
        dataset.name, x, y, x_test, y_test,
        class_names=dataset.class_names if is_labels(y) else (),
        column_names=prepared.column_names, image_shape=image,
    )  # fmt: skip


def batch_size_of(data: Any) -> int | None:
    """The batch size that data come with, if they do."""
    return getattr(data, "batch_size", None) if isinstance(data, DataLoader) else None


def told(problem: Exception) -> str:
    """What some other code raised, in a line."""
    return f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0]}"
