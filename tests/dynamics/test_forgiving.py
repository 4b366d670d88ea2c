"""Whatever is handed to `step`, training goes on, and what cannot be measured is said once."""

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
