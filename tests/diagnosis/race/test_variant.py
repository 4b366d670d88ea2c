"""Optimizers and batch sizes beside the training planned."""

import math
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn
from torch.optim import SGD

from overparam import suggest_lr
from overparam.diagnosis.comparison_statement import better, comparison_statements
from overparam.diagnosis.examples import Examples
from overparam.diagnosis.race import variant
from overparam.diagnosis.race.recipe import recipe_of
from overparam.diagnosis.race.run import Clock, run_race
from overparam.diagnosis.race.variant import (
    Reached,
    Variant,
    batch_size_variants,
    makers_of,
    optimizer_variants,
    reached,
)
from overparam.diagnosis.task import TrainingTask, build_task, with_details
from overparam.errors import OverparamError
from overparam.report.page import render

STEPS = 64


def squares(size: int = 16, schedule=None) -> TrainingTask:
    """Least squares in two directions whose curvatures are a factor 100 apart."""
    x = torch.eye(2).repeat(32, 1) * torch.tensor([1.0, 10.0])
    examples = Examples("squares", x, x @ torch.ones(2, 1), x[:0], x[:0, :1])
    model = nn.Linear(2, 1, bias=False)
    nn.init.constant_(model.weight, 0.5)
    return with_details(
        build_task(model, examples, "mse", lambda p: SGD(p, lr=1.0), size), schedule, None, 1
    )


@pytest.fixture(scope="module")
def planned():
    """A race of the training planned, which all are compared with."""
    return run_race(recipe_of(squares()), STEPS, clock=Clock())


def row(name: str, loss: float, kind="optimizer", rate: float = 0.1, steps: int = 64) -> Reached:
    return Reached(
        kind, name, rate if loss == loss else math.nan, loss, 0.5, steps, steps, "finished"
    )  # fmt: skip


def test_momentum_wins_where_curvatures_differ(planned) -> None:
    recipe = recipe_of(squares())
    (heavy,) = optimizer_variants(recipe, makers_of(["heavy ball"], "here"))
    found = reached(heavy, planned, order=0, clock=Clock())
    own = variant.planned_row(planned, "optimizer", "SGD")
    assert found.name == "SGD with momentum 0.9"
    assert found.steps == own.steps == STEPS
    # Gradient descent shrinks the error by 1 − 2/101 a step at best, heavy ball by about √.9.
    assert found.loss < own.loss / 1.25
    assert comparison_statements([own, found])[0].action == ""  # both have nearly interpolated
    (said,) = comparison_statements([replace(own, began=own.loss), found])
    assert said.action == f"Change to SGD with momentum 0.9, at {found.rate:.3g}."


def test_an_optimizer_that_is_meant_for_one_rate_is_trained_once(planned) -> None:
    at_one = Variant("optimizer", "mine", recipe_of(squares()), fixed=2**-6)
    found = reached(at_one, planned, order=0, clock=Clock())
    assert (found.rate, found.trial_steps, at_one.cost) == (2**-6, STEPS, 1.0)


@pytest.mark.parametrize("name", ["prodigy", "schedule-free"])
def test_entrants_of_packages_learn_and_are_the_same_twice(planned, name) -> None:
    pytest.importorskip(variant.NEEDS[name])
    (entrant,) = optimizer_variants(recipe_of(squares()), makers_of([name], "here"))
    found, again = (reached(entrant, planned, order=0, clock=Clock()) for _ in range(2))
    assert found == again
    assert found.steps == STEPS
    assert found.loss < found.began / 10
    assert (found.rate == 1.0) == (name == "prodigy")


