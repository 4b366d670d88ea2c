"""Runs whose truth is known, with the statements that each must and must not get.

Budgets are generous and steps are counted, so that a slow machine trains the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from pages import disagreements
from torch import Tensor, nn
from torch.optim import SGD

from overparam import diagnose
from overparam.report import page

GOOD = "[good]"


@dataclass(frozen=True)
class Run:
    """A training, and what is to be said of it.

    Attributes:
        make: Arguments of `diagnose`.
        must: By statement: its level, and words that it contains.
        never: Words that no statement may contain.
        not_good: Statements that may not be of level good.
    """

    make: Callable[[], dict[str, Any]]
    must: dict[str, tuple[str, str]]
    never: tuple[str, ...]
    not_good: tuple[str, ...] = ()


def two_classes(n: int, seed: int = 0, flipped: float = 0.0) -> tuple[Tensor, Tensor]:
    """Two clouds far apart, some labels of the wrong one."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.randn(n, 6, generator=draw) + 4.0 * (y[:, None] - 0.5)
    wrong = torch.rand(n, generator=draw) < flipped
    return x, torch.where(wrong, 1 - y, y)


def perceptron(inputs: int = 6, width: int = 48, outputs: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))


def dead_units() -> dict[str, Any]:
    model = perceptron()
    nn.init.constant_(model[0].bias, -100.0)
    return {"model": model, "data": two_classes(128)}


def plateau() -> dict[str, Any]:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i in range(8):
        linear = nn.Linear(6 if i == 0 else 12, 12)
        nn.init.normal_(linear.weight, std=0.02)
        layers += [linear, nn.Tanh()]
    x, y = two_classes(128)
    return {"model": nn.Sequential(*layers, nn.Linear(12, 2)), "data": (x, y)}


def divergence() -> dict[str, Any]:
    x, y = two_classes(128)
    model = perceptron(outputs=1)
    return {
        "model": model, "data": (x, y.float()[:, None]), "loss": "mse",
        "optimizer": SGD(model.parameters(), lr=30.0),
    }  # fmt: skip


def interpolation() -> dict[str, Any]:
    return {"model": perceptron(), "data": two_classes(160)}


def underfit() -> dict[str, Any]:
    x = torch.randn(256, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    return {"model": nn.Linear(6, 2), "data": (x, (x[:, 0] * x[:, 1] > 0).long())}


def overfit() -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    x, noise = torch.randn(400, 20, generator=draw), torch.randn(400, 1, generator=draw)
    y = 0.3 * x[:, :1] + noise
    model = perceptron(20, 256, 1)
    return {
        "model": model, "data": (x[:40], y[:40], x[40:], y[40:]), "loss": "mse", "batch_size": 20,
        "optimizer": SGD(model.parameters(), lr=0.02, momentum=0.9),
    }  # fmt: skip


def label_noise() -> dict[str, Any]:
    x, y = two_classes(1200, flipped=0.2)
    return {"model": perceptron(width=16), "data": (x, y), "batch_size": 16, "max_steps": 360}


def noisy_small_batches() -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(240, 6, generator=draw)
    y = x[:, :1] + 0.5 * torch.randn(240, 1, generator=draw)
    return {"model": perceptron(outputs=1), "data": (x, y), "batch_size": 4, "loss": "mse"}


ALARM = "look drawn at random ("
RUNS = {
    "dead units": Run(
        dead_units, {"progress": ("critical", "is dead"), "regime": ("unknown", "")},
        ("Feature learning:", "well chosen", ALARM, "interpolates"),
        ("learning_rate", "stability", "spikes", "progress", "regime"),
    ),
    "plateau": Run(
        plateau, {"learning_rate": ("warning", "Nothing was learned")},
        ("Train at", "Feature learning:", ALARM, "interpolates"),
        ("learning_rate", "stability", "spikes", "progress", "regime"),
    ),
    "divergence": Run(
        divergence, {"learning_rate": ("critical", ""), "spikes": ("critical", "")},
        ("Raise it", "interpolates", "catapults flatten", "Train longer"),
        ("learning_rate", "stability", "spikes", "progress", "regime", "test"),
    ),
    "interpolation": Run(
        interpolation, {"progress": ("good", "interpolates"), "test": ("good", "")},
        (ALARM, "Train longer", "stuck", "dead", "Stop earlier"),
    ),
    "underfit": Run(
        underfit, {"progress": ("", "")}, (ALARM, "interpolates", "Stop after"), ("progress",),
    ),
    "overfit": Run(
        overfit, {"test": ("info", "after a best of")},
        ("Train longer", "stuck", ALARM), ("test",),
    ),
    "label noise": Run(
        label_noise, {"labels": ("warning", ALARM)}, ("interpolates", "No sign of labels"),
        ("labels",),
    ),
    "noisy small batches": Run(
        noisy_small_batches, {"learning_rate": ("", "did best")},
        (ALARM, "dead", "interpolates", "diverged"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_what_is_said_of_a_run_whose_truth_is_known(name, monkeypatch) -> None:
    run = RUNS[name]
    monkeypatch.setattr(page, "plotly", str)  # 1.5 MB for each page
    found = diagnose(**{"budget": "10m", "max_steps": 96, **run.make()})
    said = {statement.name: statement for statement in found.statements}
    summary = found.summary()
    for which, (level, words) in run.must.items():
        assert said[which].level == level or not level, summary
        assert words in said[which].text, summary
    for words in run.never:
        assert words not in summary
    for which in run.not_good:
        assert said[which].level != "good", summary
    assert not disagreements(found.to_dict())
