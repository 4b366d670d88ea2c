"""With batch norm the probes measure the network that is trained, not its running averages."""

import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from overparam._model import undisturbed
from overparam._training_mode import statistics_fixed
from overparam.dynamics import Monitor
from overparam.dynamics.probes import sharpness
from overparam.dynamics.probes.input_gradients import InputGradients
from overparam.dynamics.probes.kernel import KernelChange, LossSplit
from overparam.dynamics.probes.sharpness import BatchCriticalRate, Sharpness
from overparam.optim import stability

CE = nn.CrossEntropyLoss()
PROBES = (Sharpness, BatchCriticalRate, KernelChange, InputGradients)


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
    assert columns["agop_alignment"]["value"] == pytest.approx([1] * 5, abs=1e-5)
    trace = columns["agop_trace"]["value"]
    assert trace == pytest.approx([trace[0]] * 5, rel=1e-5)
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


def test_where_training_ties_examples_together_the_split_of_the_loss_says_that_there_is_none() -> (
    None
):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, CE, optimizer, probes=[LossSplit()], max_overhead=math.inf)
    step(model, optimizer, monitor)
    (status,) = monitor.status()
    assert status.status.startswith("does not apply: trained with the statistics of its batches")
    model.eval()  # with running averages in training as well, there is one
    monitor = Monitor(model, CE, optimizer, probes=[LossSplit()], max_overhead=math.inf)
    step(model, optimizer, monitor)
    assert monitor.status()[0].times == 1


def test_fixed_statistics_are_those_of_the_examples() -> None:
    model, (x, _) = network(), data()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with undisturbed(model), torch.no_grad(), statistics_fixed(model, x):
        mean = model[0](x).mean(0)
        assert torch.allclose(model[1].running_mean, mean, atol=1e-6)
        assert torch.equal(model(x)[:4], model(x)[:4])
        alone = model(x[:1])
        assert torch.allclose(alone, model(x)[:1], atol=1e-6)
    assert model.training
    assert model[1].momentum == 0.1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_was_found_of_other_examples_leads_nowhere_on_these(monkeypatch) -> None:
    """As of a recurrent network, of which a product is at times only to be had in another way."""
    once = sharpness.stability_turn
    lost: list[bool] = []
    monkeypatch.setattr(
        sharpness,
        "stability_turn",
        lambda *args, known=None, **options: (
            None if lost and known is None else once(*args, known=known, **options)
        ),
    )
    torch.manual_seed(0)
    model, x, y = nn.Linear(3, 2), torch.randn(64, 3), torch.randn(64, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(
        model, nn.MSELoss(), optimizer, probes=[Sharpness(), BatchCriticalRate()],
        max_overhead=math.inf,
    )  # fmt: skip
    for at in range(6):
        if at == 3:
            lost.append(True)
            for portion in monitor._instruments._portions.values():
                portion.part = 0.5  # fewer examples
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        monitor.step(loss, batch=(x, y))
        optimizer.step()
    assert set(monitor.probes) == {"sharpness", "batch critical rate"}
    assert monitor.history[["sharpness", "batch_critical_lr"]].notna().all().all()
