"""Whatever is handed to `step`, training goes on, and what cannot be measured is said once."""

import dataclasses
import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from overparam.dynamics import Monitor
from overparam.dynamics.batch_form import as_pair, why_whole
from overparam.dynamics.probes import Norms
from overparam.dynamics.spikes.watch import SpikeWatch

MSE, CE = nn.functional.mse_loss, nn.functional.cross_entropy


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, a, b):
        return self.left(a) + self.right(b)


class Graph(nn.Module):
    """A layer of messages along the edges; its output has a row for each node."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, edges):
        found = self.layer(x)
        return found.index_add(0, edges[1], found[edges[0]])


class Tuple(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x), x


def watched(model, batch, loss=CE, forward=None, steps=3, **options):
    """Train a little; the monitor, and what was warned of."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor = Monitor(model, loss, optimizer, forward=forward, max_overhead=math.inf, **options)
        for _ in range(steps):
            optimizer.zero_grad()
            value = sum(p.square().sum() for p in model.parameters())
            value.backward()
            monitor.step(value, batch=batch)
            optimizer.step()
    return monitor, [str(w.message) for w in caught]


def filled(monitor):
    return {status.name for status in monitor.status() if status.times == 3}


ALL = {
    "norms", "sharpness", "loss split", "batch critical rate", "kernel change", "input gradients",
    "gradient noise",
}  # fmt: skip


def test_lists_of_lists_are_taken():
    """What a DataLoader makes of ((a, b), y)."""
    batch = [[torch.randn(8, 4), torch.randn(8, 5)], torch.randint(0, 3, (8,))]
    monitor, said = watched(TwoInputs(), batch)
    assert filled(monitor) == ALL - {"input gradients"}
    assert said == []
    status = {one.name: one.status for one in monitor.status()}
    assert status["input gradients"] == "does not apply: inputs of several tensors"


def test_a_graph_is_measured_as_a_whole():
    x, edges = torch.randn(6, 4), torch.randint(0, 6, (2, 11))
    monitor, said = watched(Graph(), ((x, edges), torch.randint(0, 3, (6,))))
    assert filled(monitor) == {"norms", "sharpness", "batch critical rate"}
    assert said == []
    status = {one.name: one.status for one in monitor.status()}
    assert status["kernel change"] == (
        "does not apply: tensors of 2 and 6 rows, which are no list of examples"
    )


def test_an_object_with_its_own_targets_is_told_what_to_pass():
    data = SimpleNamespace(x=torch.randn(6, 4), y=torch.randint(0, 3, (6,)))
    monitor, said = watched(nn.Linear(4, 3), data)
    assert filled(monitor) == {"norms"}
    assert len(said) == 1
    assert "a pair (inputs, targets), got a SimpleNamespace" in said[0]
    # Beside its targets it is taken, by the function that knows what to do with it.
    monitor, said = watched(nn.Linear(4, 3), (data, data.y), forward=lambda model, d: model(d.x))
    assert filled(monitor) >= {"norms", "sharpness", "batch critical rate"}
    assert said == []


def test_targets_in_a_dict_are_the_loss_functions_business():
    def loss(outputs, targets):
        return CE(outputs, targets["class"]) + outputs.square().mean() * targets["weight"].mean()

    batch = torch.randn(8, 4), {"class": torch.randint(0, 3, (8,)), "weight": torch.ones(8)}
    monitor, said = watched(nn.Linear(4, 3), batch, loss)
    assert filled(monitor) >= {"norms", "sharpness", "batch critical rate"}
    assert len(said) <= 1  # of the loss split


@pytest.mark.parametrize("batch", [{"x": torch.ones(3, 4), "y": torch.ones(3)}, ("x", "y")])
def test_a_dict_is_told_of_split(batch):
    monitor, said = watched(nn.Linear(4, 3), batch)
    assert filled(monitor) == {"norms"}
    assert len(said) == 1
    assert "batch=(inputs, targets)" in said[0]
    assert "split=" in said[0]


