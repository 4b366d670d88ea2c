"""Training with a monitor ends bit for bit where it ends without one."""

import math
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from overparam.dynamics import Monitor, default_probes
from overparam.dynamics.probes import Probe


class Attention(nn.Module):
    """A small Transformer over tokens, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.out = nn.Linear(8, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.layer(self.embedding(tokens)).mean(1))


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4)
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)
    )


INPUTS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (mlp, lambda: torch.randn(48, 6)),
    "cnn": (cnn, lambda: torch.randn(48, 1, 6, 6)),
    "transformer": (Attention, lambda: torch.randint(0, 11, (48, 5))),
}
OPTIMIZERS: dict[str, Callable] = {
    "momentum": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9),
    "adam": lambda params: torch.optim.Adam(params, lr=0.01),
}


@dataclass
class End:
    """Everything a run leaves behind."""

    tensors: dict[str, Tensor]
    modes: list[bool]
    hooks: int
    random: tuple


def run(kind: str, optimizer_name: str, probes: Callable[[], list[Probe]] | None) -> End:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    build, inputs = INPUTS[kind]
    model, x = build(), inputs()
    y = torch.randint(0, 4, (48,))
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    loss = nn.CrossEntropyLoss()
    monitor = None
    if probes is not None:
        monitor = Monitor(
            model,
            loss,
            optimizer,
            probes=probes(),
            max_overhead=math.inf,
            n_classes=4,
            n_samples=48,
        )
    for epoch in range(2):
        for ids in torch.randperm(48).split(16):
            optimizer.zero_grad()
            logits = model(x[ids])
            value = loss(logits, y[ids])
            value.backward()
            if monitor is not None:
                monitor.step(value, batch=(x[ids], y[ids]), ids=ids, logits=logits)
            optimizer.step()
        if monitor is not None:
            monitor.epoch_end()
            assert len(monitor.history) == 3 * (epoch + 1)
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    tensors |= {f"grad of {n}": p.grad.clone() for n, p in model.named_parameters()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"{index} {n}": v.clone() for n, v in state.items() if isinstance(v, Tensor)}
    tensors["torch random"] = torch.get_rng_state()
    modules = list(model.modules())
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)
    flags = [p.requires_grad for p in model.parameters()]
    draws = (random.random(), np.random.rand())  # noqa: NPY002
    return End(tensors, [m.training for m in modules] + flags, hooks, draws)


def differences(first: End, second: End) -> list[str]:
    """Names of what is not the same, bit for bit."""
    assert first.tensors.keys() == second.tensors.keys()
    found = [n for n, v in first.tensors.items() if not torch.equal(v, second.tensors[n])]
    found += [n for n in ("modes", "hooks", "random") if getattr(first, n) != getattr(second, n)]
    return found


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("kind", list(INPUTS))
def test_everything_is_left_as_it_is(kind, optimizer):
    assert differences(run(kind, optimizer, None), run(kind, optimizer, default_probes)) == []


def test_modules_that_a_monitor_imports_draw_no_random_numbers():
    # Only the first import in a process may draw.
    lines = [
        "import random, numpy, torch",
        "from overparam.dynamics import Monitor",
        "model = torch.nn.Linear(2, 2)",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
        "loss = torch.nn.CrossEntropyLoss()",
        "before = random.getstate(), str(numpy.random.get_state())",
        "Monitor(model, loss, optimizer, n_classes=2, n_samples=4)",
        "assert before == (random.getstate(), str(numpy.random.get_state()))",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=120)


class Fails(Probe):
    """Fails half-way, with the model switched about."""

    name = "fails"

    def measure(self, scene):
        torch.rand(3)
        scene.model(scene.batch[0]).sum().backward()
        scene.model.train()
        scene.model(scene.batch[0])
        raise RuntimeError("out of memory")


@pytest.mark.parametrize("kind", list(INPUTS))
def test_also_after_an_exception_in_a_probe(kind):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        disturbed = run(kind, "momentum", lambda: [Fails()])
    assert any("'fails' is switched off" in str(w.message) for w in caught)
    assert differences(run(kind, "momentum", None), disturbed) == []


class Draws(Probe):
    name, passive = "draws", True

    def measure(self, scene):
        return {"draw": float(torch.rand(()))}


class TouchesBuffers(Probe):
    name, passive = "touches buffers", True

    def measure(self, scene):
        for buffer in scene.model.buffers():
            buffer.add_(1)
        return {"touched": 1.0}


class TouchesGradients(Probe):
    name, passive = "touches gradients", True

    def measure(self, scene):
        for p in scene.model.parameters():
            p.grad.mul_(0.999)
        return {"touched": 1.0}


class ChangesMode(Probe):
    name, passive = "changes mode", True

    def measure(self, scene):
        scene.model.eval()
        return {"touched": 1.0}


@pytest.mark.parametrize("probe", [Draws, TouchesBuffers, TouchesGradients, ChangesMode])
def test_the_check_rejects_a_probe_that_interferes(probe):
    assert differences(run("mlp", "momentum", None), run("mlp", "momentum", lambda: [probe()]))
