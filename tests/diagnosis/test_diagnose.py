"""The whole job, on tasks of a few seconds."""

import json
import math
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from overparam._curves import stretch_means
from overparam._environment import environment
from overparam.diagnosis.diagnose import diagnose, parse_budget


@pytest.fixture(scope="module")
def digits():
    """One diagnosis of the built-in network, shared by the tests that only read it."""
    return diagnose(budget="10m", max_steps=900, seed=1)


def test_it_is_complete_and_strict_json(digits, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    text = digits.to_json(path)
    assert path.read_text(encoding="utf-8") == text
    stored = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert set(stored) == {
        "kind", "environment", "model", "data", "advice", "statements", "events", "suspects",
        "series",
    }  # fmt: skip
    assert stored["environment"].keys() == {
        *environment(seconds=0, seed=0, threads=1), "budget_seconds"
    }  # fmt: skip
    assert len(stored["environment"]["data"]) == 32
    assert set(stored["advice"]) >= {
        "learning_rate", "stable_limit", "optimizer", "batch_size", "critical_batch_sizes",
        "momentum", "mass",
    }  # fmt: skip
    low, high = stored["advice"]["interval"]
    assert low < stored["advice"]["learning_rate"] < high
    assert stored["advice"]["horizon"] == {"steps": 900, "of": 900}
    assert stored["data"]["train"] == 1438
    assert stored["model"]["parameters"] == 64 * 256 + 256 + 256 * 256 + 256 + 2560 + 10


def test_the_advice_is_in_the_range_that_trains(digits) -> None:
    # At 4, the limit at initialisation, this network does not train.
    assert 0.1 < digits.advice["learning_rate"] < 2
    assert digits.advice["limit_at_initialisation"] > 2
    assert digits.advice["verdict"] in ("found", "flat", "between")
    sweep = digits.series["rate_sweep"]
    assert sweep["advised"] in sweep["lr"]
    assert min(sweep["loss"]) < 0.2


def test_it_trained(digits) -> None:
    loss = digits.series["loss"]["value"]
    assert stretch_means(loss, 10)[-1] < 0.2 * stretch_means(loss, 10)[0]
    assert digits.series["test_error"]["value"][-1] < 0.1
    assert len(digits.series["agop"]["diagonal"]) == 64
    assert digits.series["agop"]["image_shape"] == [8, 8]


def test_clean_labels_have_no_suspects_and_are_spoken_of_once(digits) -> None:
    by_name = {statement.name: statement for statement in digits.statements}
    assert by_name["labels"].level == "good"
    assert digits.suspects == []
    # What the monitor says of labels meanwhile, knowing less, is not repeated beside it.
    assert not {"armed", "noise_rate", "suspect_loss"} & set(digits.series)
    assert len(digits.series["scores"]["score"]) == 1438


def test_summary_says_every_statement(digits) -> None:
    text = digits.summary()
    for statement in digits.statements:
        assert statement.text in text


def measure_everything(monkeypatch) -> None:
    """No clock decides what a run has time to measure."""
    module = sys.modules["overparam.diagnosis.diagnose"]
    monkeypatch.setattr(module, "_OVERHEAD", math.inf)
    monkeypatch.setattr(module, "_MOST_OVERHEAD", math.inf)


def test_nothing_of_the_users_is_changed(monkeypatch) -> None:
    measure_everything(monkeypatch)
    torch.manual_seed(5)
    model = nn.Sequential(
        nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x, y = torch.randn(90, 4), torch.arange(90) % 3
    state = {name: value.clone() for name, value in model.state_dict().items()}
    rng, threads = torch.get_rng_state(), torch.get_num_threads()
    found = diagnose(model, (x, y), None, optimizer, budget="10m", max_steps=50)
    assert torch.equal(rng, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    assert model.training
    assert not optimizer.state
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert found.advice["optimizer"] == "Adam"
    # With batch norm too: what is measured is the network in training mode.
    assert found.advice["stable_limit"] > 0
    assert {"sharpness", "kernel_change"} <= set(found.series)
    assert found.series["kernel_change_after"]["step"] == [50]
    by_name = {statement.name: statement for statement in found.statements}
    assert "unknown" not in (by_name["stability"].level, by_name["regime"].level)


def test_a_regression_without_labels_says_what_it_cannot_tell() -> None:
    x = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    found = diagnose(None, (x, x[:, :1] * x[:, 1:2]), budget="10m", max_steps=50)
    by_name = {statement.name: statement for statement in found.statements}
    assert by_name["labels"].level == "unknown"
    assert by_name["inputs"].level == "info"
    assert found.suspects == []
    assert found.data["task"] == "regression"


@pytest.mark.timeout(1200)  # 25 epochs, until the labels are judged
def test_wrong_labels_are_found_and_shown() -> None:
    from overparam.datasets import load, prepare

    data = prepare(load("digits"))
    x, labels = data.x_train[:720], data.y_train[:720].copy()
    generator = torch.Generator().manual_seed(0)
    flipped = torch.randperm(len(labels), generator=generator)[:215]
    for i in flipped.tolist():
        labels[i] = (labels[i] + 1 + int(torch.randint(9, (1,), generator=generator))) % 10
    found = diagnose(None, (x, labels, data.x_test, data.y_test), budget="10m", max_steps=23 * 25)
    by_name = {statement.name: statement for statement in found.statements}
    assert by_name["labels"].level == "warning", by_name["labels"].text
    wrong = {int(i) for i in flipped}
    hit = sum(suspect["id"] in wrong for suspect in found.suspects)
    assert hit >= 0.9 * len(found.suspects)
    assert len(found.suspects[0]["image"]) == 8


def test_an_optimizer_without_a_known_limit_is_told_of() -> None:
    x, y = torch.randn(60, 3), torch.arange(60) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnose(
            None, (x, y), None, lambda p: torch.optim.Rprop(p), budget="10m", max_steps=50
        )
    # Its rate is found like any other; only what explains it is missing.
    assert found.advice["learning_rate"] > 0
    by_name = {statement.name: statement for statement in found.statements}
    assert by_name["stability"].level == "unknown"
    assert json.loads(found.to_json())["advice"]["stable_limit"] is None


def test_after_a_run_that_diverged_nothing_is_measured() -> None:
    x, y = torch.randn(60, 3), torch.arange(60) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnose(
            None, (x, y), None, lambda p: torch.optim.SGD(p, lr=1e38), budget="10m",
            max_steps=1,  # no batch has seen what it made of the weights
        )  # fmt: skip
    assert "agop" not in found.series
    assert json.loads(found.to_json())
    by_name = {statement.name: statement for statement in found.statements}
    assert by_name["spikes"].level == "critical"
    assert by_name["test"].level == "unknown"


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("1.5m", 90), (7, 7), ("2h", 7200), (" 10 ", 10)]
)
def test_budgets(text: str | float, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3s", "60 s x", math.nan])
def test_budgets_that_are_none(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"budget=...\)` expected a time"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "h", math.inf, 1e12])
def test_a_budget_without_end(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"`diagnose\(budget=...\)` expected"):
        parse_budget(text)


def test_a_budget_too_small() -> None:
    with pytest.raises(ValueError, match="expected at least 5 s, got 1 s"):
        diagnose(budget="1s")

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            import time

            time.sleep(0.2)
            return self.layer(x)

    with pytest.raises(ValueError, match="60 training steps of"):
        diagnose(Slow(), (torch.randn(40, 3), torch.arange(40) % 2), budget=5)


def test_a_measurement_that_fails_costs_a_warning_and_no_more(monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no derivative of this layer")

    monkeypatch.setattr("overparam.diagnosis.measure.change_since", fails)
    measure_everything(monkeypatch)
    x, y = torch.randn(60, 3), torch.arange(60) % 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = diagnose(None, (x, y), budget="10m", max_steps=20)
    told = [str(warning.message) for warning in caught]
    assert any("the kernel's change: RuntimeError: no derivative" in text for text in told)
    by_name = {statement.name: statement for statement in found.statements}
    # The last of those along the run stands in for it.
    assert by_name["regime"].value == found.series["kernel_change"]["value"][-1]


# The budget lets a step take 2.7 s.
@pytest.mark.timeout(1200)
def test_the_transformer_example_predicts_every_position(shared_data: Path, tmp_path: Path) -> None:
    from overparam.diagnosis.command import run_diagnosis

    spec = Path(__file__).resolve().parents[2] / "examples" / "shakespeare_transformer.py"
    text = spec.read_text(encoding="utf-8")
    # A quarter as wide and as long: every phase takes a network's own time.
    for whole, quarter in (
        ("WIDTH, CHARACTERS = 64, 64, 65", "WIDTH, CHARACTERS = 16, 16, 65"),
        ("windows[:, 1:]", "windows[:, -15:]"),
        ("windows.astype", "windows[:, -16:].astype"),
    ):
        assert whole in text
        text = text.replace(whole, quarter)
    narrow = tmp_path / "narrow.py"
    narrow.write_text(text, encoding="utf-8")
    found = run_diagnosis(str(narrow), None, None, None, budget="2m", seed=0, max_steps=20)
    by_name = {statement.name: statement for statement in found.statements}
    assert by_name["regime"].level != "unknown"
    assert by_name["labels"].level == "unknown"
    assert found.advice["optimizer"] == "AdamW"
    assert found.series["test_error"]["value"]


@pytest.mark.parametrize(
    ("where", "share"), [("finding the learning rate", 0.9), ("training", 0.0)]
)
def test_whoever_interrupts_it_is_told_the_best_rate_so_far(where, share, capsys) -> None:
    def interrupted(stage: str, done: float) -> None:
        if stage == where and done >= share:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diagnose(budget="10m", max_steps=60, progress=interrupted)
    assert re.fullmatch(
        r"The best rate so far: \S+, of \d+ compared over \d+ steps\.\n", capsys.readouterr().err
    )
