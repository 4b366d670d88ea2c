"""The table of loops: those that do something on the way that most do not."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from loops import expect_words, watched_and_not
from torch import Tensor, nn

from overparam.dynamics import Monitor

MSE, CE = nn.functional.mse_loss, nn.functional.cross_entropy
REAL = nn.functional.binary_cross_entropy_with_logits
pytestmark = pytest.mark.filterwarnings("ignore")
GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(24, 6, generator=GENERATOR), torch.randn(24, 1, generator=GENERATOR)
WORDS = torch.randint(0, 20, (24, 3), generator=GENERATOR)


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))


def sgd(params):
    return torch.optim.SGD(params, lr=0.05, momentum=0.9)


def step(model, optimizer, monitor, x=X, y=Y):
    optimizer.zero_grad()
    value = MSE(model(x), y)
    value.backward()
    if monitor is not None:
        monitor.step(value, batch=(x, y))
    optimizer.step()


def usual(watch, steps=6, between=lambda t, model, optimizer: None):
    model = mlp()
    optimizer = sgd(model.parameters())
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf) if watch else None
    for t in range(steps):
        step(model, optimizer, monitor)
        between(t, model, optimizer)
    return model.state_dict(), monitor


def adversaries(watch):
    """A monitor each, the one's loss through the other."""
    maker, judge = nn.Linear(2, 6), nn.Linear(6, 1)
    own, other = (torch.optim.SGD(m.parameters(), lr=0.05) for m in (maker, judge))
    ones = torch.ones(24, 1)
    first = second = None
    if watch:
        first = Monitor(maker, lambda out, y: REAL(judge(out), y), own, max_overhead=math.inf)
        second = Monitor(judge, REAL, other, max_overhead=math.inf)
    for _ in range(4):
        z = torch.randn(24, 2)
        made = maker(z)
        other.zero_grad()
        x, y = torch.cat([X, made.detach()]), torch.cat([ones, 0 * ones])
        value = REAL(judge(x), y)
        value.backward()
        if second is not None:
            second.step(value, batch=(x, y))
        other.step()
        own.zero_grad()
        value = REAL(judge(made), ones)
        value.backward()
        if first is not None:
            first.step(value, batch=(z, ones))
        own.step()
    if second is not None:
        expect_words(second)
    return {**maker.state_dict(), **{f"judge.{n}": w for n, w in judge.state_dict().items()}}, first


def averages_swapped_in(watch):
    """By giving parameters other memory, and back by writing to it."""
    average = torch.optim.swa_utils.AveragedModel(mlp())

    def between(t, model, optimizer):
        average.update_parameters(model)
        if t % 3 == 2:
            kept = [p.detach().clone() for p in model.parameters()]
            for p, q in zip(model.parameters(), average.module.parameters(), strict=True):
                p.data = q.data.clone()
            MSE(model.eval()(X), Y)
            model.train()
            for p, q in zip(model.parameters(), kept, strict=True):
                p.data.copy_(q)

    return usual(watch, 12, between)


def bad_batches_left_out(watch):
    model = mlp()
    optimizer = sgd(model.parameters())
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf) if watch else None
    for t in range(8):
        x = X / 0 if t % 3 == 1 else X
        optimizer.zero_grad()
        value = MSE(model(x), Y)
        finite = bool(value.isfinite())
        if finite:
            value.backward()
        if monitor is not None:
            monitor.step(value, batch=(x, Y))
        if finite:
            optimizer.step()
    return model.state_dict(), monitor


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(20, 4, sparse=True), nn.Linear(4, 1)

    def forward(self, ids):
        return self.out(self.embed(ids).mean(1))


def sparse_gradients(watch):
    model = Words()
    optimizer = torch.optim.SparseAdam(model.embed.parameters(), lr=0.01)
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf) if watch else None
    for _ in range(4):
        step(model, optimizer, monitor, WORDS)
    return model.state_dict(), monitor


def closures(watch):
    model = mlp().eval()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.3, max_iter=3)
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf) if watch else None

    def evaluate():
        optimizer.zero_grad()
        value = MSE(model(X), Y)
        value.backward()
        if monitor is not None:
            monitor.step(value, batch=(X, Y))
        return value

    for _ in range(2):
        optimizer.step(evaluate)
    return model.state_dict(), monitor


def unfrozen(watch):
    """With a group of its own from then on."""
    model = mlp()
    model[0].requires_grad_(False)
    optimizer = sgd(model[3].parameters())
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf) if watch else None
    for t in range(12):
        if t == 4:
            optimizer.add_param_group({"params": model[0].requires_grad_(True).parameters()})
        step(model, optimizer, monitor)
    return model.state_dict(), monitor


def copied(watch):
    """And the copies are trained on."""

    def between(t, model, optimizer):
        if t == 2:
            for make in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
                other, steps = make(model), make(optimizer)
                MSE(other(X), Y).backward()
                steps.step()

    return usual(watch, 6, between)


