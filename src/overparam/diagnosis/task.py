"""What is diagnosed: a model, its data, its loss and its optimizer, on copies of the user's."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from overparam._batch import call, n_examples, on_device, take
from overparam._deprecated import old_names
from overparam._environment import digest
from overparam._errors import expect
from overparam._exclusive import exclusive
from overparam._model import expect_inputs, expect_outputs, expect_separate, trainable, undisturbed
from overparam._types import Inputs, Loss
from overparam.datasets.dataset import Dataset, held_out
from overparam.datasets.files import resolve
from overparam.datasets.preparation import prepare
from overparam.errors import InvalidType, InvalidValue

OptimizerSource = Optimizer | Callable[[Iterable[Tensor]], Optimizer] | None


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


@dataclass
class TrainingTask:
    """All that a diagnosis works on. The model and the optimizer are copies.

    Attributes:
        model: The network.
        optimizer: Of its parameters.
        rate_given: Whether the optimizer's rate is the user's, and not one to be found.
        loss: `loss(outputs, targets)`, a mean over examples.
        loss_name: What the loss is called.
        examples: Inputs and targets, to train on and to test on.
        batch_size: Examples per step.
    """

    model: nn.Module
    optimizer: Optimizer
    rate_given: bool
    loss: Loss
    loss_name: str
    examples: Examples
    batch_size: int

    @property
    def n_classes(self) -> int | None:
        """Number of classes, if every example has one label and one row of logits."""
        return len(self.examples.class_names) or None


__getattr__ = old_names(__name__, Task="overparam.diagnosis.task.TrainingTask")


def as_examples(data: Any, *, seed: int = 0) -> Examples:
    """Data in any of the accepted forms, as tensors.

    Args:
        data: The name of a set, a file (``"houses.csv:price"``), a `Dataset`, arrays or
            tensors ``(x, y)`` or ``(x_train, y_train, x_test, y_test)``, or a torch `Dataset`
            or `DataLoader` of pairs.
        seed: Draws the fifth that is set aside where no test part is given.
    """
    where = "diagnose(data=...)"
    if isinstance(data, str):
        data = resolve(data, seed=seed)
    if isinstance(data, Dataset):
        return _from_dataset(data)
    if isinstance(data, Examples):
        return data
    if isinstance(data, torch.utils.data.DataLoader):
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
    x, y = _inputs(data[0]), _numbers(data[1])
    expect_inputs(x, "diagnose(data=x)")
    expect_inputs(y, "diagnose(data=y)", n_examples(x))
    if len(data) == 4:
        x_test, y_test = _inputs(data[2]), _numbers(data[3])
        expect_inputs(x_test, "diagnose(data=x_test)")
        expect_inputs(y_test, "diagnose(data=y_test)", n_examples(x_test))
    else:
        labels = y.cpu().numpy() if _is_labels(y) else np.zeros(len(y))
        mask = torch.from_numpy(held_out(labels, stratified=True, seed=seed, where=where))
        x, y, x_test, y_test = take(x, ~mask), y[~mask], take(x, mask), y[mask]
    shape = tuple(x.shape[1:]) if isinstance(x, Tensor) else ()
    image = (shape[0], shape[1], shape[2]) if len(shape) == 3 and shape[0] in (1, 3, 4) else None
    n_classes = int(max(y.max(), y_test.max())) + 1 if _is_labels(y) else 0
    return Examples(
        "your data", x, y, x_test, y_test,
        class_names=tuple(map(str, range(n_classes))), image_shape=image,
    )  # fmt: skip


def _stacked(data: torch.utils.data.Dataset, where: str) -> tuple[Tensor, Tensor]:
    """All pairs of a torch data set as two tensors."""
    n = len(data) if isinstance(data, Sized) else 0
    expect(n > 0, where, "a data set with a length and examples", f"{n} examples")
    pairs = [data[i] for i in range(n)]
    expect(
        all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs),
        where,
        "a data set of pairs (input, target)",
        f"items of {type(pairs[0]).__name__}",
        error=TypeError,
    )
    parts = [[_numbers(pair[part]) for pair in pairs] for part in (0, 1)]
    for part in parts:
        shapes = sorted({tuple(one.shape) for one in part})
        expect(len(shapes) == 1, where, "examples of one shape", f"shapes {shapes[:3]}")
    return torch.stack(parts[0]), torch.stack(parts[1])


def _inputs(part: Any) -> Inputs:
    """One array or several as tensors."""
    if isinstance(part, Mapping):
        return {str(name): _numbers(value) for name, value in part.items()}
    if isinstance(part, tuple):
        return tuple(_numbers(value) for value in part)
    return _numbers(part)


def _numbers(array: Any) -> Tensor:
    """An array as a tensor of its own numbers, double precision as single."""
    try:
        tensor = array if isinstance(array, Tensor) else torch.as_tensor(np.asarray(array))
    except (TypeError, ValueError, RuntimeError, OverflowError) as problem:
        raise InvalidType(
            f"`diagnose(data=...)` expected arrays of numbers, got {type(array).__name__} "
            f"({told(problem)})."
        ) from problem
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _is_labels(y: Tensor) -> bool:
    """Whether targets are one class index per example."""
    return y.ndim == 1 and not y.is_floating_point() and not y.is_complex()


def _from_dataset(dataset: Dataset) -> Examples:
    prepared = prepare(dataset)
    parts = (prepared.x_train, prepared.y_train, prepared.x_test, prepared.y_test)
    x, y, x_test, y_test = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    image = (x.shape[1], x.shape[2], x.shape[3]) if dataset.kind == "images" else None
    return Examples(
        dataset.name, x, y, x_test, y_test,
        class_names=dataset.class_names if _is_labels(y) else (),
        column_names=prepared.column_names, image_shape=image,
    )  # fmt: skip


def default_model(examples: Examples) -> nn.Module:
    """The built-in network: two hidden layers of 256 ReLUs, in PyTorch's parametrisation."""
    assert isinstance(examples.x, Tensor)
    inputs = math.prod(examples.x.shape[1:])
    outputs = len(examples.class_names) or math.prod(examples.y.shape[1:])
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, 256), nn.ReLU(),
        nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, outputs),
    )  # fmt: skip


