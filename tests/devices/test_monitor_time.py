"""A device that computes behind the host's back, by a clock of the test's own."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from second_device import FAR, SecondDevice, place_of
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from overparam.diagnosis.examples import as_examples
from overparam.diagnosis.task import build_task, step_seconds
from overparam.dynamics import Monitor
from overparam.dynamics.spikes.step_log import StepLog

# What the host takes to ask for an operator, and the device to do it.
LAUNCH, COMPUTE = 5e-6, 1e-3
MSE = nn.functional.mse_loss


class Asynchronous(SecondDevice):
    """Operators queue up, and only some wait for the queue to be empty.

    Attributes:
        now: Seconds on the host's clock.
        idle_from: When the device will have done everything.
        worked: Seconds it has worked for the monitor, and for the training.
    """

    def __init__(self) -> None:
        super().__init__("cuda")
        self.now = self.idle_from = 0.0
        self.measuring, self.worked = False, {True: 0.0, False: 0.0}

    def synchronize(self, *_: Any) -> None:
        self.now = max(self.now, self.idle_from)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        waits = self.waits.total()
        out = super().__torch_dispatch__(func, types, args, kwargs)
        leaves = tree_leaves((args, kwargs or {}, out))
        if any(isinstance(t, Tensor) and place_of(t) == FAR for t in leaves):
            self.now += LAUNCH
            if not func.is_view and not func.name().startswith("aten::_local_scalar_dense"):
                self.idle_from = max(self.idle_from, self.now) + COMPUTE
                self.worked[self.measuring] += COMPUTE
            if self.waits.total() > waits:
                self.synchronize()
        return out

    def runtime(self) -> dict[str, Any]:
        mode = self

        class Event:
            def __init__(self, *_: Any, **__: Any) -> None:
                self.at = math.inf

            def record(self, stream: Any = None) -> None:
                self.at = mode.idle_from

            def query(self) -> bool:
                return mode.now >= self.at

            def synchronize(self) -> None:
                mode.now = max(mode.now, self.at)

        return {**super().runtime(), "Event": Event}


@pytest.mark.parametrize("limit", [0.1, 0.5])
def test_the_budget_books_what_the_device_did_for_whom(
    limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Asynchronous() as mode:

        def measuring(write: Callable[[StepLog], None]) -> Callable[[StepLog], None]:
            def run(log: StepLog) -> None:
                mode.measuring = True
                write(log)
                mode.measuring = False

            return run

        for name in ("begin", "end"):  # what the monitor logs inside the optimizer's step
            monkeypatch.setattr(StepLog, name, measuring(getattr(StepLog, name)))
        torch.manual_seed(0)
        x = torch.randn(12, 5, device=mode.device)
        y = x[:, :1]
        model = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 1)).to(mode.device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        monitor = Monitor(
            model, MSE, optimizer, max_overhead=limit, clock=lambda: mode.now
        )  # fmt: skip
        for _ in range(400):  # the first looks are paid off by then
            optimizer.zero_grad()
            value = MSE(model(x), y)
            value.backward()
            mode.measuring = True
            monitor.step(value, batch=(x, y))
            mode.measuring = False
            optimizer.step()
        mode.synchronize()
        budget = monitor.budget
    # Losses and steps kept since the last look are booked at the next.
    own = budget.own + monitor._kept * COMPUTE + monitor._watch.examiner.log.spent()
    # The host's launches are booked too: up to four a computation, with views and reads.
    assert own == pytest.approx(mode.worked[True], rel=4 * LAUNCH / COMPUTE, abs=COMPUTE)
    clocked = (monitor._seen - 1) / monitor._step  # steps up to the last look, each like the others
    assert budget.training == pytest.approx(clocked * mode.worked[False], rel=0.02)
    assert mode.worked[True] <= limit * mode.worked[False]


class Once(nn.Module):
    """A model of one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def test_the_time_of_a_step_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.linspace(-1, 1, 16)[:, None]
    with Asynchronous() as mode:
        monkeypatch.setattr(time, "perf_counter", lambda: mode.now)
        examples = as_examples((x, x), seed=0).to(mode.device)
        task = build_task(Once(), examples, "mse", None, 4, mode.device)
        worked = mode.worked[False]
        found = step_seconds(task)
        steps = (mode.worked[False] - worked) / 6
        # The median of six; what the first has to allocate is not in it.
        assert found == pytest.approx(steps, rel=0.2)
