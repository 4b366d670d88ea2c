"""What is diagnosed: a model, its data, its loss and its optimizer, on copies of the user's."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam._batch import call, n_examples, take
from overparam._copies import copied
from overparam._deprecated import old_names
from overparam._devices import expect_device, synchronize
from overparam._errors import complaint, expect
from overparam._forward import seen_through
from overparam._model import expect_outputs, expect_separate, repeats, undisturbed
from overparam._numbers import described, is_integer, is_number
from overparam._own_loss import own_value, seen_with_loss, with_targets
from overparam._types import Forward, Loss
from overparam.diagnosis.examples import Examples, is_labels, told
from overparam.diagnosis.feed import Feed, fed, first_examples
from overparam.diagnosis.losses import misfit, named_loss, unspread
from overparam.diagnosis.losses import squared_error_of_labels as squared_error_of_labels
from overparam.diagnosis.scheduled import Schedule as Schedule
from overparam.diagnosis.scheduled import expect_schedule, put_rates
from overparam.diagnosis.split import Split
from overparam.diagnosis.trainee import OptimizerSource as OptimizerSource
from overparam.diagnosis.trainee import copies, expect_step
from overparam.errors import InvalidValue


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
        batch_size: Examples per batch.
        schedule: Makes the scheduler for a training of so many steps, or `None`.
        clip_norm: Largest norm of the gradient of a step, or `None`.
        accumulate: Batches per optimizer step.
        feed: Where the batches come from, if that is a loader; then `examples` are a sample.
        unmeasured: Why neither kernel nor outputs are measured; empty if they are.
    """

    model: nn.Module
    optimizer: Optimizer
    rate_given: bool
    loss: Loss
    loss_name: str
    examples: Examples
    batch_size: int
    schedule: Schedule | None = None
    clip_norm: float | None = None
    accumulate: int = 1
    feed: Feed | None = None
    unmeasured: str = ""

    @property
    def n_train(self) -> int:
        """Training examples, as far as their number is known."""
        return n_examples(self.examples.x) if self.feed is None else self.feed.n_train

    @property
    def identified(self) -> bool:
        """Whether every example has a class and a place, so that its label can be judged."""
        return self.feed is None and self.n_classes is not None

    @property
    def compared(self) -> bool:
        """Whether the loss is known as a function of outputs and targets."""
        return self.loss is not _unknown_loss

    @property
    def n_classes(self) -> int | None:
        """Number of classes, if every example has one label and one row of logits."""
        return len(self.examples.class_names) or None

    @property
    def epoch(self) -> int:
        """Optimizer steps of an epoch; what is too little for a step is left out of it."""
        if self.feed is not None:
            return self.feed.epoch(self.accumulate)
        return max(n_examples(self.examples.x) // self.batch_size // self.accumulate, 1)


def batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of batches of one size, epoch after epoch, each epoch in a new order."""
    expect(
        1 <= size <= n, "TrainingTask(batch_size=...)", f"a size from 1 to {n}, the examples", size
    )
    while True:
        order = torch.randperm(n, generator=generator)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]


__getattr__ = old_names(__name__, Task="overparam.diagnosis.task.TrainingTask")


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


def build_task(
    model: nn.Module | Callable[..., nn.Module] | None,
    examples: Examples,
    loss: Loss | str | None,
    optimizer: OptimizerSource,
    batch_size: int | None,
    device: torch.device | None = None,
    who: str = "diagnose",
    *,
    forward: Forward | None = None,
) -> TrainingTask:
    """A task on copies of the model and the optimizer, everything checked once.

    An optimizer without a usable rate of its own (none was given, or a function that makes
    one was) is told its rate later, by the advice.
    """
    where = f"{who}(model=...)"
    if model is None:
        model = default_model(examples)
    expect(
        isinstance(model, nn.Module), where, "a torch module", type(model).__name__, error=TypeError
    )
    assert isinstance(model, nn.Module)
    twin, made, given = copies(
        model, optimizer, loss, device, who, lambda twin: _initialise(twin, examples)
    )
    n = n_examples(examples.x)
    few = take(examples.x, slice(0, 4)), examples.y[:4]
    if loss is None and own_value(lambda: with_targets(twin, *few), twin) is not None:
        twin, function = seen_with_loss(who, twin, *few, None, forward)
        name = f"the loss of {twin._get_name()}"
    else:
        twin = seen_through(twin, forward, who)
        function, name = named_loss(loss, bool(examples.class_names), who)
    size = min(32, n) if batch_size is None else batch_size
    expect(
        1 <= size <= n, f"{who}(batch_size=...)", f"a size from 1 to {n}, the training set", size
    )
    task = TrainingTask(twin, made, given, function, name, examples, size)
    _expect_runs(task, who)
    return task


def fed_task(
    model: nn.Module,
    loader: Any,
    test: Any,
    loss: Loss | str | None,
    optimizer: OptimizerSource,
    forward: Forward | None,
    split: Split | None,
    device: torch.device,
    *,
    few: bool,
    seconds: float,
    who: str,
    tell: Callable[[float], None],
) -> TrainingTask:
    """A task whose batches come from a loader; see `fed` for the arguments."""
    where = f"{who}(model=...)"
    expect(
        isinstance(model, nn.Module), where, "a torch module", type(model).__name__, error=TypeError
    )

    def initialise(twin: nn.Module) -> None:
        _initialise(twin, first_examples(loader, split, who))

    twin, made, given = copies(model, optimizer, loss, device, who, initialise)
    found = fed(
        twin, loader, test, loss, forward, split, device,
        few=few, seconds=seconds, who=who, tell=tell,
    )  # fmt: skip
    task = TrainingTask(
        found.model, made, given, found.loss or _unknown_loss, found.loss_name, found.examples,
        found.batch_size, feed=found.feed, unmeasured=found.unmeasured,
    )  # fmt: skip
    if not few and not found.unmeasured:
        _expect_runs(task, who)
    return task


def _unknown_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """In place of a loss that only the model knows."""
    raise InvalidValue("`diagnose(loss=...)` expected a function of outputs and targets, got None.")


def with_details(
    task: TrainingTask,
    schedule: Schedule | None,
    clip_norm: float | None,
    accumulate: int,
    who: str = "diagnose",
) -> TrainingTask:
    """The task with what else its training does, checked."""
    expect(
        schedule is None or callable(schedule), f"{who}(schedule=...)",
        "a function of an optimizer and a number of steps that makes a scheduler, or None",
        described(schedule), error=TypeError,
    )  # fmt: skip
    if schedule is not None:  # which may bring the peak that the training has
        put_rates(task.optimizer, expect_schedule(schedule, task.optimizer, f"{who}(schedule=...)"))
    if clip_norm is not None:
        words, where = "a positive norm, or None", f"{who}(clip_norm=...)"
        expect(is_number(clip_norm), where, words, described(clip_norm), error=TypeError)
        expect(clip_norm > 0, where, words, clip_norm)
    words, where = "a number of batches per step, at least 1", f"{who}(accumulate=...)"
    expect(is_integer(accumulate), where, words, described(accumulate), error=TypeError)
    expect(accumulate >= 1, where, words, accumulate)
    return replace(task, schedule=schedule, clip_norm=clip_norm, accumulate=accumulate)


def _initialise(model: nn.Module, examples: Examples) -> None:
    """Give lazy layers their sizes, by a pass in evaluation mode."""
    modes = [(module, module.training) for module in model.modules()]
    with torch.no_grad():
        call(model.eval(), take(examples.x, slice(0, 2)))
    for module, mode in modes:
        module.training = mode


def _expect_runs(task: TrainingTask, who: str) -> None:
    """Raise unless model, data and loss fit; note what of the examples can be measured."""
    examples, where = task.examples, f"{who}(model=...)"
    rows = _telling_rows(examples)
    n, x, y = len(rows), take(examples.x, rows), examples.y[rows]
    with undisturbed(task.model, evaluation=True), torch.no_grad():
        try:
            outputs = call(task.model, x)
        except Exception as problem:  # a model may raise anything
            shape = tuple(x.shape) if isinstance(x, Tensor) else "several tensors"
            raise InvalidValue(
                f"`{where}` expected a model that takes a batch of shape {shape}, got "
                f"{told(problem)}"
            ) from problem
        outputs = expect_outputs(outputs, n, where, x)
        expect(
            bool(torch.isfinite(outputs).all()),
            where,
            "finite outputs at the start",
            "NaN or infinity",
            hint="look for NaN in the parameters.",
        )
        try:
            expect_separate(task.model, x, outputs, where)
        except InvalidValue:
            if repeats(task.model, x, outputs):
                raise
            task.unmeasured = (
                "the outputs are others at every call. Draw nothing in `forward` while "
                "`self.training` is False."
            )
        try:
            with unspread():
                value = task.loss(outputs, y)
        except Exception as problem:
            if (wrong := _not_classes(examples, outputs)) is not None:
                raise complaint(
                    f"{who}(data=...)", *wrong, hint="give the last layer one output per class."
                ) from problem
            hint = misfit(problem)
            raise InvalidValue(
                f"`{who}(loss=...)` expected a loss that takes outputs of shape "
                f"{tuple(outputs.shape)} and targets of shape {tuple(y.shape)} {y.dtype} from "
                f"inputs of shape {tuple(x.shape) if isinstance(x, Tensor) else '...'}, got "
                f"{told(problem)}" + f".\nHint: {hint}" * bool(hint)
            ) from problem
        expect(
            isinstance(value, Tensor) and value.numel() == 1,
            f"{who}(loss=...)", "a loss that returns one number for a batch",
            f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__,
            hint="use reduction='mean'.",
        )  # fmt: skip
        missing = int(y.isnan().sum()) if y.is_floating_point() else 0
        if missing:
            task.unmeasured = "targets are missing (NaN), which the loss leaves out"
            expect(
                bool(torch.isfinite(value)), f"{who}(data=y)", "finite numbers",
                f"{int(examples.y.isnan().sum())} of {examples.y.numel()} that are NaN",
                hint="impute or drop the rows that hold them, or give a loss that leaves them out.",
            )  # fmt: skip
        expect(
            bool(torch.isfinite(value)), f"{who}(model=...)",
            "a finite loss at the start", float(value),
            hint="look for NaN in the parameters, or a loss of log(0).",
        )  # fmt: skip
        if examples.class_names:
            task.examples = replace(examples, class_names=_classes(task, outputs, y))


def _classes(task: TrainingTask, outputs: Tensor, y: Tensor) -> tuple[str, ...]:
    """Names of the classes that outputs score; none where they do not, or labels are left out.

    One logit for two classes is no row of scores, nor is what a loss compares with other examples.
    """
    names, width = task.examples.class_names, outputs.shape[-1] if outputs.ndim == 2 else 0
    if width == 1 or (is_labels(y) and _not_classes(task.examples, outputs)):
        return ()
    if not width or not is_labels(y):
        return names

    def loss(shift: int) -> float:
        scored = nn.functional.one_hot((y.long() + shift) % width, width)
        return float(task.loss(8.0 * scored.to(outputs) - 8.0, y))

    try:
        right = loss(0)
        scores = all(right < loss(shift) for shift in range(1, min(width, 6)))
    except Exception:  # a loss of the user's
        scores = False
    if not scores:
        return ()
    # Those that no example has are classes all the same.
    return names + tuple(map(str, range(len(names), width)))


def _telling_rows(examples: Examples) -> list[int]:
    """A few examples, among them those by which one sees whether a loss takes all targets."""
    y, n = examples.y, n_examples(examples.x)
    rows: list[int] = []
    if is_labels(y):
        order = y.argsort(stable=True)
        rows = [int(order[0]), int(order[n // 2]), int(order[-1])]
    elif y.is_floating_point():
        gone = y.reshape(n, -1).isnan().any(1).int()
        rows = [int(gone.argmax()), int(gone.argmin())]
    return sorted(list(dict.fromkeys([*rows, *range(min(n, 4))]))[:4])


def _not_classes(examples: Examples, outputs: Tensor) -> tuple[str, str] | None:
    """Labels that were expected and that came, where they do not fit the outputs."""
    if not (examples.class_names and is_labels(examples.y)):
        return None
    low, high = int(examples.y.min()), int(examples.y.max())
    # One output for two classes is the logit of one of them.
    width = outputs.shape[-1] if outputs.ndim == 2 and outputs.shape[-1] > 1 else 0
    if low >= 0 and (width == 0 or high < width):
        return None
    last = f"{width - 1}, the model's {width} outputs" if width else "1, the model's one output"
    return f"labels from 0 to {last}", f"labels from {low} to {high}"


def place_of(model: Any, device: str | torch.device | None, who: str = "diagnose") -> torch.device:
    """Where to work: as asked, else where the model is."""
    if device is not None:
        return expect_device(device, f"{who}(device=...)")
    first = next(iter(model.parameters()), None) if isinstance(model, nn.Module) else None
    place = torch.device("cpu") if first is None else first.device
    expect(
        place.type != "meta", f"{who}(model=...)", "parameters that have values",
        "some on no device (meta)", hint="model.to_empty(device='cpu'), then set them.",
    )  # fmt: skip
    return place


def optimizer_name(optimizer: Optimizer) -> str:
    """Its class, and its momentum if it has some."""
    group = optimizer.param_groups[0]
    momentum, kind = group.get("momentum", 0), "Nesterov " if group.get("nesterov") else ""
    extra = f" with {kind}momentum {momentum:g}" if momentum else ""
    return f"{type(optimizer).__name__}{extra}"


def step_seconds(task: TrainingTask, who: str = "diagnose", count: int = 6) -> float:
    """Seconds of a training step, the median of a few on a copy, with what loading takes."""
    model, optimizer = copied(task.model, task.optimizer)
    feed, times = task.feed, []
    index = torch.arange(task.batch_size)
    pair = None if feed else (take(task.examples.x, index), task.examples.y[index])
    device = next(model.parameters()).device

    def step() -> None:
        optimizer.zero_grad()
        if feed is not None:
            feed.loss_of(model, feed.first).backward()
        else:
            assert pair is not None
            task.loss(call(model, pair[0]), pair[1]).backward()
        if task.clip_norm is not None:
            trained = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, task.clip_norm)
        optimizer.step()

    for _ in range(count):
        synchronize(device)
        began = time.perf_counter()
        expect_step(optimizer, f"{who}(model=...)", f"of {task.batch_size} examples", step)
        synchronize(device)
        times.append(time.perf_counter() - began)
    return median(times[1:] or times) + (0.0 if feed is None else feed.seconds)