def squared_error_of_labels(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean over examples and classes of (output − one-hot label)²."""
    target = nn.functional.one_hot(labels, outputs.shape[-1]).to(outputs)
    return nn.functional.mse_loss(outputs, target)


def _as_loss(loss: Loss | str | None, examples: Examples) -> tuple[Loss, str]:
    """The loss as a function of outputs and targets as they are stored, and its name."""
    if loss is None:
        loss = "cross_entropy" if examples.class_names else "mse"
    if isinstance(loss, str):
        expect(
            loss in ("mse", "cross_entropy"),
            "diagnose(loss=...)",
            "'mse', 'cross_entropy' or a function of outputs and targets",
            repr(loss),
        )
        loss = nn.MSELoss() if loss == "mse" else nn.CrossEntropyLoss()
    expect(
        callable(loss), "diagnose(loss=...)", "a function of outputs and targets, or a name",
        f"{type(loss).__name__} {loss!r:.60}", error=TypeError,
    )  # fmt: skip
    name = getattr(loss, "__name__", type(loss).__name__)
    if isinstance(loss, nn.MSELoss) and examples.class_names:
        return squared_error_of_labels, "MSELoss of one-hot labels"
    return loss, name


def build_task(
    model: nn.Module | Callable[..., nn.Module] | None,
    examples: Examples,
    loss: Loss | str | None,
    optimizer: OptimizerSource,
    batch_size: int | None,
    device: torch.device | None = None,
) -> TrainingTask:
    """A task on copies of the model and the optimizer, everything checked once.

    An optimizer without a usable rate of its own (none was given, or a function that makes
    one was) is told its rate later, by the advice.
    """
    where = "diagnose(model=...)"
    if model is None:
        model = default_model(examples)
    expect(
        isinstance(model, nn.Module), where, "a torch module", type(model).__name__, error=TypeError
    )
    assert isinstance(model, nn.Module)
    given = isinstance(optimizer, Optimizer)
    with exclusive(model):
        model, made = copy.deepcopy(
            (model, optimizer if isinstance(optimizer, Optimizer) else None)
        )
    if not isinstance(optimizer, Optimizer):
        if any(nn.parameter.is_lazy(p) for p in model.parameters()):
            _initialise(model, examples)
        chosen = list(trainable(model, None, where).values())
        expect(
            optimizer is None or callable(optimizer), "diagnose(optimizer=...)",
            "an optimizer, or a function that makes one of parameters",
            f"{type(optimizer).__name__} {optimizer!r:.60}", error=TypeError,
        )  # fmt: skip
        made = SGD(chosen, lr=1.0) if optimizer is None else optimizer(chosen)
        given = optimizer is not None
        expect(
            isinstance(made, Optimizer), "diagnose(optimizer=...)",
            "an optimizer, or a function that makes one of parameters",
            f"a function that returns {type(made).__name__}", error=TypeError,
        )  # fmt: skip
    assert made is not None
    trainable(model, None, where)
    if device is not None:
        model.to(device)
    function, name = _as_loss(loss, examples)
    n = n_examples(examples.x)
    size = min(32, n) if batch_size is None else batch_size
    expect(
        1 <= size <= n, "diagnose(batch_size=...)", f"a size from 1 to {n}, the training set", size
    )
    task = TrainingTask(model, made, given, function, name, examples, size)
    _expect_runs(task)
    return task


def told(problem: Exception) -> str:
    """What some other code raised, in a line."""
    return f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0]}"


def _initialise(model: nn.Module, examples: Examples) -> None:
    """Give lazy layers their sizes, by a pass in evaluation mode."""
    mode = model.training
    with torch.no_grad():
        call(model.eval(), take(examples.x, slice(0, 2)))
    model.train(mode)


def _expect_runs(task: TrainingTask) -> None:
    """Raise unless the model takes the data and the loss takes what the model gives."""
    examples, where = task.examples, "diagnose(model=...)"
    n = min(n_examples(examples.x), 4)
    x, y = take(examples.x, slice(0, n)), examples.y[:n]
    with undisturbed(task.model, evaluation=True), torch.no_grad():
        try:
            outputs = call(task.model, x)
        except Exception as problem:  # a model may raise anything
            shape = tuple(x.shape) if isinstance(x, Tensor) else "several tensors"
            raise InvalidValue(
                f"`{where}` expected a model that takes a batch of shape {shape}, got "
                f"{told(problem)}"
            ) from problem
        outputs = expect_outputs(outputs, n, where)
        expect(
            bool(torch.isfinite(outputs).all()),
            where,
            "finite outputs at the start",
            "NaN or infinity",
            hint="look for NaN in the parameters.",
        )
        expect_separate(task.model, x, outputs, where)
        if examples.class_names and _is_labels(y):
            low, high = int(examples.y.min()), int(examples.y.max())
            width = outputs.shape[-1] if outputs.ndim == 2 else 0
            expect(
                low >= 0 and (width == 0 or high < width),
                "diagnose(data=...)",
                f"labels from 0 to {width - 1}, the model's {width} outputs",
                f"labels from {low} to {high}",
                hint="give the last layer one output per class.",
            )
        try:
            value = task.loss(outputs, y)
        except Exception as problem:
            raise InvalidValue(
                f"`diagnose(loss=...)` expected a loss that takes outputs of shape "
                f"{tuple(outputs.shape)} and targets of shape {tuple(y.shape)} {y.dtype}, got "
                f"{told(problem)}"
            ) from problem
        expect(
            isinstance(value, Tensor) and value.numel() == 1,
            "diagnose(loss=...)", "a loss that returns one number for a batch",
            f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__,
            hint="use reduction='mean'.",
        )  # fmt: skip
        expect(
            bool(torch.isfinite(value)), "diagnose(model=...)",
            "a finite loss at the start", float(value),
            hint="look for NaN in the parameters, or a loss of log(0).",
        )  # fmt: skip