def test_other_batches_see_as_many_examples_around_the_scaled_rate(planned) -> None:
    both = batch_size_variants(lambda n: recipe_of(squares(n)), 16, [4, 16, 32], linear=True)
    assert [(one.name, one.stretch, one.scale) for one in both] == [("4", 4, 1 / 4), ("32", 0.5, 2)]
    rooted = batch_size_variants(lambda n: recipe_of(squares(n)), 16, [4], linear=False)
    assert rooted[0].scale == 0.5
    # All batches have the same curvature here: twice the rate diverges, and the race goes down.
    found = reached(both[1], planned, order=0, clock=Clock())
    assert (found.steps, found.rate) == (STEPS // 2, planned.rate)


def test_what_ran_out_of_time_is_no_row_of_numbers(planned) -> None:
    (heavy,) = optimizer_variants(recipe_of(squares()), makers_of(["heavy ball"], "here"))
    found = reached(heavy, planned, order=0, clock=Clock(deadline=0.0))
    assert math.isnan(found.loss)
    assert (found.steps, found.stopped) == (0, "budget")
    (said,) = comparison_statements([row("SGD", 0.1), found])
    assert said.level == "unknown"
    assert "no time" in said.text


@pytest.mark.parametrize(
    ("rows", "level", "action"),
    [
        ([row("SGD", 0.10), row("AdamW", 0.081)], "good", ""),
        ([row("SGD", 0.10), row("AdamW", 0.05)], "info", "Change to AdamW, at 0.1."),
        ([row("SGD", 0.10), row("AdamW", math.nan)], "good", ""),
        # Below a tenth of the first loss, 0.5, another order changes more.
        ([row("SGD", 0.010), row("AdamW", 0.006)], "good", ""),
        ([row("SGD", 0.010), row("AdamW", 0.004)], "info", "Change to AdamW, at 0.1."),
        ([row("32", 0.1, "batch size"), row("128", 0.11, "batch size")], "good", ""),
        (
            [row("32", 0.1, "batch size"), row("128", 0.1, "batch size", 0.4)],
            "info", "Change to batches of 128, at 0.4.",
        ),
        (
            [row("32", 0.1, "batch size"), row("8", 0.05, "batch size", 0.02, 256)],
            "info", "Change to batches of 8, at 0.02.",
        ),
    ],
)  # fmt: skip
def test_what_another_order_may_change_is_no_reason_to_change(rows, level, action) -> None:
    (said,) = comparison_statements(rows)
    assert (said.level, said.action) == (level, action)
    assert not any(better(one, one) for one in rows)


def test_wrong_names_are_told_and_absent_packages(monkeypatch) -> None:
    for wrong in (["adam-w"], "adamw", [3], {"mine": 3}):
        with pytest.raises(OverparamError, match=r"suggest_lr\(optimizers="):
            suggest_lr(None, "digits", optimizers=wrong)
    monkeypatch.setattr(variant, "find_spec", lambda name: None)
    with pytest.raises(OverparamError, match="pip install prodigyopt"):
        suggest_lr(None, "digits", optimizers=["prodigy"])
    for wrong in ([0], [5000], [2.5]):
        with pytest.raises(OverparamError, match=r"suggest_lr\(batch_sizes="):
            suggest_lr(None, "iris", batch_sizes=wrong)


def test_both_at_the_door_and_on_the_page(tmp_path) -> None:
    task = squares()
    found = suggest_lr(
        task.model, (task.examples.x, task.examples.y), "mse", lambda p: SGD(p, lr=1.0), steps=32,
        batch_size=16, optimizers={"momentum": lambda p: SGD(p, lr=1.0, momentum=0.8)},
        batch_sizes=[32], budget="10m",
    )  # fmt: skip
    kinds = [(one["kind"], one["name"]) for one in found.compared]
    assert kinds == [
        ("optimizer", "SGD"), ("optimizer", "momentum"), ("batch size", "16"), ("batch size", "32"),
    ]  # fmt: skip
    names = [statement.name for statement in found.statements]
    assert names == ["learning_rate", "optimizer", "batch_size"]
    page = render([found.to_dict()])
    assert "momentum" in page
    assert "batches of 32" in page


def test_an_interruption_keeps_what_was_compared(monkeypatch) -> None:
    task, asked = squares(), []

    def interrupted(params):
        class Stop(SGD):
            def step(self, closure=None):
                asked.append(1)
                raise KeyboardInterrupt

        return Stop(params, lr=1.0)

    found = suggest_lr(
        task.model, (task.examples.x, task.examples.y), "mse", lambda p: SGD(p, lr=1.0), steps=32,
        batch_size=16, optimizers={"mine": interrupted, "other": interrupted}, budget="10m",
    )  # fmt: skip
    assert len(asked) == 1
    assert found.rate > 0
    assert found.stopped == "interrupted"
    assert asdict(found)["compared"][1]["steps"] == 0
