"""Kernel machines: the iteration that learns features, and features that are given."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from overparam.kernels.feature_matrix import KernelPredictor
from overparam.kernels.functions import Gaussian, Kernel, Quadratic
from overparam.kernels.modular.arithmetic import ModularTask, modular_arithmetic
from overparam.kernels.modular.circulance import circulant_deviation
from overparam.kernels.modular.operand_features import (
    KERNEL_KINDS,
    enforce_circulance,
    operand_block,
    random_circulant_features,
)
from overparam.kernels.recursion import feature_recursion
from overparam.kernels.ridge import fit_ridge
from overparam.tangents.input_gradients import agop_alignment

KERNELS = {"quadratic": Quadratic(), "Gaussian": Gaussian.from_gamma(0.08)}
OTHER = {"circulant": "hankel", "hankel": "circulant"}
FILM = 2  # every so many iterations the page shows the feature matrix
FRAMES = 9


def features(
    kernel: Kernel, x: Tensor, y: Tensor, iterations: int, power: float
) -> Iterator[tuple[KernelPredictor, Any]]:
    """The predictor f_t of every iteration and the matrix M_{t+1} that follows from it.

    M_0 is the identity; the targets are interpolated, without ridge; M_{t+1} is a power of the
    centred average gradient outer product of f_t at the training points, not normalised.
    """
    rounds = feature_recursion(
        x, y, kernel, ridge=0.0, n_iter=iterations, power=power, normalize=None, center=True
    )
    for this, following in pairwise(rounds):
        yield this.predictor, following.predictor.feature_matrix


def interpolate(kernel: Kernel, x: Tensor, y: Tensor, feature_matrix: Tensor) -> KernelPredictor:
    """The kernel machine that meets every target."""
    dual = fit_ridge(kernel, x, y, ridge=0.0, feature_matrix=feature_matrix)
    return KernelPredictor(kernel, x, dual, feature_matrix)


def iteration(
    kernel: str,
    operation: str,
    p: int,
    fraction: float,
    iterations: int,
    power: float,
    labels: str,
    film: bool,
    seed: int,
) -> dict[str, Any]:
    """Losses, accuracies and progress measures of every iteration, as lists.

    Entry t belongs to the predictor f_t; deviations and alignment to the matrix M_{t+1} that
    was learned from it. The alignment is with the last such matrix.
    """
    draw = torch.Generator().manual_seed(seed)
    task = modular_arithmetic(operation, p, train_fraction=fraction, seed=draw)
    if labels == "shuffled":
        order = torch.randperm(len(task.y_train), generator=draw)
    else:
        order = torch.arange(len(task.y_train))
    result: dict[str, list] = {}
    learned = []
    steps = features(KERNELS[kernel], task.x_train, task.y_train[order], iterations, power)
    for predictor, feature_matrix in steps:
        learned.append(feature_matrix)
        train = (predictor(task.x_train) - task.y_train[order]).square().mean()
        block = operand_block(feature_matrix, operation)
        entry = {
            "train_loss": float(train),
            **scores(predictor, task),
            "circulant": circulant_deviation(block, kind="circulant"),
            "hankel": circulant_deviation(block, kind="hankel"),
            "unordered": circulant_deviation(feature_matrix[p:, :p]),
        }
        for name, value in entry.items():
            result.setdefault(name, []).append(value)
    result["alignment"] = [agop_alignment(matrix, learned[-1]) for matrix in learned]
    if film:
        result["blocks"] = [_rounded(operand_block(m, operation)) for m in learned[::FILM][:FRAMES]]
    return result


def scores(predictor: KernelPredictor, task: ModularTask) -> dict[str, float]:
    """Loss and accuracy on the test pairs; accuracy also without those that contain a 0.

    The loss is the mean over pairs and outputs; that of the correct output over pairs alone.
    """
    outputs, correct = predictor(task.x_test), task.y_test.argmax(1)
    right = (outputs.argmax(1) == correct).double()
    p = task.modulus
    without = (task.x_test[:, 0] + task.x_test[:, p]) == 0
    chosen = outputs.gather(1, correct[:, None])
    return {
        "test_loss": float((outputs - task.y_test).square().mean()),
        "correct_loss": float((chosen - 1).square().mean()),
        "accuracy": float(right.mean()),
        "accuracy_without_zero": float(right[without].mean()),
    }


def random_features(
    kernel: str, operation: str, p: int, fraction: float, kind: str, seed: int
) -> dict[str, Any]:
    """One kernel machine with random block-circulant features, nothing learned but its weights."""
    draw = torch.Generator().manual_seed(seed)
    task = modular_arithmetic(operation, p, train_fraction=fraction, seed=draw)
    if kind == "wrong":
        kind = OTHER[KERNEL_KINDS[operation]]
    if kind == "none":
        matrix = torch.eye(2 * p, dtype=torch.float64)
    else:
        matrix = random_circulant_features(operation, p, kind=kind, seed=draw)
    return scores(interpolate(KERNELS[kernel], task.x_train, task.y_train, matrix), task)


def enforced(
    kernel: str, operation: str, p: int, fraction: float, iterations: int, seed: int
) -> dict[str, Any]:
    """When accuracy first exceeds 0.9, with features as learned and made circulant; losses there.

    The feature matrices are those of the ordinary iteration in both cases.
    """
    task = modular_arithmetic(operation, p, train_fraction=fraction, seed=seed)
    matrix = torch.eye(2 * p, dtype=torch.float64)
    first = {"learned": math.inf, "enforced": math.inf}
    ratio = math.nan
    steps = features(KERNELS[kernel], task.x_train, task.y_train, iterations, 0.5)
    for t, (predictor, following) in enumerate(steps):
        made = interpolate(
            predictor.kernel,
            task.x_train,
            task.y_train,
            enforce_circulance(matrix, operation) if t else matrix,
        )
        reached = {"learned": scores(predictor, task), "enforced": scores(made, task)}
        for name, values in reached.items():
            if values["accuracy"] > 0.9:
                first[name] = min(first[name], t)
        if t == first["enforced"]:
            ratio = reached["enforced"]["test_loss"] / reached["learned"]["test_loss"]
        matrix = following
    return {"lead": first["learned"] - first["enforced"], "loss_ratio": ratio}


def _rounded(matrix: Tensor) -> list[list[float]]:
    """Rows of a matrix over its largest entry, to three digits: what a picture can show."""
    scaled = matrix / matrix.abs().max()
    return [[round(value, 3) for value in row] for row in scaled.tolist()]
