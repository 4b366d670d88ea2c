"""With batch norm the probes measure the network that is trained, not its running averages."""

import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from overparam.dynamics import Monitor
from overparam.dynamics.probes.kernel import KernelChange
from overparam.dynamics.probes.sharpness import BatchCriticalRate, Sharpness
from overparam.optim import stability

CE = nn.CrossEntropyLoss()
PROBES = (Sharpness, BatchCriticalRate, KernelChange)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 2 + torch.randn(32, 4, generator=generator)
    return x, torch.randint(3, (32,), generator=generator)


def watched(model: nn.Module, optimizer: torch.optim.Optimizer) -> Monitor:
    return Monitor(
        model, CE, optimizer, probes=[kind() for kind in PROBES], probe_batch=data(),
        max_overhead=math.inf,
    )  # fmt: skip


def step(model: nn.Module, optimizer: torch.optim.Optimizer, monitor: Monitor) -> None:
    x, y = data()
    optimizer.zero_grad()
    value = CE(model(x), y)
    value.backward()
    monitor.step(value, batch=(x, y))
    optimizer.step()


def test_running_averages_alone_are_no_change_of_anything() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watched(model, optimizer) as monitor:
        step(model, optimizer, monitor)
        for _ in range(100):
            model(5 * data()[0] + 3)
        for _ in range(4):
            step(model, optimizer, monitor)
    columns = monitor.record.series()
    for name in ("sharpness", "batch_critical_lr"):
        values = columns[name]["value"]
        assert len(values) == 5
        # Power iteration goes on from step to step; the last ones have settled.
        assert values[-1] == pytest.approx(values[-2], rel=0.05)
    assert columns["kernel_change"]["value"] == pytest.approx([0] * 5, abs=1e-5)
    expected = stability(model, *data(), CE, torch.optim.SGD(model.parameters(), lr=1.0))
    assert columns["sharpness"]["value"][-1] == pytest.approx(expected.sharpness, rel=0.05)


def test_features_that_are_learned_change_the_kernel() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with watched(model, optimizer) as monitor:
        for _ in range(30):
            step(model, optimizer, monitor)
    changes = monitor.record.series()["kernel_change"]["value"]
    assert changes[0] == pytest.approx(0, abs=1e-5)
    assert changes[-1] > 0.1


def test_layers_that_training_has_frozen_are_measured_frozen() -> None:
    model = network()
    model(data()[0])
    model[1].eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watched(model, optimizer) as monitor:
        for _ in range(15):
            step(model, optimizer, monitor)
    expected = stability(model, *data(), CE, torch.optim.SGD(model.parameters(), lr=1.0))
    measured = monitor.record.series()["sharpness"]["value"]
    assert measured[-1] == pytest.approx(expected.sharpness, rel=0.05)
    assert not model[1].training


def test_adam_is_measured_from_its_tenth_step_on_without_a_warning() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with watched(model, optimizer) as monitor:
            for _ in range(15):
                step(model, optimizer, monitor)
    assert monitor.record.series()["sharpness"]["step"] == [10, 11, 12, 13, 14]
