"""Constants of a loss at a network, against dense matrices."""

import math

import pytest
import torch
from torch import nn

from overparam.curvature import GGNOperator
from overparam.diagnosis.examples import Examples
from overparam.diagnosis.measure import (
    after_run,
    before_run,
    change_since,
    kernel_at_start,
    smoothness_ratio,
)
from overparam.diagnosis.task import TrainingTask, build_task


def small_task(loss: str, width: int = 16) -> TrainingTask:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (12,), generator=generator)
    examples = Examples("small", x, y, x, y, class_names=("a", "b", "c"))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 3)).double()
    return build_task(model, examples, loss, None, 4)


def dense(task: TrainingTask, part: slice) -> torch.Tensor:
    examples = task.examples
    assert isinstance(examples.x, torch.Tensor)
    operator = GGNOperator(task.model, examples.x[part], examples.y[part], task.loss)
    return torch.stack([operator.matvec(e) for e in torch.eye(operator.size).double()])


def check_constants(loss: str) -> None:
    task = small_task(loss, width=4)
    found = kernel_at_start(task, torch.Generator().manual_seed(0))
    assert found is not None
    assert found.constants is not None
    whole = torch.linalg.eigvalsh(dense(task, slice(None))).max()
    torch.testing.assert_close(found.constants.largest, float(whole), rtol=1e-8, atol=0)
    singles = max(
        float(torch.linalg.eigvalsh(dense(task, slice(i, i + 1))).max()) for i in range(12)
    )
    torch.testing.assert_close(found.constants.single, singles, rtol=1e-8, atol=0)


def test_constants_of_cross_entropy() -> None:
    check_constants("cross_entropy")


def test_constants_of_squared_error() -> None:
    check_constants("mse")


def test_alignment_is_a_share_and_the_spectrum_descends() -> None:
    found = kernel_at_start(small_task("mse"), torch.Generator().manual_seed(0))
    assert found is not None
    assert found.alignment is not None
    assert sum(found.alignment) == pytest.approx(1, rel=1e-9)
    assert found.eigenvalues == sorted(found.eigenvalues, reverse=True)


def test_change_is_zero_without_training_and_not_after() -> None:
    task = small_task("cross_entropy")
    found = kernel_at_start(task, torch.Generator().manual_seed(0))
    assert found is not None
    initial = {name: p.detach().clone() for name, p in task.model.named_parameters()}
    assert change_since(task, found, initial)[0] == 0
    with torch.no_grad():
        for p in task.model.parameters():
            p.add_(0.3)
    change, missed, _ = change_since(task, found, initial)
    assert change > 0.05
    assert 0 < missed < 2


def test_smoothness_ratio_without_a_kernel_is_near_the_one_with_it() -> None:
    task = small_task("cross_entropy")
    found = kernel_at_start(task, torch.Generator().manual_seed(0))
    assert found is not None
    assert found.constants is not None
    exact = found.constants.single / found.constants.largest
    x = task.examples.x
    ratio = smoothness_ratio(task, (x, task.examples.y), torch.Generator().manual_seed(0))
    assert 1 <= ratio <= exact * 1.3


def test_many_outputs_are_measured_by_the_kernel_of_their_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 3, generator=generator)
    examples = Examples("wide", x, torch.zeros(20, 300), x, torch.zeros(20, 300))
    task = build_task(nn.Linear(3, 300, bias=False), examples, "mse", None, 4)
    found = kernel_at_start(task, torch.Generator().manual_seed(0))
    assert found is not None
    assert found.alignment is None
    assert found.constants is None
    # The sum of independent linear maps, over the root of their number, has the kernel x xᵀ.
    assert isinstance(found.x, torch.Tensor)
    torch.testing.assert_close(found.kernel, (found.x @ found.x.T).double(), rtol=1e-4, atol=1e-5)


def test_with_batch_norm_the_change_is_that_of_the_network_in_training() -> None:
    task = small_task("cross_entropy")
    torch.manual_seed(0)
    task.model = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 3))
    task.model.double()
    found = kernel_at_start(task, torch.Generator().manual_seed(0))
    assert found is not None
    assert found.tied
    initial = {name: p.detach().clone() for name, p in task.model.named_parameters()}
    task.model.train()
    for _ in range(100):
        task.model(5 * task.examples.x + 3)
    assert change_since(task, found, initial)[0] < 1e-12
    with torch.no_grad():
        for p in task.model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    assert change_since(task, found, initial)[0] > 0.05


def test_a_linearization_that_fails_takes_neither_kernel_nor_spectrum(monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise NotImplementedError("no forward derivative")

    task = small_task("cross_entropy")
    found = kernel_at_start(task, torch.Generator().manual_seed(0))
    assert found is not None
    initial = {name: p.detach().clone() for name, p in task.model.named_parameters()}
    monkeypatch.setattr("overparam.diagnosis.measure.linearization_error", fails)
    with torch.no_grad():
        for p in task.model.parameters():
            p.add_(0.3)
    with pytest.warns(RuntimeWarning, match="the linearization"):
        change, missed, spectrum = change_since(task, found, initial)
    assert change > 0.05
    assert missed != missed
    assert spectrum


def test_what_there_is_no_time_for_is_left_out() -> None:
    task = small_task("cross_entropy")
    generator = torch.Generator().manual_seed(0)
    before = before_run(task, generator, 0.0)
    assert before.kernel is not None
    assert math.isnan(before.found.initial_limit)
    assert math.isfinite(before_run(task, generator).found.initial_limit)
    spent = before_run(task, generator, -1.0)
    assert (spent.probe, spent.kernel) == (None, None)
    late = after_run(task, before, generator, sound=True, in_time=lambda seconds: False)
    assert math.isnan(late.found.kernel_change)
    assert late.sensitivity is None
    assert math.isfinite(late.found.output_spread)
