"""What a diagnosis measures of a network before its run and after it."""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import SGD

from overparam._batch import call, n_examples, take
from overparam._model import undisturbed
from overparam._switches import quietly
from overparam._training_mode import is_partly_frozen, mixes, repeatably, set_training
from overparam._types import Inputs, Params
from overparam._user_line import user_level
from overparam.curvature.gauss_newton import GGNOperator
from overparam.diagnosis.model_constants import model_constants
from overparam.diagnosis.task import TrainingTask
from overparam.expansions.linearized import linearization_error
from overparam.linalg.lanczos import power_iteration
from overparam.optim.critical_rate import critical_learning_rate
from overparam.optim.hyperparameters import InterpolationConstants, critical_batch_sizes
from overparam.optim.known_kinds import known_kind
from overparam.optim.mass import MaSS
from overparam.tangents.alignment import eigen_alignment
from overparam.tangents.batch_kernel import batch_ntk
from overparam.tangents.empirical import (
    empirical_ntk,
    sum_of_logits_ntk,
)
from overparam.tangents.input_gradients import agop_diagonal
from overparam.tangents.spectrum import kernel_change

# Rows of the matrix that is decomposed, and outputs per example up to which it is formed.
_ROWS, _OUTPUTS, _EXAMPLES, _FEW_EXAMPLES = 640, 128, 128, 32
# Where training ties a batch together, each row of the kernel takes a backward pass of all.
_TIED_EXAMPLES, _DIRECTIONS, _NUMBERS = 32, 4, 2**26
_PROBE, _FEWEST = 256, 64
_SENSITIVITY, _TRIED = 512, 32
# A kernel that takes this part of what is left leaves no time for a measurement about as dear.
_DEAR = 0.2

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class AtStart:
    """What is measured of the network before it is trained, by `before_run`.

    Attributes:
        initial_limit: Stable limit of the learning rate.
    """

    initial_limit: float = math.nan


@dataclass(frozen=True, kw_only=True)
class AtEnd:
    """What is measured of the trained network, by `after_run`.

    Attributes:
        critical_batch_size: m1*, up to which twice the batch needs half the steps.
        kernel_change: ‖K_T − K_0‖_F / ‖K_0‖_F.
        linearization_error: ‖f_T − f_lin‖ / ‖f_T − f_0‖ on the probe.
        input_share: Part of the average gradient outer product's trace held by each input.
        output_spread: How much outputs differ between examples: over what targets do, 1 for logits.
    """

    critical_batch_size: float = math.nan
    kernel_change: float = math.nan
    linearization_error: float = math.nan
    input_share: Sequence[float] = ()
    output_spread: float = math.nan


@dataclass(frozen=True)
class KernelAtStart:
    """The tangent kernel at initialisation, and what follows from it.

    Attributes:
        x: The examples it was measured on.
        outputs: The network's outputs there.
        kernel: Mean over the outputs, (n, n), float64; where those are too many, the kernel
            of their sum.
        eigenvalues: Of the kernel over n, descending.
        alignment: Part of the squared, centred targets along each eigenvector, the mean over
            outputs; `None` where the kernel is that of the sum.
        constants: Of the loss, by the kernel between outputs; `None` likewise.
        tied: Whether training ties the examples of a batch together, as batch norm does. Then
            outputs and kernel are those of training mode, with the statistics of these examples;
            there are no constants of single ones.
    """

    x: Inputs
    outputs: Tensor
    kernel: Tensor
    eigenvalues: list[float]
    alignment: list[float] | None
    constants: InterpolationConstants | None
    tied: bool = False


def probe_batch(task: TrainingTask, generator: torch.Generator) -> tuple[Inputs, Tensor]:
    """A random part of the training set that curvature is measured on.

    Its size follows the batch's and no clock, since the curvature of more examples is another.
    """
    examples = task.examples
    size = min(max(_FEWEST, 4 * task.batch_size), _PROBE)
    order = torch.randperm(n_examples(examples.x), generator=generator)[:size]
    return take(examples.x, order), examples.y[order]


