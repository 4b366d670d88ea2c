"""What a diagnosis measures of a network at one point: kernel, constants, sensitivity."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overparam._devices import synchronize
from overparam._model import call, n_examples, take, undisturbed
from overparam._types import Inputs, Params
from overparam.curvature.gauss_newton import GGNOperator
from overparam.diagnosis.model_constants import model_constants
from overparam.diagnosis.task import Task
from overparam.expansions.linearized import linearization_error
from overparam.linalg.lanczos import power_iteration
from overparam.optim.hyperparameters import InterpolationConstants
from overparam.tangents.alignment import eigen_alignment
from overparam.tangents.empirical import (
    empirical_ntk,
    sum_of_logits_ntk,
)
from overparam.tangents.spectrum import kernel_change

# Rows of the matrix that is decomposed, and outputs per example up to which it is formed.
_ROWS, _OUTPUTS, _EXAMPLES, _FEW_EXAMPLES = 640, 128, 128, 32
_PROBE, _FEWEST = 256, 8


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
    """

    x: Inputs
    outputs: Tensor
    kernel: Tensor
    eigenvalues: list[float]
    alignment: list[float] | None
    constants: InterpolationConstants | None


def probe_batch(
    task: Task,
    seconds_per_product: float,
    generator: torch.Generator,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Inputs, Tensor]:
    """A random part of the training set on which one curvature product fits the time given."""
    examples = task.examples
    order = torch.randperm(n_examples(examples.x), generator=generator)[:_PROBE]
    few = order[:_FEWEST]
    trial = (take(examples.x, few), examples.y[few])
    with undisturbed(task.model, evaluation=True):
        operator = GGNOperator(task.model, *trial, task.loss)
        direction = torch.ones(operator.size, dtype=operator.dtype, device=operator.device)
        operator.matvec(direction)  # the first call pays for memory and threads
        synchronize(operator.device)
        began = clock()
        operator.matvec(direction)
        synchronize(operator.device)
        each = (clock() - began) / len(few)
    size = int(min(max(seconds_per_product / max(each, 1e-9), _FEWEST), len(order)))
    return take(examples.x, order[:size]), examples.y[order[:size]]


def kernel_at_start(task: Task, generator: torch.Generator) -> KernelAtStart | None:
    """The kernel on as many examples as are decomposed in a moment; `None` for fewer than two.

    The kernel between all outputs, and what needs it, is formed up to 128 of them.
    """
    examples, n = task.examples, n_examples(task.examples.x)
    with undisturbed(task.model, evaluation=True), torch.no_grad():
        width = call(task.model, take(examples.x, slice(0, 1))).numel()
    each = width <= _OUTPUTS
    size = min(n, _EXAMPLES, _ROWS // width) if each else min(n, _FEW_EXAMPLES)
    if size < 2:
        return None
    index = torch.randperm(n, generator=generator)[:size]
    x, y = take(examples.x, index), examples.y[index]
    with undisturbed(task.model, evaluation=True):
        with torch.no_grad():
            outputs = call(task.model, x)
        measure = empirical_ntk if each else sum_of_logits_ntk
        kernel = measure(task.model, x).double()
    if not each:
        return KernelAtStart(x, outputs, kernel, _spectrum(kernel), None, None)
    constants = model_constants(task.model, x, y, task.loss)
    wanted = (
        nn.functional.one_hot(y, len(examples.class_names)).double()
        if task.n_classes
        else y.double().reshape(size, -1)
    )
    wanted = wanted - wanted.mean(0)
    if not float(wanted.abs().max()):  # constant targets lie along nothing
        return KernelAtStart(x, outputs, kernel, _spectrum(kernel), [], constants)
    found = eigen_alignment(kernel, wanted)
    share = found.projections / wanted.square().sum(0).mean()
    return KernelAtStart(
        x, outputs, kernel, (found.eigenvalues / size).tolist(), share.tolist(), constants
    )


def _spectrum(kernel: Tensor) -> list[float]:
    """Eigenvalues of a kernel over n, descending, without rounding below zero."""
    values = torch.linalg.eigvalsh((kernel + kernel.T) / 2).flip(0)
    return (values.clamp(min=0) / len(kernel)).tolist()


def smoothness_ratio(task: Task, probe: tuple[Inputs, Tensor], generator: torch.Generator) -> float:
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
    task: Task, start: KernelAtStart, initial: Params
) -> tuple[float, float, list[float]]:
    """Relative change of the kernel, relative error of the linearization, final eigenvalues."""
    model = task.model
    with undisturbed(model, evaluation=True):
        measure = sum_of_logits_ntk if start.alignment is None else empirical_ntk
        kernel = measure(model, start.x).double()
        with torch.no_grad():
            outputs = call(model, start.x)
        missed = linearization_error(model, initial, start.x) * math.sqrt(len(outputs))
    learned = float((outputs - start.outputs).norm())
    change = kernel_change(kernel, start.kernel)
    return change, missed / learned if learned else math.nan, _spectrum(kernel)