def test_a_model_that_returns_a_tuple_is_told_of_forward_once():
    batch = torch.randn(8, 4), torch.randint(0, 3, (8,))
    monitor, said = watched(Tuple(), batch)
    assert filled(monitor) == {"norms"}
    assert len(said) == 1
    assert "a model that returns one tensor, got a tuple" in said[0]
    assert "forward=" in said[0]
    assert "forward=" in {one.name: one.status for one in monitor.status()}["sharpness"]
    monitor, said = watched(Tuple(), batch, forward=lambda model, x: model(x)[0])
    assert filled(monitor) == ALL
    assert said == []


@dataclasses.dataclass
class Scores:
    scores: torch.Tensor
    more: int = 3


def test_of_an_object_the_field_to_pass_is_named():
    class Named(nn.Linear):
        def forward(self, x):
            return Scores(super().forward(x))

    batch = (torch.randn(6, 4), torch.arange(6) % 3)
    _, said = watched(Named(4, 3), batch, loss=lambda out, y: CE(out.scores, y))
    assert "forward=lambda model, x: model(x).scores" in said[0]


def test_answers_in_place_of_numbers_are_told_once():
    class Answers(nn.Linear):
        def forward(self, x):
            self.scores = super().forward(x)
            return self.scores.argmax(1)

    model = Answers(4, 3)
    batch = (torch.randn(6, 4), torch.arange(6) % 3)
    _, said = watched(model, batch, loss=lambda out, y: CE(model.scores, y))
    assert len(said) == 1
    assert "a model that returns real numbers, got int64" in said[0]


def test_targets_that_the_loss_leaves_out_may_be_missing():
    """Of the first batch, too, on which curvature is measured."""

    def known(outputs, targets):
        there = ~targets.isnan()
        return nn.functional.mse_loss(outputs[there], targets[there])

    x = torch.randn(12, 4)
    y = x[:, :1].clone()
    y[::3] = math.nan
    monitor, said = watched(nn.Linear(4, 1), (x, y), loss=known)
    assert len(monitor.history) == 3
    assert monitor.history["sharpness"].notna().all()
    assert [word for word in said if "the monitor is switched off" in word] == []


def test_inputs_the_model_does_not_take_are_said_once():
    monitor, said = watched(nn.Linear(4, 3), (torch.randn(8, 5), torch.randint(0, 3, (8,))))
    assert filled(monitor) == {"norms"}
    assert len(said) == 1
    assert "inputs that the model takes" in said[0]


def test_arguments_in_the_wrong_order_are_one_line():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    words = r"^`Monitor\(loss=...\)` expected a function of outputs and targets, got a SGD"
    with pytest.raises(TypeError, match=words):
        Monitor(model, optimizer, MSE)
    with pytest.raises(TypeError, match=r"the order is Monitor\(model, loss, optimizer\)"):
        Monitor(MSE, model, optimizer)


def late(monitor, model, x, y, optimizer):
    for _ in range(5):
        value = CE(model(x), y)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        monitor.step(value, batch=(x, y))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window": 0}, r"Monitor\(window=...\)` expected at least one step, got 0"),
        ({"max_overhead": math.nan}, r"Monitor\(max_overhead=...\)` expected a share of"),
        (
            {"n_classes": 1, "n_samples": 4},
            r"Monitor\(n_classes=...\)` expected at least 2 classes",
        ),
        ({"n_classes": 3}, "both or neither"),
        ({"grad_scale": 0.0}, r"Monitor\(grad_scale=...\)` expected a number above 0, or a Grad"),
        pytest.param(
            {"grad_scale": "dynamic"},
            r"Monitor\(grad_scale=...\)` expected a number above 0",
            marks=pytest.mark.untyped("a setting that is none, for a part that takes it on"),
        ),
    ],
)
def test_settings_that_are_none_are_told_in_its_name(settings, words):
    model = nn.Linear(4, 3)
    with pytest.raises(ValueError, match=words):
        Monitor(model, CE, torch.optim.SGD(model.parameters(), lr=0.1), **settings)