def kernel_at_start(task: TrainingTask, generator: torch.Generator) -> KernelAtStart | None:
    """The kernel on as many examples as are decomposed in a moment; `None` for fewer than two.

    The kernel between all outputs, and what needs it, is formed up to 128 of them.
    """
    examples, n = task.examples, n_examples(task.examples.x)
    with undisturbed(task.model, evaluation=True), torch.no_grad():
        width = call(task.model, take(examples.x, slice(0, 1))).numel()
    each = width <= _OUTPUTS
    size = min(n, _EXAMPLES, _ROWS // width) if each else min(n, _FEW_EXAMPLES)
    tied = is_tied(task)
    if tied:
        gradient = sum(p.numel() for p in task.model.parameters() if p.requires_grad)
        size = min(n, max(8, min(_TIED_EXAMPLES, _NUMBERS // gradient)))
    if size < 2:
        return None
    index = torch.randperm(n, generator=generator)[:size]
    x, y = take(examples.x, index), examples.y[index]
    outputs, kernel = _outputs_and_kernel(task, x, each=each, tied=tied)
    if not each:
        return KernelAtStart(x, outputs, kernel, _spectrum(kernel), None, None, tied)
    constants = None if tied else model_constants(task.model, x, y, task.loss)
    wanted = (
        nn.functional.one_hot(y, len(examples.class_names)).double()
        if task.n_classes
        else y.double().reshape(size, -1)
    )
    wanted = wanted - wanted.mean(0)
    if not float(wanted.abs().max()):  # constant targets lie along nothing
        return KernelAtStart(x, outputs, kernel, _spectrum(kernel), [], constants, tied)
    found = eigen_alignment(kernel, wanted)
    share = found.projections / wanted.square().sum(0).mean()
    return KernelAtStart(
        x, outputs, kernel, (found.eigenvalues / size).tolist(), share.tolist(), constants, tied
    )


def is_tied(task: TrainingTask) -> bool:
    """Whether training ties the examples of a batch together, by what the network does."""
    with undisturbed(task.model):
        _as_trained(task.model)
        return mixes(task.model, take(task.examples.x, slice(0, 64)))


def _outputs_and_kernel(
    task: TrainingTask, x: Inputs, *, each: bool, tied: bool
) -> tuple[Tensor, Tensor]:
    """Of the network in evaluation mode, or in training mode where that ties examples together."""
    with undisturbed(task.model, evaluation=not tied):
        if tied:
            _as_trained(task.model)
        with torch.no_grad(), repeatably(task.model):
            outputs = call(task.model, x)
        if tied:
            return outputs, batch_ntk(task.model, x, directions=_DIRECTIONS).double()
        measure = empirical_ntk if each else sum_of_logits_ntk
        return outputs, measure(task.model, x).double()


def _as_trained(model: nn.Module) -> None:
    """In the mode of training; of a model that is in it parts may be frozen."""
    if not model.training:
        set_training(model)


def _spectrum(kernel: Tensor) -> list[float]:
    """Eigenvalues of a kernel over n, descending, without rounding below zero."""
    values = torch.linalg.eigvalsh((kernel + kernel.T) / 2).flip(0)
    return (values.clamp(min=0) / len(kernel)).tolist()


def smoothness_ratio(
    task: TrainingTask, probe: tuple[Inputs, Tensor], generator: torch.Generator
) -> float:
    """L1/L without a kernel: the largest curvature of single examples over that of all.

    A lower bound, from a few examples.
    """
    x, y = probe
    largest, together = 0.0, math.nan
    with undisturbed(task.model, evaluation=True):
        for part in [slice(None), *(slice(i, i + 1) for i in range(min(len(y), 8)))]:
            operator = GGNOperator(task.model, take(x, part), y[part], task.loss)
            start = torch.randn(operator.size, generator=generator)
            value, _ = power_iteration(operator, start, products=4)
            if math.isnan(together):
                together = value
            else:
                largest = max(largest, value)
    return max(largest / together, 1.0) if together > 0 else math.nan


def change_since(
    task: TrainingTask, start: KernelAtStart, initial: Params
) -> tuple[float, float, list[float]]:
    """Relative change of the kernel, relative error of the linearization, final eigenvalues."""
    model = task.model
    outputs, kernel = _outputs_and_kernel(
        task, start.x, each=start.alignment is not None, tied=start.tied
    )

    def linearized() -> float:
        with undisturbed(model, evaluation=True):
            return linearization_error(model, initial, start.x) * math.sqrt(len(outputs))

    # The linearization is of each example by itself; forward derivatives are not of every layer.
    missed = math.nan if start.tied else attempt("the linearization", linearized, math.nan)
    learned = float((outputs - start.outputs).norm())
    change = kernel_change(kernel, start.kernel)
    return change, missed / learned if learned else math.nan, _spectrum(kernel)


@dataclass(frozen=True)
class Before:
    """What was measured of the network before its run.

    Attributes:
        found: The numbers that statements rest on.
        probe: The examples that curvature is measured on; `None` if it is not.
        kernel: The tangent kernel; `None` if it could not be measured.
        kernel_seconds: How long that took.
        parameters: A copy of where training starts.
    """

    found: AtStart
    probe: tuple[Inputs, Tensor] | None
    kernel: KernelAtStart | None
    kernel_seconds: float
    parameters: Params


@dataclass(frozen=True)
class After:
    """What was measured of the network after its run.

    Attributes:
        found: The numbers that statements rest on.
        spectrum: Eigenvalues of the kernel over n, descending.
        sensitivity: Diagonal of the average gradient outer product; `None` if not measured.
    """

    found: AtEnd
    spectrum: list[float]
    sensitivity: Tensor | None


def before_run(task: TrainingTask, generator: torch.Generator, seconds: float = math.inf) -> Before:
    """Probe, kernel and limit of the rate at initialisation.

    Args:
        task: Before its training.
        generator: Draws examples.
        seconds: That are left for all that is to come; of a large part the limit is left out, and
            where none are left everything.
    """
    initial = {n: p.detach().clone() for n, p in task.model.named_parameters()}
    if task.unmeasured or seconds < 0:
        return Before(AtStart(), None, None, 0.0, initial)
    probe = probe_batch(task, generator)
    began = time.perf_counter()
    kernel = attempt("the kernel", lambda: kernel_at_start(task, generator), None)
    taken = time.perf_counter() - began
    limit = math.nan
    # An optimizer that divides by what it has seen of gradients has no limit before its first
    # step. An unknown one is told of by a statement.
    if known_kind(task.optimizer) in (SGD, MaSS) and taken <= _DEAR * seconds:

        def measured() -> float:
            # One in evaluation mode as a whole is taken as if all of it were trained.
            whole = not is_partly_frozen(task.model)
            with quietly(), undisturbed(task.model, evaluation=whole):
                # That of linear stability, like those along the run which it stands beside.
                return critical_learning_rate(
                    task.model, *probe, task.loss, task.optimizer, steps=0
                )

        limit = attempt("the limit at the start", measured, math.nan)
    return Before(AtStart(initial_limit=limit), probe, kernel, taken, initial)


def after_run(
    task: TrainingTask,
    before: Before,
    generator: torch.Generator,
    *,
    sound: bool,
    in_time: Callable[[float], bool] = lambda seconds: True,
) -> After:
    """Change of the kernel, batch regimes and sensitivity to the inputs.

    Args:
        task: With the trained network.
        before: What was measured before it was trained.
        generator: Draws examples.
        sound: Whether the network survived its training; otherwise only the regimes are measured.
        in_time: Whether there is time for so many seconds, asked before what takes long.
    """
    start, probe = before.kernel, before.probe
    if probe is None:
        return After(AtEnd(), [], None)
    constants = None if start is None else start.constants
    if constants is not None:
        first = critical_batch_sizes(constants)[0]
    elif (start is not None and start.tied) or not in_time(before.kernel_seconds):
        first = math.nan  # where examples are tied together a single one has no curvature
    else:
        first = attempt(
            "the curvature of examples", lambda: smoothness_ratio(task, probe, generator), math.nan
        )
    change, missed, spectrum = math.nan, math.nan, []
    if start is not None and sound and in_time(before.kernel_seconds):
        change, missed, spectrum = attempt(
            "the kernel's change",
            lambda: change_since(task, start, before.parameters),
            (math.nan, math.nan, []),
        )
    sensitivity = None
    if sound and in_time(0.0):
        sensitivity = attempt("the inputs", lambda: _sensitivity(task, generator, in_time), None)
    found = AtEnd(
        critical_batch_size=first, kernel_change=change, linearization_error=missed,
        input_share=_shares(sensitivity),
        output_spread=attempt("the outputs", lambda: output_spread(task, probe), math.nan)
        if sound
        else math.nan,
    )  # fmt: skip
    return After(found, spectrum, sensitivity)


def output_spread(task: TrainingTask, probe: tuple[Inputs, Tensor]) -> float:
    """How much outputs differ between examples: over what targets do, or one logit for labels."""
    x, y = probe
    if len(y) < 2:
        return math.nan
    with undisturbed(task.model, evaluation=True), torch.no_grad():
        outputs = call(task.model, x).double()
    spread = float(outputs.std(0).max())
    wanted = float(y.double().std(0).max()) if y.is_floating_point() else 1.0
    return spread / wanted if wanted > 0 else math.nan


def attempt(what: str, measure: Callable[[], T], otherwise: T) -> T:
    """A measurement, or a warning: one that a model does not allow must not cost the others."""
    try:
        return measure()
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as problem:
        warnings.warn(
            f"diagnose could not measure {what}: {type(problem).__name__}: {problem}",
            RuntimeWarning,
            stacklevel=user_level(),
        )
        return otherwise


def _sensitivity(
    task: TrainingTask, generator: torch.Generator, in_time: Callable[[float], bool]
) -> Tensor | None:
    """Diagonal of the average gradient outer product; `None` where inputs are not numbers.

    Nor where there is no time: what the first examples take says how long the others would.
    """
    x = task.examples.x
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return None
    index = torch.randperm(len(x), generator=generator)[:_SENSITIVITY]
    with undisturbed(task.model, evaluation=True):
        width = call(task.model, x[:1]).numel()
        few: Any = {"outputs": "random", "n_vectors": 4} if width > 32 else {}
        began, tried = time.perf_counter(), index[:_TRIED]
        first = agop_diagonal(task.model, x[tried], chunk_size=_TRIED, **few)
        taken = time.perf_counter() - began
        if len(tried) == len(index):
            return first
        if not in_time(taken * len(index) / len(tried)):
            return None
        return agop_diagonal(task.model, x[index], chunk_size=64, **few)


def _shares(weights: Tensor | None) -> Sequence[float]:
    """Each weight over their sum; nothing where there is none."""
    total = float(weights.sum()) if weights is not None else 0.0
    return (weights / total).tolist() if weights is not None and total > 0 else ()
