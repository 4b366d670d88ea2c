"""The finder at its door: any form of model, data and optimizer, and what comes back."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.utils.data import DataLoader, TensorDataset

from overparam import diagnose, suggest_lr
from overparam.report.page import render


def data(n: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


@pytest.fixture(scope="module")
def found():
    """A race on two easy classes, shared by the tests that only read it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    return suggest_lr(model, data(), None, lambda p: SGD(p, lr=1.0), steps=120, batch_size=16,
                      budget="10m")  # fmt: skip


def test_it_says_what_it_did(found) -> None:
    assert found.verdict in ("found", "flat", "between")
    assert found.interval[0] <= found.rate < found.interval[1]
    assert (found.steps, found.planned_steps) == (120, 120)
    # A rate that is left and comes back is trained twice.
    assert found.trial_steps >= sum(trial["steps"] for trial in found.trials)
    assert f"{found.rate:.3g}" in found.summary()
    assert repr(found).startswith(f"<SuggestedRate: {found.rate:.3g} (")
    assert len(repr(found)) < 200  # not the losses of all trainings
    assert json.loads(found.to_json(), parse_constant=pytest.fail)["kind"] == "rate"


def test_its_page_is_drawn(found, tmp_path: Path) -> None:
    page = found.report(tmp_path / "rate.html").read_text(encoding="utf-8")
    assert f"Learning rate {found.rate:.3g}" in page
    assert "The trainings that went furthest" in page
    nothing = {"kind": "rate", "rate": None, "curve": None, "trials": None}
    assert "A learning rate" in render([nothing])


def test_its_plot_has_the_curve_and_the_pick(found) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, ax = pyplot.subplots()
    assert found.plot(ax) is ax
    curve = ax.lines[0].get_xdata()
    assert found.rate in curve
    pyplot.close(figure)


def warm_up(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 50, 1.0))


def one_cycle(optimizer):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=100)


@pytest.mark.parametrize("schedule", [warm_up, one_cycle])
def test_the_rate_in_use_is_the_peak_of_a_schedule_that_has_begun(schedule) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = SGD(model.parameters(), lr=0.05)
    schedule(optimizer)
    before = [dict(group, params=None) for group in optimizer.param_groups]
    assert before[0]["lr"] < 0.005
    found = suggest_lr(model, data(), None, optimizer, steps=8, batch_size=32, budget="10m")
    assert 0.05 in [trial["rate"] for trial in found.trials]
    assert [dict(group, params=None) for group in optimizer.param_groups] == before
    told = diagnose(model, data(), None, optimizer, steps=8, max_steps=8, budget="10m")
    # A run without a schedule is trained at it throughout.
    assert told.series["lr"]["value"] == [0.05] * 8


def test_a_schedule_with_a_peak_of_its_own_is_scaled_to_the_rate_that_is_tried() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    cycle = lambda o, n: torch.optim.lr_scheduler.OneCycleLR(o, 0.05, total_steps=n)  # noqa: E731
    named = {"schedule": cycle, "steps": 12, "budget": "10m"}
    found = suggest_lr(model, data(), None, SGD(model.parameters(), lr=9.0, momentum=0.9), **named)
    assert len(set(found.curve["loss"])) > 2
    assert 0.05 in [trial["rate"] for trial in found.trials]  # the rate in use is the cycle's
    told = diagnose(
        model, data(), None, lambda p: SGD(p, lr=0.02, momentum=0.9), max_steps=12, **named
    )
    assert max(told.series["lr"]["value"]) == pytest.approx(0.05, rel=1e-2)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (lambda o, n: torch.optim.lr_scheduler.ReduceLROnPlateau(o), "step\\(\\) needs metrics"),
        (lambda o: o, "takes 1 positional argument but 2 were given"),
        (lambda o, n: None, "got None"),
    ],
)
def test_what_is_no_schedule_is_told_before_the_race(schedule, words) -> None:
    with pytest.raises(TypeError, match=rf"`suggest_lr\(schedule=...\)` expected .*{words}"):
        suggest_lr(nn.Linear(4, 2), data(), schedule=schedule, steps=8, budget="10m")


