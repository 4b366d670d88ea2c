"""The monitor in training loops: what it records, what it finds, what it forgives."""

import copy
import math
import warnings

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from overparam.dynamics import Monitor
from overparam.dynamics.ledger import Ledger
from overparam.dynamics.loss_stream import Moment
from overparam.dynamics.probes import LossSplit, Norms, Probe, Sharpness
from overparam.optim.critical_rate import critical_learning_rate

MSE = nn.functional.mse_loss


class Ticks:
    """A clock that moves by one millisecond a reading."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-3
        return self.now


class Broken(Probe):
    name, keys = "broken", ("broken",)

    def measure(self, scene):
        raise RuntimeError("no such layer")


def regression(seed=0, n=64, d=6, width=32):
    torch.manual_seed(seed)
    x = torch.randn(n, d)
    y = (x[:, :1] * x[:, 1:2]).tanh()
    return nn.Sequential(nn.Linear(d, width), nn.ReLU(), nn.Linear(width, 1)), x, y


def train(model, x, y, optimizer, monitor, steps, loss=MSE, start=0):
    for t in range(start, start + steps):
        part = torch.arange(16) + 16 * (t % 4)
        optimizer.zero_grad()
        value = loss(model(x[part]), y[part])
        value.backward()
        monitor.step(value, batch=(x[part], y[part]), ids=part)
        optimizer.step()


def full_batch(model, x, y, optimizer, monitor, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        value = MSE(model(x), y)
        value.backward()
        monitor.step(value, batch=(x, y))
        optimizer.step()


def test_history_has_a_row_per_step_and_every_number():
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf)
    train(model, x, y, optimizer, monitor, 12)
    table = monitor.history
    assert list(table.index) == list(range(12))
    expected = {
        "loss", "lr", "grad_norm", "weight_norm", "distance", "update_norm", "sharpness",
        "sharpness_limit", "stability_ratio", "sharpness_residual", "sharpness_converged",
        "batch_critical_lr", "batch_critical_lr_converged",
        "loss_top", "loss_rest", "kernel_change", "agop_trace", "agop_alignment", "overhead",
        "gradient_signal", "gradient_noise",
        *(f"eigenvalue_{j}" for j in range(1, 6)),
    }  # fmt: skip
    # Of several measurements together: not from the first step on.
    pooled = {name for name in table.columns if name.startswith("noise_scale")}
    assert set(table.columns) - pooled == expected
    assert table["noise_scale_low"].notna().sum() == 9
    assert table.drop(columns=["update_norm", "overhead", *pooled]).notna().all().all()
    assert table["update_norm"].notna().sum() == 11  # the last is known one step later
    assert table["distance"][0] == 0
    assert table["kernel_change"][0] == pytest.approx(0, abs=1e-6)
    assert table["agop_alignment"][0] == pytest.approx(1)
    assert (table["sharpness_limit"] - 2 / 0.05).abs().max() < 1e-4


def test_norms_are_what_they_say():
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
    monitor = Monitor(model, MSE, optimizer, probes=[Norms()], max_overhead=math.inf)
    start = torch.cat([p.detach().flatten() for p in model.parameters()])
    rows = []
    for _ in range(4):
        optimizer.zero_grad()
        value = MSE(model(x), y)
        value.backward()
        before = torch.cat([p.detach().flatten() for p in model.parameters()])
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        monitor.step(value)
        optimizer.step()
        after = torch.cat([p.detach().flatten() for p in model.parameters()])
        rows.append(
            [gradient.norm(), before.norm(), (before - start).norm(), (after - before).norm()]
        )
    monitor.step(0.0)
    found = monitor.history[["grad_norm", "weight_norm", "distance", "update_norm"]][:4]
    torch.testing.assert_close(
        torch.tensor(found.to_numpy(), dtype=torch.float32),
        torch.tensor(rows),
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_clock_decides_what_is_measured():
    model, x, y = regression()
    runs = []
    for limit in (0.05, 0.5):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        monitor = Monitor(model, MSE, optimizer, max_overhead=limit, clock=Ticks())
        train(model, x, y, optimizer, monitor, 400)
        runs.append(
            monitor.history["grad_norm"].notna().sum() if "grad_norm" in monitor.history else 0
        )
    # Every reading of this clock takes a step's worth of time: five per cent covers nothing.
    assert runs[0] == 0
    assert runs[1] < 400


def test_a_catapult_is_seen_for_what_it_is():
    model, x, y = regression(width=256)
    rate = critical_learning_rate(model, x, y, MSE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3 * rate)
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf)
    full_batch(model, x, y, optimizer, monitor, 10)
    optimizer.param_groups[0]["lr"] = 1.3 * rate
    full_batch(model, x, y, optimizer, monitor, 120)
    event = monitor.events[0]
    assert event.kind == "catapult", event
    assert 1.1 < event.spike.ratio_before < 1.6
    assert event.spike.top_share > 0.95
    assert event.spike.peak_ratio > 2
    assert 0 < event.spike.steps_to_recover < 100
    assert event.spike.sharpness_after < event.spike.sharpness_before


def test_a_bad_batch_is_named_with_its_examples():
    model, x, y = regression(width=128)
    rate = critical_learning_rate(model, x, y, MSE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3 * rate)
    monitor = Monitor(model, MSE, optimizer, probe_batch=(x, y.clone()), max_overhead=math.inf)
    train(model, x, y, optimizer, monitor, 60)
    spoiled = y.clone()
    spoiled[16:32] += 8 * torch.randn(16, 1, generator=torch.Generator().manual_seed(0))
    train(model, x, spoiled, optimizer, monitor, 2, start=60)
    train(model, x, y, optimizer, monitor, 200, start=62)
    first = monitor.events[0]
    assert first.kind == "bad batch", first
    assert first.step == 61
    assert set(range(16, 32)) <= set(first.spike.ids)


def test_divergence_and_non_finite_losses():
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=50.0)
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf, probe_batch=(x, y))
    full_batch(model, x, y, optimizer, monitor, 60)
    kinds = [event.kind for event in monitor.events]
    assert kinds[0] == "divergence"
    assert kinds[-1] == "non-finite"
    assert kinds.count("non-finite") == 1
    assert len(monitor.history) == 60


def test_a_failing_probe_is_switched_off_once():
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    monitor = Monitor(model, MSE, optimizer, probes=[Broken(), Norms()], max_overhead=math.inf)
    with pytest.warns(RuntimeWarning, match="'broken' is switched off after RuntimeError: no such"):
        train(model, x, y, optimizer, monitor, 1)
    train(model, x, y, optimizer, monitor, 3)
    assert list(monitor.probes) == ["norms"]
    assert monitor.history["grad_norm"].notna().all()


def overflow(model):
    """Hidden numbers whose squares are infinite, and outputs that are not."""
    with torch.no_grad():
        model[0].weight.mul_(1e20)
        model[2].weight.zero_()


def test_a_probe_that_overflows_goes_on_when_the_run_comes_back(tmp_path):
    """A kernel has no finite numbers while the run diverges, and again once it is set back."""
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def monitor():
        probes = [LossSplit(), Norms()]
        return Monitor(
            model, MSE, optimizer, probes=probes, max_overhead=math.inf, probe_batch=(x, y)
        )

    first = monitor()
    full_batch(model, x, y, optimizer, first, 2)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    resumed = monitor()
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=False))
    good = copy.deepcopy(model.state_dict())
    overflow(model)
    full_batch(model, x, y, optimizer, resumed, 1)
    model.load_state_dict(good)
    full_batch(model, x, y, optimizer, resumed, 1)
    assert resumed.history["loss_top"].notna().tolist() == [True, True, False, True]


def test_a_probe_that_overflows_from_the_start_is_switched_off():
    model, x, y = regression()
    overflow(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    monitor = Monitor(model, MSE, optimizer, probes=[LossSplit()], max_overhead=math.inf)
    with pytest.warns(RuntimeWarning, match="'loss split' is switched off after NumericalError"):
        full_batch(model, x, y, optimizer, monitor, 1)


@pytest.mark.parametrize(("name", "value"), [("every", 0), ("share", 0.0)])
def test_a_probe_that_would_be_due_for_ever_is_refused(name, value):
    probe = Norms()
    setattr(probe, name, value)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=rf"`Monitor\(probes=...\), 'norms'` .*{name}={value}"):
        Monitor(model, MSE, optimizer, probes=[probe], max_overhead=math.inf)


def test_an_interrupt_is_not_swallowed():
    class Interrupted(Probe):
        name = "interrupted"

        def measure(self, scene):
            raise KeyboardInterrupt

    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    monitor = Monitor(model, MSE, optimizer, probes=[Interrupted()], max_overhead=math.inf)
    with pytest.raises(KeyboardInterrupt):
        train(model, x, y, optimizer, monitor, 1)


def test_state_goes_on_exactly(tmp_path):
    def make():
        model, x, y = regression()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        return model, x, y, optimizer, Monitor(model, MSE, optimizer, max_overhead=math.inf)

    model, x, y, optimizer, whole = make()
    train(model, x, y, optimizer, whole, 12)
    model, x, y, optimizer, half = make()
    train(model, x, y, optimizer, half, 5)
    torch.save(half.state_dict(), tmp_path / "monitor.pt")
    rest = Monitor(model, MSE, optimizer, max_overhead=math.inf)
    rest.load_state_dict(torch.load(tmp_path / "monitor.pt", weights_only=True))
    train(model, x, y, optimizer, rest, 7, start=5)
    expected, found = (m.history.drop(columns="overhead") for m in (whole, rest))
    assert found.equals(expected)


def test_a_state_from_before_goes_on_with_its_floor():
    model, _, _ = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    old, new = (Monitor(model, MSE, optimizer) for _ in range(2))
    state = old.state_dict()
    state["watch"]["counter"]["floor"] = state["watch"].pop("floor") + 0.125
    new.load_state_dict(state)
    assert new.state_dict()["watch"]["floor"] == state["watch"]["counter"]["floor"]


def test_a_state_of_another_model_is_refused():
    model, _, _ = regression()
    other, _, _ = regression(width=8)
    monitor, another = (
        Monitor(m, MSE, torch.optim.SGD(m.parameters(), lr=0.1)) for m in (model, other)
    )
    with pytest.raises(ValueError, match="load_state_dict"):
        monitor.load_state_dict(another.state_dict())


def test_label_noise_is_scored_along_the_way():
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(4, 12, generator=generator)
    true = torch.randint(0, 4, (256,), generator=generator)
    x = centres[true] + torch.randn(256, 12, generator=generator)
    given = true.clone()
    given[:40] = (true[:40] + torch.randint(1, 4, (40,), generator=generator)) % 4
    torch.manual_seed(0)
    model = nn.Linear(12, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = nn.CrossEntropyLoss()
    monitor = Monitor(
        model, loss, optimizer, probes=[], max_overhead=math.inf, n_classes=4, n_samples=256
    )
    for _ in range(8):
        for ids in torch.randperm(256, generator=generator).split(32):
            optimizer.zero_grad()
            logits = model(x[ids])
            value = loss(logits, given[ids])
            value.backward()
            monitor.step(value, batch=(x[ids], given[ids]), ids=ids, logits=logits)
            optimizer.step()
        monitor.epoch_end()
    wrong = torch.arange(256) < 40
    assert roc_auc_score(wrong, monitor.label_noise.scores()) > 0.97
    assert monitor.label_noise.issues()["is_label_issue"][:40].mean() > 0.9
    table = monitor.history
    assert table["noise_rate"].notna().sum() == 8
    assert table["noise_rate"].dropna().iloc[-1] == pytest.approx(40 / 256, abs=0.1)
    assert {"suspect_loss", "armed"} <= set(table.columns)


def test_logits_without_ids_switch_label_noise_off_with_a_warning():
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, probes=[], n_classes=2, n_samples=64)
    MSE(model(x), y).backward()
    with pytest.warns(RuntimeWarning, match=r"Monitor.step\(logits=...\)"):
        monitor.step(1.0, logits=torch.zeros(64, 2))
    assert monitor.label_noise is None


@pytest.mark.parametrize(
    ("ids", "targets", "said"),
    [([0, 1], [0, 1, 0], "as many rows of logits as targets and ids"),
     ([0, 1, 2], [0, 1, 7], "classes from 0 to 1"), ([0, 1, 9], [0, 1, 0], "positions from 0")],
)  # fmt: skip
@pytest.mark.parametrize("read", [lambda m: m.label_noise, lambda m: m.state_dict()["labels"]])
def test_labels_that_do_not_fit_switch_label_noise_off_wherever_it_is_found_out(
    ids, targets, said, read
):
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, probes=[], n_classes=2, n_samples=3)
    MSE(model(x), y).backward()

    def labels_left():
        batch = (x[:3], torch.tensor(targets))
        monitor.step(1.0, batch=batch, ids=torch.tensor(ids), logits=torch.zeros(3, 2))
        return read(monitor)

    with pytest.warns(RuntimeWarning, match=said):
        left = labels_left()
    assert left is None


def test_a_function_as_sink_gets_flat_floats():
    received = []
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = Monitor(
        model, MSE, optimizer, probes=[Norms(), Sharpness()], max_overhead=math.inf,
        sink=lambda numbers, step: received.append((step, numbers)),
    )  # fmt: skip
    train(model, x, y, optimizer, monitor, 3)
    assert {step for step, _ in received} == {0, 1, 2}
    assert all(isinstance(v, float) for _, numbers in received for v in numbers.values())
    merged = {name for _, numbers in received for name in numbers}
    assert {"loss", "lr", "sharpness", "grad_norm", "update_norm"} <= merged


def test_a_sink_is_called_once_a_step():
    received = []
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = Monitor(
        model, MSE, optimizer, max_overhead=math.inf,
        sink=lambda numbers, step: received.append((step, numbers)),
    )  # fmt: skip
    train(model, x, y, optimizer, monitor, 4)
    assert [step for step, _ in received] == [0, 1, 2, 3]
    history = monitor.history
    for step, numbers in received:
        row = history.loc[step].drop(["update_norm", "overhead"]).dropna()
        assert {name: numbers[name] for name in row.index} == row.to_dict()
    # What the optimizer did is known one step later.
    told = [numbers.get("update_norm") for _, numbers in received]
    assert told == [None, *history["update_norm"][:3]]


def test_what_is_known_only_later_goes_without_the_loss_of_another_step():
    told = []
    ledger = Ledger(lambda numbers, step: told.append((step, numbers)), None)
    ledger.losses([Moment(0, 2.0, 0.1, None)])
    ledger.numbers(0, {"grad_norm": 3.0}, 0.01)
    ledger.deliver(0)
    ledger.numbers(0, {"update_norm": 0.3}, 0.01)  # at a step whose loss nobody has looked at
    ledger.deliver(1)
    ledger.deliver(2)
    assert told == [(0, {"loss": 2.0, "lr": 0.1, "grad_norm": 3.0}), (1, {"update_norm": 0.3})]


def test_tensorboard_reads_back_what_was_written(tmp_path):
    tensorboard = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.utils.tensorboard import SummaryWriter

        model, x, y = regression()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        with SummaryWriter(tmp_path) as writer:
            monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf, sink=writer)
            train(model, x, y, optimizer, monitor, 3)
        events = tensorboard.EventAccumulator(str(tmp_path))
        events.Reload()
    scalars = events.Scalars("stability_ratio")
    assert [scalar.step for scalar in scalars] == [0, 1, 2]
    expected = monitor.history["stability_ratio"].tolist()
    assert [scalar.value for scalar in scalars] == pytest.approx(expected, rel=1e-5)


def test_a_sink_that_fails_is_dropped():
    def sink(numbers, step):
        raise OSError("disk full")

    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf, probes=[Norms()], sink=sink)
    with pytest.warns(RuntimeWarning, match="'sink' is switched off after OSError: disk full"):
        train(model, x, y, optimizer, monitor, 1)
    train(model, x, y, optimizer, monitor, 2)
    assert monitor.history["grad_norm"].notna().all()


def test_scaled_gradients_are_reported_unscaled():
    class Scaler:
        _per_optimizer_states = {}  # noqa: RUF012

        def get_scale(self):
            return 1024.0

    norms = []
    for scale in (None, 1024.0, Scaler()):
        model, x, y = regression()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        monitor = Monitor(
            model, MSE, optimizer, max_overhead=math.inf, probes=[Norms()], grad_scale=scale
        )
        (MSE(model(x), y) * (1 if scale is None else 1024)).backward()
        monitor.step(1.0)
        norms.append(monitor.history["grad_norm"][0])
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)
    assert norms[2] == pytest.approx(norms[0], rel=1e-5)


def test_the_module_inside_a_compiled_one_is_measured():
    model, x, y = regression()

    class Compiled(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self._orig_mod = inner

        def forward(self, inputs):
            raise AssertionError("probes must not run the compiled module")

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = Monitor(Compiled(model), MSE, optimizer, max_overhead=math.inf)
    train(model, x, y, optimizer, monitor, 2)
    assert monitor.history["sharpness"].notna().all()


def test_outputs_in_a_dict_take_an_adaptor():
    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, inputs):
            return {"logits": self.inner(inputs)}

    inner, x, y = regression()
    model = Wrapped(inner)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = Monitor(
        model, MSE, optimizer, max_overhead=math.inf, forward=lambda m, inputs: m(inputs)["logits"]
    )
    train(inner, x, y, optimizer, monitor, 2)
    assert monitor.history["kernel_change"].notna().all()


def test_an_unknown_optimizer_has_no_ratio_and_one_warning():
    model, x, y = regression()
    optimizer = torch.optim.Rprop(model.parameters(), lr=1e-4)
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf, probes=[Sharpness()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        train(model, x, y, optimizer, monitor, 4)
    assert len([w for w in caught if "stability limit of Rprop" in str(w.message)]) == 1
    assert monitor.history["stability_ratio"].isna().all()


def test_zero_rate_zero_gradient_and_frozen_parameters():
    model, x, y = regression()
    model[0].weight.requires_grad_(False)
    nn.init.zeros_(model[2].weight)
    optimizer = torch.optim.SGD(
        [{"params": [model[0].bias], "lr": 0.0}, {"params": model[2].parameters(), "lr": 0.0}]
    )
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf)
    optimizer.zero_grad(set_to_none=False)
    for _ in range(3):
        monitor.step(0.0, batch=(x, torch.zeros_like(y)))
    table = monitor.history
    assert (table["stability_ratio"] == 0).all()
    assert (table["lr"] == 0).all()
    assert monitor.events == []


def test_token_ids_leave_out_what_needs_gradients_by_the_input():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 5))
    x, y = torch.randint(0, 9, (16, 3)), torch.randint(0, 5, (16,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()
    monitor = Monitor(model, loss, optimizer, max_overhead=math.inf)
    for _ in range(3):
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        monitor.step(value, batch=(x, y))
        optimizer.step()
    assert "agop_trace" not in monitor.history
    assert monitor.history["kernel_change"].notna().all()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"probe_batch": (torch.zeros(0, 6), torch.zeros(0, 1))}, r"Monitor\(probe_batch=...\)"),
        ({"probe_batch": (torch.full((2, 6), math.nan), torch.zeros(2, 1))}, "NaN"),
        ({"probe_batch": (torch.zeros(2, 6), torch.zeros(3, 1))}, r"Monitor\(probe_batch=...\)"),
        ({"n_classes": 3}, "both or neither"),
        ({"max_overhead": 0.0}, "max_overhead"),
        ({"optimizer": torch.optim.SGD([torch.zeros(1, requires_grad=True)])}, "optimizer=..."),
    ],
)
def test_bad_arguments(change, where):
    model, _, _ = regression()
    arguments = {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1)} | change
    with pytest.raises(ValueError, match=where):
        Monitor(model, MSE, **arguments)


def test_wrong_kinds_of_arguments():
    model, _, _ = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=r"Monitor\(sink=...\)"):
        Monitor(model, MSE, optimizer, sink=3)
    monitor = Monitor(model, MSE, optimizer)
    with pytest.raises(TypeError, match=r"Monitor.step\(loss_value=...\)"):
        monitor.step("0.1")
    with pytest.raises(ValueError, match=r"Monitor.step\(loss_value=...\)"):
        monitor.step(torch.zeros(3))
    for batch in ({"x": 1}, (torch.zeros(2, 6),), ("a", "b")):
        with pytest.warns(RuntimeWarning, match=r"Monitor.step\(batch=...\)"):
            Monitor(model, MSE, optimizer).step(0.1, batch=batch)
    with pytest.raises(TypeError, match=r"Monitor\(model=...\)"):
        Monitor(lambda x: x, MSE, optimizer)
    for p in model.parameters():
        p.requires_grad_(False)
    with pytest.raises(ValueError, match="trainable parameters"):
        Monitor(model, MSE, optimizer)


@pytest.mark.parametrize("spoil", [math.nan, math.inf, None], ids=["nan", "inf", "empty"])
def test_a_bad_first_batch_is_not_what_everything_is_measured_on(spoil):
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf, probes=[Sharpness()])
    bad = x[:0] if spoil is None else x * spoil
    monitor.step(math.nan, batch=(bad, y[: len(bad)]))
    train(model, x, y, optimizer, monitor, 3)
    assert monitor.history["sharpness"].notna().tolist() == [False, True, True, True]


def test_reading_the_record_includes_steps_not_yet_looked_at():
    # Where a step takes far longer than a reading of the clock, the monitor puts off its look.
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    now = 0.0

    def clock():
        nonlocal now
        now += 5e-6
        return now

    monitor = Monitor(model, MSE, optimizer, clock=clock)
    for steps in (1, 7, 13):
        before = len(monitor.history)
        for _ in range(steps):
            now += 1e-3
            train(model, x, y, optimizer, monitor, 1)
        assert len(monitor.history) == before + steps
        assert monitor.history["loss"].notna().all()
