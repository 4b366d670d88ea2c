"""Who asks for a measurement asks for its kind, whatever the probe that gives it is called."""

import math

import pytest
import torch
from torch import nn

from overparam.dynamics import Monitor, default_probes
from overparam.dynamics.probes import Kind, LossSplit, Norms, Probe, Sharpness, norms
from overparam.dynamics.spikes.watch import SpikeWatch
from overparam.optim.critical_rate import critical_learning_rate
from overparam.optim.stability import stability

MSE = nn.functional.mse_loss
SELDOM = 10**6  # steps: measured at the first one, and then when asked


class Curvature(Sharpness):
    name, every = "curvature, by another name", SELDOM


class Halves(LossSplit):
    name, every = "both halves", SELDOM


class OneProduct(Probe):
    """A user's own, of no class of ours."""

    name, keys, every = "mine", ("sharpness", "stability_ratio", "mine"), SELDOM
    kind, needs = Kind.SHARPNESS, ("probe",)

    def measure(self, scene):
        found = stability(scene.model, *scene.probe, scene.loss, scene.optimizer, products=4)
        return {"sharpness": found.sharpness, "stability_ratio": found.ratio, "mine": 1.0}


class Rows(Probe):
    name, keys, needs = "rows", ("rows",), ("batch",)

    def measure(self, scene):
        return {"rows": float(len(scene.batch[1]))}


def catapult(probes):
    torch.manual_seed(0)
    x = torch.randn(64, 6)
    y = (x[:, :1] * x[:, 1:2]).tanh()
    model = nn.Sequential(nn.Linear(6, 256), nn.ReLU(), nn.Linear(256, 1))
    rate = critical_learning_rate(model, x, y, MSE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3 * rate)
    monitor = Monitor(model, MSE, optimizer, probes=probes, max_overhead=math.inf)
    for step in range(130):
        if step == 10:
            optimizer.param_groups[0]["lr"] = 1.3 * rate
        optimizer.zero_grad()
        value = MSE(model(x), y)
        value.backward()
        monitor.step(value, batch=(x, y))
        optimizer.step()
    return monitor


@pytest.mark.parametrize("sharpness", [Curvature, OneProduct])
def test_a_probe_of_the_kind_explains_a_spike(sharpness):
    monitor = catapult([sharpness(), Halves()])
    event = monitor.events[0]
    assert event.kind == "catapult", event
    assert event.spike.top_share > 0.95
    assert event.spike.sharpness_after < event.spike.sharpness_before
    # Not at every step: at the first, and when they were asked for.
    for key in ("sharpness", "loss_top"):
        assert 2 <= monitor.history[key].notna().sum() < 40


def test_a_probe_of_no_kind_is_not_asked():
    class Unasked(Curvature):
        kind = None

    monitor = catapult([Unasked()])
    assert monitor.history["sharpness"].notna().sum() == 1
    assert monitor.events[0].spike.sharpness_after != monitor.events[0].spike.sharpness_after


def test_without_what_it_needs_a_probe_is_not_run():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, probes=[Rows(), Norms()], max_overhead=math.inf)
    x, y = torch.ones(3, 2), torch.ones(3, 1)
    monitor.step(1.0)
    monitor.step(1.0, batch=(x, y))
    assert monitor.history["rows"].isna().tolist() == [True, False]
    assert list(monitor.probes) == ["rows", "norms"]  # and it is not switched off


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"needs": ("targets",)}, r"needs, .*'probe' and 'batch', got needs=\('targets',\)"),
        ({"needs": "probe"}, r"needs, .*, got needs='probe'"),
        ({"kind": "sharpness"}, r"a Kind, or None, got kind='sharpness'"),
        ({"kind": Kind.LOSS_SPLIT}, r"the keys of its kind, loss_top and loss_rest, .*'rows'"),
    ],
)
def test_what_a_probe_declares_is_checked(declared, words):
    kind = type("Wrong", (Rows,), declared)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=rf"^`Monitor\(probes=...\), 'rows'` expected {words}"):
        Monitor(model, MSE, optimizer, probes=[kind()])


def test_what_was_wanted_before_kinds_is_wanted_still():
    """States of earlier versions hold the names of probes."""
    monitor = catapult([Norms()])
    watch: SpikeWatch = monitor._watch
    state = {**watch.state_dict(), "wanted": ["loss split", "sharpness"]}
    watch.load_state_dict(state)
    assert watch.wanted == {Kind.SHARPNESS, Kind.LOSS_SPLIT}
    again = watch.state_dict()
    assert {k: v for k, v in again.items() if k != "examiner"} == {
        k: v for k, v in state.items() if k != "examiner"
    }


def test_a_monitor_that_is_not_told_which_has_those_that_say_so(monkeypatch):
    names = [type(probe).__name__ for probe in default_probes()]
    assert names == [
        "Norms", "Sharpness", "LossSplit", "BatchCriticalRate", "KernelChange", "InputGradients",
        "GradientNoise",
    ]  # fmt: skip

    class Third(Rows):
        by_default, __module__ = 3, norms.__name__

    monkeypatch.setattr(norms, "Third", Third, raising=False)
    monkeypatch.setattr(norms, "Imported", Curvature, raising=False)
    assert sorted(type(probe).__name__ for probe in default_probes()) == sorted([*names, "Third"])
    assert [probe.by_default for probe in default_probes()] == [1, 2, 3, 3, 4, 5, 6, 7]