def test_a_loader_an_optimizer_and_epochs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
    first, others = model[0].parameters(), [*model[1].parameters(), *model[3].parameters()]
    optimizer = Adam([{"params": first, "lr": 1e-6}, {"params": others, "lr": 1e-5}])
    loader = DataLoader(TensorDataset(*data()), batch_size=24)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = suggest_lr(model, loader, nn.CrossEntropyLoss(), optimizer, epochs=10, budget="10m")
    assert found.batch_size == 24
    assert found.planned_steps == 10 * (96 // 24)  # nothing is set aside
    # Its own rate was far too small, and that is told with numbers.
    assert found.statements[0].action.startswith("Raise it to")
    assert "at the rate in use, 1e-5" in found.statements[0].text
    assert [group["lr"] for group in optimizer.param_groups] == [1e-6, 1e-5]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not optimizer.state


@pytest.mark.parametrize("frozen", [False, True])
def test_a_group_that_trains_nothing_has_no_rate_in_use(frozen) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8).requires_grad_(not frozen), nn.Tanh(), nn.Linear(8, 2))
    idle = model[0].parameters() if frozen else []
    others = model[2].parameters() if frozen else model.parameters()
    optimizer = SGD([{"params": idle, "lr": 5.0}, {"params": others, "lr": 0.1}])
    found = suggest_lr(model, data(), None, optimizer, steps=8, budget="10m")
    alone = suggest_lr(model, data(), None, SGD(others if frozen else model.parameters(), lr=0.1),
                       steps=8, budget="10m") if not frozen else found  # fmt: skip
    assert found.rate == alone.rate
    assert 0.1 in [trial["rate"] for trial in found.trials]
    told = diagnose(model, data(), None, optimizer, max_steps=8, steps=8, budget="10m")
    assert set(told.series["lr"]["value"]) == {0.1}


def test_the_same_seed_gives_the_same_answer(found) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    again = suggest_lr(model, data(), None, lambda p: SGD(p, lr=1.0), steps=120, batch_size=16,
                       budget="10m")  # fmt: skip
    assert again.curve == found.curve
    assert again.trials == found.trials


def test_one_logit_for_two_classes_is_taken() -> None:
    x, y = data()
    loss = lambda f, y: nn.functional.binary_cross_entropy_with_logits(f[:, 0], y.float())  # noqa: E731
    torch.manual_seed(0)
    found = suggest_lr(nn.Linear(4, 1), (x, y), loss, steps=60, budget="10m")
    assert found.rate > 0


def test_a_subclass_with_a_step_of_its_own_gets_a_rate_like_any_other() -> None:
    class Own(SGD):
        def step(self, closure=None):
            return super().step(closure)

    torch.manual_seed(0)
    found = suggest_lr(nn.Linear(4, 2), data(), None, lambda p: Own(p, lr=1.0), steps=60,
                       budget="10m")  # fmt: skip
    assert found.optimizer == "Own"
    assert math.isfinite(found.rate)


def test_a_small_part_of_the_training_is_called_rough() -> None:
    torch.manual_seed(0)
    found = suggest_lr(nn.Linear(4, 2), data(), steps=1000, longest=64, budget="10m")
    assert found.verdict == "rough"
    assert found.statements[0].level == "unknown"
    assert "order of magnitude" in found.summary()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [({"epochs": 2, "steps": 3}, ValueError, "one of the two, got both"),
     ({"steps": 0}, ValueError, r"suggest_lr\(steps=...\)` expected a positive number"),
     ({"epochs": "two"}, TypeError, r"suggest_lr\(epochs=...\)` expected a positive number"),
     ({"budget": "soon"}, ValueError, r"suggest_lr\(budget=...\)` expected a time"),
     ({"batch_size": "8"}, TypeError, r"suggest_lr\(batch_size=...\)` expected a positive number"),
     ({"batch_size": 1000}, ValueError, r"suggest_lr\(batch_size=...\)` expected a size"),
     ({"loss": "huber"}, ValueError, r"suggest_lr\(loss=...\)` expected"),
     ({"longest": 0}, ValueError, r"suggest_lr\(longest=...\)` expected a positive number")],
)  # fmt: skip
def test_bad_input_is_one_error_of_its_own(options, error, words) -> None:
    with pytest.raises(error, match=words):
        suggest_lr(nn.Linear(4, 2), data(), **options)
