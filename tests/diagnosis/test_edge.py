"""The rate that follows the edge of stability."""

import math

import pytest
import torch
from torch import nn

from overparam.diagnosis.edge import EdgeTrace, edge_limit, follow_edge, margin_for
from overparam.diagnosis.examples import Examples, as_examples
from overparam.diagnosis.task import TrainingTask, batches, build_task


def linear_task(optimizer=None) -> TrainingTask:
    """Least squares, where the limit is the same at every step."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 4, generator=generator)
    examples = Examples("linear", x, x @ torch.ones(4, 1), x[:0], x[:0, :1])
    return build_task(nn.Linear(4, 1, bias=False), examples, "mse", optimizer, 64)


def test_on_a_quadratic_the_limit_is_its_own() -> None:
    task = linear_task()
    x = task.examples.x
    assert isinstance(x, torch.Tensor)
    expected = 2 / float(torch.linalg.eigvalsh(2 * x.T @ x / 64).max())
    trace = follow_edge(task, (x, task.examples.y), max_steps=120)
    assert trace.reached is not None
    assert trace.limit == pytest.approx(expected, rel=0.05)
    assert trace.rates[0] == pytest.approx(trace.limits[0] / 32)
    rises = [b / a for a, b in zip(trace.rates, trace.rates[1:], strict=False)]
    assert max(rises) <= 2 ** (5 / 12) * (1 + 1e-9)


def test_a_rate_that_never_arrives_gives_no_limit() -> None:
    task = linear_task()
    trace = follow_edge(task, (task.examples.x, task.examples.y), max_steps=10)
    assert trace.reached is None
    assert math.isnan(trace.limit)


def test_the_time_limit_ends_it() -> None:
    ticks = iter(range(10**6))
    task = linear_task()
    trace = follow_edge(
        task, (task.examples.x, task.examples.y), seconds=7, clock=lambda: float(next(ticks))
    )
    assert 0 < len(trace.steps) < 10


@pytest.mark.parametrize("size", [0, 5])
def test_batches_that_no_epoch_holds_are_refused_and_not_waited_for(size) -> None:
    with pytest.raises(
        ValueError, match=r"`TrainingTask\(batch_size=...\)` expected a size from 1 to 4"
    ):
        next(batches(4, size, torch.Generator()))


def test_nothing_of_the_task_moves_and_seeds_repeat() -> None:
    examples = as_examples("digits")
    task = build_task(None, examples, None, None, 32)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    probe = (examples.x[:32], examples.y[:32])
    one, two = (follow_edge(task, probe, max_steps=40, seed=3) for _ in range(2))
    other = follow_edge(task, probe, max_steps=40, seed=4)
    assert one == two
    assert one.loss != other.loss
    assert task.optimizer.param_groups[0]["lr"] == 1.0
    for name, value in task.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_network_that_was_lost_does_not_count() -> None:
    lost = EdgeTrace([0, 5], [0.1, 0.5], [1.0, 0.5], 1, [2.0] * 30 + [3.0] * 30)
    kept = EdgeTrace([0, 5], [0.1, 0.5], [1.0, 0.5], 1, [2.0] * 30 + [1.0] * 30)
    assert lost.broken
    assert math.isnan(lost.limit)
    assert not kept.broken
    assert kept.limit == pytest.approx(0.5)
    assert EdgeTrace([0], [0.1], [1.0], 0, [2.0, math.inf]).broken


def test_an_unknown_limit_is_nan() -> None:
    task = linear_task(lambda params: torch.optim.Rprop(params))
    limit, traces = edge_limit(task, (task.examples.x, task.examples.y), traces=2)
    assert math.isnan(limit)
    assert all(trace.reached is None for trace in traces)


@pytest.mark.parametrize(
    ("make", "margin"),
    [
        (lambda p: torch.optim.SGD(p, lr=1.0), 1.0),
        (lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.5), 0.25),
        (lambda p: torch.optim.AdamW(p), 0.25),
    ],
)
def test_memory_asks_for_a_margin(make, margin: float) -> None:
    assert margin_for(make(nn.Linear(1, 1).parameters())) == margin


def test_batches_cover_an_epoch_and_change_order() -> None:
    order = batches(10, 3, torch.Generator().manual_seed(0))
    first, second = ([next(order) for _ in range(3)] for _ in range(2))
    assert len(set(torch.cat(first).tolist())) == 9
    assert torch.cat(first).tolist() != torch.cat(second).tolist()