def test_called_too_late_it_says_so_once():
    model, x, y = nn.Linear(4, 3), torch.randn(8, 4), torch.randint(0, 3, (8,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, CE, optimizer, probes=[Norms()], max_overhead=math.inf)
    with pytest.warns(RuntimeWarning, match=r"before optimizer.step\(\)") as caught:
        late(monitor, model, x, y, optimizer)
    assert len(caught) == 1


def test_a_failure_of_its_own_does_not_end_the_run(monkeypatch):
    def fails(self, moments):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(SpikeWatch, "calm", fails)
    batch = torch.randn(8, 4), torch.randint(0, 3, (8,))
    monitor, said = watched(nn.Linear(4, 3), batch)
    assert said == ["the monitor is switched off after ZeroDivisionError: division by zero"]
    assert "Switched off after ZeroDivisionError" in monitor.summary()


def test_forms_of_batches():
    x, y = torch.zeros(4, 2), torch.zeros(4)
    pair = as_pair([[x, [x, x]], y])[0]
    assert type(pair[0]) is tuple
    assert type(pair[0][1]) is tuple
    assert as_pair(None) == (None, "")
    assert "got 3 parts" in as_pair((x, y, y))[1]
    assert why_whole({"a": x, "b": None}, y) == ""
    assert why_whole(object(), y) == "a object, which is no list of examples"
    assert "rows" in why_whole(x, torch.zeros(()))


def test_without_batches_the_summary_says_that_none_were_passed():
    monitor, said = watched(nn.Linear(4, 3), None)
    assert not said
    assert "waits for a batch: none was passed to Monitor.step" in monitor.summary()


class OwnLoss(Tuple):
    """As models of transformers: given labels, it returns its loss beside its outputs."""

    def forward(self, x, labels=None):
        logits = self.layer(x)
        return {"loss": CE(logits, labels), "logits": logits} if labels is not None else logits


def test_a_loss_inside_the_model_is_found_with_the_first_batch():
    torch.manual_seed(0)
    model, batch = OwnLoss(), (torch.randn(8, 4), torch.randint(0, 3, (8,)))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found, said = watched(model, batch, loss=None)
    model.load_state_dict(state)
    given, _ = watched(model, batch, loss=CE)
    assert not said
    columns = ["sharpness", "batch_critical_lr", "loss_top", "kernel_change", "agop_trace"]
    assert found.history[columns].notna().all().all()
    assert found.history[columns].equals(given.history[columns])


def test_without_a_loss_inside_it_is_said_what_to_pass():
    batch = torch.randn(8, 4), torch.randint(0, 3, (8,))
    monitor, said = watched(nn.Linear(4, 3), batch, loss=None)
    assert len(said) == 1
    assert "`Monitor(loss=...)` expected a function of outputs and targets, or None" in said[0]
    assert "Monitor(loss=...)" in monitor.summary()


def test_a_model_under_forward_keeps_the_names_of_its_parameters():
    """And a state of an earlier version, which put a word before them, is read."""
    torch.manual_seed(0)
    model, batch = Tuple(), (torch.randn(8, 4), torch.randint(0, 3, (8,)))
    pick = lambda model, x: model(x)[0]  # noqa: E731
    monitor, _ = watched(model, batch, forward=pick)
    state = monitor.state_dict()
    assert list(state["initial"]) == ["layer.weight", "layer.bias"]
    for name in ("initial", "shapes"):
        state[name] = {f"module.{key}": value for key, value in state[name].items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    other = Monitor(model, CE, optimizer, forward=pick, max_overhead=math.inf)
    other.load_state_dict(state)
    assert other.history.equals(monitor.history)
