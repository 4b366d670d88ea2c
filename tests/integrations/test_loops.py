"""The table of loops: those that people write themselves, in plain torch and with thin tools."""

import math

import pytest
import torch
from loops import EARLY, SEVERAL, TIED, WHOLE, check
from torch import nn

from overparam.dynamics import Monitor

MSE, CE = nn.functional.mse_loss, nn.functional.cross_entropy
pytestmark = pytest.mark.filterwarnings("ignore")
GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(8, 6, generator=GENERATOR), torch.randn(8, 1, generator=GENERATOR)
IMAGES = torch.randn(8, 1, 6, 6, generator=GENERATOR)
WORDS = torch.randint(0, 12, (8, 5), generator=GENERATOR)
CLASSES = WORDS[:, 0] % 3


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )


class Skip(nn.Module):
    """A very small U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(2, 2, 2, stride=2), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        left = self.down(x).relu()
        right = self.up(self.middle(nn.functional.max_pool2d(left, 2)).relu())
        return self.out(torch.cat([left, right], 1))


class Words(nn.Module):
    def __init__(self, body) -> None:
        super().__init__()
        self.embed, self.body, self.head = nn.Embedding(12, 8), body, nn.Linear(8, 3)

    def forward(self, ids):
        found = self.body(self.embed(ids))
        return self.head((found[0] if isinstance(found, tuple) else found).mean(1))


def transformer():
    return Words(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))


def recurrent():
    return Words(nn.GRU(8, 8, batch_first=True))


class Mix(nn.Module):
    """Two inputs; a graph network is one whose second is the edges."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 4), nn.Linear(6, 4)
        self.out = nn.Linear(4, 1)

    def forward(self, a, b):
        return self.out((self.left(a) * self.right(b)).tanh())


def plain(model, optimizer, loss, x, y, monitor):
    optimizer.zero_grad()
    value = loss(model(*x) if isinstance(x, tuple) else model(x), y)
    value.backward()
    if monitor is not None:
        monitor.step(value, batch=(x, y))
    optimizer.step()


def closure(model, optimizer, loss, x, y, monitor):
    def evaluate():
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        if monitor is not None:
            monitor.step(value, batch=(x, y))
        return value

    optimizer.step(evaluate)


def autocast(model, optimizer, loss, x, y, monitor):
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(model(x), y)
    value.backward()
    if monitor is not None:
        monitor.step(value, batch=(x, y))
    optimizer.step()


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


IMAGE, TEXT = (CE, IMAGES, CLASSES), (CE, WORDS, CLASSES)
TABLE = {
    "perceptron, SGD": (mlp, sgd, plain, (MSE, X, Y), {}),
    "perceptron, closure": (mlp, sgd, closure, (MSE, X, Y), {}),
    "perceptron, autocast": (mlp, adamw, autocast, (MSE, X, Y), EARLY),
    "convolutions with batch norm, SGD": (convolutional, sgd, plain, IMAGE, TIED),
    "convolutions with batch norm, AdamW": (convolutional, adamw, plain, IMAGE, TIED | EARLY),
    "convolutions with batch norm, autocast": (convolutional, adamw, autocast, IMAGE, TIED | EARLY),
    "U-Net": (Skip, adamw, plain, (MSE, IMAGES, IMAGES.tanh()), EARLY),
    "Transformer": (transformer, adamw, plain, TEXT, WHOLE | EARLY),
    "recurrent": (recurrent, adamw, plain, TEXT, WHOLE | EARLY),
    "two inputs": (Mix, sgd, plain, (MSE, (X, X.flip(0)), Y), SEVERAL),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_loop_of_one_s_own_goes_on_as_without_the_monitor(name):
    make, optimize, step, (loss, x, y), empty = TABLE[name]

    def run(watch):
        torch.manual_seed(0)
        model = make()
        optimizer = optimize(model)
        monitor = Monitor(model, loss, optimizer, max_overhead=math.inf) if watch else None
        for _ in range(2):
            step(model, optimizer, loss, x, y, monitor)
        return model.state_dict(), monitor

    check(run, empty)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_accelerate_s_model_and_optimizer_are_taken_as_they_are(precision):
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")

    def run(watch):
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        torch.manual_seed(0)
        accelerator = accelerate.Accelerator(
            cpu=True, mixed_precision=precision, gradient_accumulation_steps=2
        )
        model = mlp()
        model, optimizer = accelerator.prepare(model, sgd(model))
        forward = model.forward
        monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf) if watch else None
        for half in (slice(4), slice(4, 8)) * 2:
            with accelerator.accumulate(model):
                value = MSE(model(X[half]), Y[half])
                accelerator.backward(value)
                if monitor is not None and accelerator.sync_gradients:
                    monitor.step(value, batch=(X[half], Y[half]))
                optimizer.step()
                optimizer.zero_grad()
        assert model.forward == forward
        return model.state_dict(), monitor

    history = check(run, {})
    # Of SGD with momentum, whose limit is 2(1 + γ) / η: the optimizer inside is seen.
    assert history["sharpness_limit"][0] == pytest.approx(2 * 1.9 / 0.05)


def test_fabric_s_model_and_optimizer_are_taken_as_they_are():
    fabric = pytest.importorskip("lightning.fabric", reason="lightning is not installed")

    def run(watch):
        torch.manual_seed(0)
        made = fabric.Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
        model = mlp()
        wrapped, optimizer = made.setup(model, sgd(model))
        monitor = Monitor(wrapped, MSE, optimizer, max_overhead=math.inf) if watch else None
        for _ in range(2):
            optimizer.zero_grad()
            value = MSE(wrapped(X), Y)
            made.backward(value)
            if monitor is not None:
                monitor.step(value, batch=(X, Y))
            optimizer.step()
        return model.state_dict(), monitor

    history = check(run, {})
    assert history["sharpness_limit"][0] == pytest.approx(2 * 1.9 / 0.05)