def loaded_by_workers(watch):
    model = mlp()
    optimizer = sgd(model.parameters())
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf) if watch else None
    data = torch.utils.data.TensorDataset(X, Y)
    for x, y in torch.utils.data.DataLoader(data, 8, shuffle=True, num_workers=1):
        step(model, optimizer, monitor, x, y)
    return model.state_dict(), monitor


class Thin(nn.Linear):
    """Of inputs that are mostly zero."""

    def forward(self, x):
        return torch.sparse.mm(x, self.weight.T) + self.bias if x.is_sparse else super().forward(x)


def sparse_inputs(watch):
    model = Thin(6, 1)
    optimizer = sgd(model.parameters())
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf) if watch else None
    for _ in range(3):
        step(model, optimizer, monitor, (X * (X > 0.5)).to_sparse())
    return model.state_dict(), monitor


class Ragged(nn.Linear):
    """Means over examples of several rows."""

    def forward(self, x):
        return torch.stack([super(Ragged, self).forward(part).mean(0) for part in x.unbind()])


def ragged_inputs(watch):
    model = Ragged(6, 1)
    optimizer = sgd(model.parameters())
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf) if watch else None
    x = torch.nested.nested_tensor([X[:3], X[3:8], X[8:9]], layout=torch.jagged)
    for _ in range(3):
        step(model, optimizer, monitor, x, Y[:3])
    return model.state_dict(), monitor


class Carries(nn.Module):
    """A recurrent network that goes on where its last batch ended, and takes notes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(6, 4), nn.Linear(4, 1)
        self.state: tuple[Tensor, ...] | None = None
        self.calls, self.norms, self.last = 0, {"of states": []}, torch.zeros(3)
        self.draw, self.noise = torch.Generator().manual_seed(3), np.random.default_rng(3)

    def forward(self, x):
        self.calls += 1
        hidden = self.cell(x, None if self.state is None else self.state[0])
        self.state = (hidden.detach(),)
        self.last[self.calls % 3] += hidden.detach().norm()
        self.norms["of states"].append(float(self.last.sum()))
        weight = 1 + 0.1 * torch.rand(len(x), 1, generator=self.draw) + self.noise.random()
        return self.out(hidden * weight) + 1e-3 * len(self.norms["of states"])


class Counting(nn.Module):
    """A loss that grows with the number of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("scale", torch.ones(()))

    def forward(self, outputs, targets):
        self.calls += 1
        self.scale *= 1.01
        return MSE(outputs, targets) * self.scale * (1 + 0.01 * self.calls)


@pytest.mark.parametrize("own", ["model", "loss"])
def test_a_state_that_is_carried_from_batch_to_batch_is_the_runs_alone(own):
    def run(watch):
        torch.manual_seed(0)
        model, loss = (Carries(), MSE) if own == "model" else (mlp(), Counting())
        optimizer = sgd(model.parameters())
        monitor = Monitor(model, loss, optimizer, max_overhead=math.inf) if watch else None
        for _ in range(4):
            optimizer.zero_grad()
            value = loss(model(X), Y)
            value.backward()
            if monitor is not None:
                monitor.step(value, batch=(X, Y))
            optimizer.step()
        kept = [model.calls, len(model.norms["of states"])] if own == "model" else [loss.calls]
        return {**model.state_dict(), "kept": torch.tensor(kept)}, monitor

    monitor, _ = watched_and_not(run)
    assert monitor.history["sharpness"].notna().all()


LOOPS = [
    adversaries, averages_swapped_in, bad_batches_left_out, sparse_gradients, closures, unfrozen,
    copied, loaded_by_workers, sparse_inputs, ragged_inputs,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_it_goes_on_as_without_the_monitor_and_every_column_is_accounted_for(loop):
    def run(watch):
        torch.manual_seed(0)
        return loop(watch)

    monitor, said = watched_and_not(run)
    assert "switched off" not in said
    assert len(monitor.history) > 2
    expect_words(monitor)


def test_a_hand_that_stops_a_measurement_finds_everything_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = sgd(model.parameters())
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf)
    step(model, optimizer, monitor)
    optimizer.zero_grad()
    value = MSE(model(X), Y)
    value.backward()
    gradients = [p.grad for p in model.parameters()]
    kept = copy.deepcopy(model.state_dict()), [g.clone() for g in gradients], torch.get_rng_state()
    passes = []

    def stop(module, inputs):
        passes.append(module.training)
        if len(passes) == 3:
            raise KeyboardInterrupt

    handle = model[3].register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        monitor.step(value, batch=(X, Y))
    handle.remove()
    assert all(torch.equal(w, kept[0][name]) for name, w in model.state_dict().items())
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(torch.equal(g, k) for g, k in zip(gradients, kept[1], strict=True))
    assert torch.equal(torch.get_rng_state(), kept[2])
    assert all(part.training for part in model.modules())
    optimizer.step()
    step(model, optimizer, monitor)
    assert monitor.history["sharpness"].notna().iloc[-1]
