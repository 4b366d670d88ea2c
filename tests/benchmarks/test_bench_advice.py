"""The benchmark of advised rates: its tasks, its grid's rule and its table, on made-up results."""

import importlib
import json
import math
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
BUNDLED = ("digits", "breast cancer", "diabetes", "rows of digits")


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        names = ("advice_tasks", "advice_grid", "advice_methods", "bench_advice")
        yield SimpleNamespace(**{name[7:]: importlib.import_module(name) for name in names[:3]},
                              table=importlib.import_module(names[3]))  # fmt: skip
        for name in [name for name in sys.modules if name.startswith(("advice_", "bench_advice"))]:
            patch.delitem(sys.modules, name)


def test_a_third_of_the_tasks_is_kept_aside_and_both_parts_have_all_kinds(bench) -> None:
    tasks = bench.tasks.TASKS
    assert len({task.name for task in tasks}) == len(tasks) >= 26
    aside = [task for task in tasks if task.kept_aside]
    assert len(aside) == len(tasks) // 3
    for part in (aside, [task for task in tasks if not task.kept_aside]):
        assert {task.family for task in part} == {"plain", "momentum", "adaptive"}
        assert {bool(task.schedule) for task in part} == {True, False}
    quick = [task for task in tasks if task.name in bench.table.QUICK]
    assert len(quick) == len(bench.table.QUICK)
    assert not any(task.kept_aside for task in quick)


def test_tasks_train_and_only_their_own_settings_change_their_digest(bench) -> None:
    bundled = [task for task in bench.tasks.TASKS if task.name.startswith(BUNDLED)]
    assert len(bundled) >= 7
    for task in bundled:
        short = replace(task, steps=8)
        make = partial(short.make_optimizer, lr=1e-3)
        losses = [bench.grid.train(short, make, order) for order in (0, 0, 1)]
        assert losses[0] == losses[1] != losses[2]
        assert all(map(math.isfinite, losses))
        assert task.digest == replace(task).digest != short.digest
    first, other = bundled[:2]
    assert first.digest != replace(first, network=other.network).digest
    assert "class Block" in bench.tasks.described(bench.tasks.resnet)


def test_what_diverges_is_infinite_and_schedules_and_clipping_act(bench) -> None:
    task = replace(bench.tasks.TASKS[0], steps=64)
    huge = partial(task.make_optimizer, lr=1e9)
    assert bench.grid.train(task, huge, 0) == math.inf
    assert bench.grid.worth([1.0, math.inf]) == math.inf
    assert bench.grid.worth([1.0, 4.0]) == pytest.approx(2)
    assert math.isfinite(bench.grid.train(replace(task, clip_norm=1e-9), huge, 0))
    make = partial(task.make_optimizer, lr=0.5)
    still = replace(task, schedule=lambda o, _: torch.optim.lr_scheduler.LambdaLR(o, lambda _: 0))
    plain, scheduled = bench.grid.train(task, make, 0), bench.grid.train(still, make, 0)
    assert plain < scheduled
    assert bench.grid.train(still, make, 0, scheduled=False) == plain


def test_a_schedule_free_optimizer_is_judged_at_its_average(bench) -> None:
    task = replace(bench.tasks.TASKS[0], steps=8)

    class AtZero(torch.optim.SGD):
        """What it would be evaluated at is a network of zeros: a loss of ln 10."""

        def eval(self) -> None:
            self.kept = [p.detach().clone() for p in self.param_groups[0]["params"]]
            for p in self.param_groups[0]["params"]:
                p.data.zero_()

        def train(self) -> None:
            for p, value in zip(self.param_groups[0]["params"], getattr(self, "kept", []),
                                strict=False):  # fmt: skip
                p.data.copy_(value)

    reached = bench.grid.train(task, partial(AtZero, lr=0.5), 0)
    assert reached == pytest.approx(math.log(10))


@pytest.mark.parametrize(
    ("best", "limit", "powers"),
    [
        (0, 99, range(-4, 5)),
        (-4, 99, range(-6, 5)),
        (6, 99, range(-4, 9)),
        (3, 4, range(-4, 5)),
        (0, 2, range(-4, 4)),
        (-30, 99, range(-11, 5)),
    ],
    ids=["inside", "below", "above", "cliff beside it", "two diverged end it", "sixteen at most"],
)
def test_the_grid_goes_on_until_the_best_is_inside(bench, best, limit, powers) -> None:
    def at(_, rate: float) -> float:
        power = math.log2(rate)
        return math.inf if power >= limit else 1 + (power - best) ** 2

    found = bench.grid.grid(bench.tasks.TASKS[0], SimpleNamespace(at=at), guess=0)
    assert list(found) == [2.0**power for power in powers]
    assert bench.grid.best_of(found) == 2.0 ** max(best, min(powers))


def test_trainings_are_kept(bench, tmp_path) -> None:
    task, file = replace(bench.tasks.TASKS[0], steps=4), tmp_path / "grid.json"
    make = partial(task.make_optimizer, lr=0.1)
    one = bench.grid.Trainings(file, 1)
    assert one.at(task, 1e38) == math.inf
    losses = one.of(task, "0.1", make)
    more = bench.grid.Trainings(file, 3).of(task, "0.1", make)
    assert (len(losses), len(more)) == (1, 3)
    assert more[:1] == losses
    kept = json.loads(file.read_text(), parse_constant=pytest.fail)
    ((key, runs),) = kept.items()
    assert runs == {"1e+38": [None], "0.1": more}
    file.write_text(json.dumps({key: {"0.1": [7.0, 8.0, 9.0], "1e+38": [None]}}))
    known = bench.grid.Trainings(file, 3)
    assert known.of(task, "0.1", make) == [7.0, 8.0, 9.0]
    assert known.at(task, 1e38) == math.inf
    assert known.of(replace(task, steps=5), "0.1", make) != [7.0, 8.0, 9.0]


def curve(kind: str) -> tuple[list[float], list[float]]:
    rates = [1e-7 * 1e8 ** (i / 100) for i in range(10, 95)]
    fall = [2.3 / (1 + math.exp(i / 6 - 8)) for i in range(85)]
    losses = {
        "smooth": [loss + max(0, i - 70) ** 2 / 50 for i, loss in enumerate(fall)],
        "rough": [loss + 0.3 * math.sin(7.0 * i * i) for i, loss in enumerate(fall)],
        "falling": [1 / (i + 1) for i in range(85)],
        "rising": [float(i + 1) for i in range(85)],
        "broken": [math.nan if i == 60 else 2 - i / 50 + 0.2 * math.sin(5 * i) for i in range(85)],
    }
    return rates, losses[kind]


@pytest.mark.parametrize(
    ("kind", "valley", "steep"),  # as fastai 2.8.12 picks; in "rising" every slope is the same
    [
        ("smooth", 33, 47),
        ("rough", 67, 50),
        ("falling", 41, 0),
        ("rising", 0, 0),
        ("broken", 48, 24),
    ],
)
def test_picks_are_those_of_fastai(bench, kind, valley, steep) -> None:
    rates, losses = curve(kind)
    assert bench.methods.valley_of(rates, losses) == rates[valley]
    assert bench.methods.steepest_of(rates, losses) == rates[steep]


def test_the_finders_answer(bench) -> None:
    task = bench.tasks.TASKS[1]
    rates, losses = bench.methods.rising_rates(task, bench.grid.batches(455, 32, 0))
    assert rates[0] == 1e-7
    assert rates[50] == pytest.approx(1e-3)
    assert len(rates) == len(losses) <= 100
    assert bench.methods.valley(task).rate in rates
    assert math.isnan(bench.methods.valley_of([], []))
    assert math.isnan(bench.methods.steepest_of([0.1], [1.0]))
    if bench.methods.lacking("steepest (Lightning)") is None:
        found = bench.methods.steepest(task, per_factor=True)
        assert 1e-8 <= found.rate <= 1
        assert 0 < found.steps <= 100


def row(method="advice", family="plain", factor=1.0, loss=1.0, covered=None, cost=2.0) -> dict:
    return {
        "task": "made up", "family": family, "method": method, "best": 0.1, "rate": 0.1 * factor,
        "factor": factor, "loss": loss, "interval": (0.05, 0.2) if covered is not None else None,
        "cost": cost, "horizon": 1.0, "replaces": False, "covered": covered,
    }  # fmt: skip


def test_figures_of_made_up_rows(bench) -> None:
    rows = [
        row(factor=0.25, loss=1.04, covered=True),
        row(factor=1.0, loss=1.0, covered=True),
        row(factor=2.0, loss=math.inf, covered=False),
        row(factor=math.nan, loss=math.inf, cost=6.0),
    ]
    figures = bench.table.summary(rows)
    assert figures["factor"] == pytest.approx(2.0)
    assert [figures[f"≤{f}×"] for f in ("1.5", "2", "4")] == [0.25, 0.5, 0.75]
    assert figures["loss ≤1.05"] == figures["loss ≤1.2"] == 0.5
    assert figures["loss"] == pytest.approx(math.sqrt(1.04))
    assert (figures["lost"], figures["cost"]) == (2, 3.0)
    assert figures["covered"] == pytest.approx(2 / 3)
    assert json.loads(json.dumps(bench.table.strict(rows)))[2]["loss"] is None


def test_a_method_that_replaces_the_optimizer_has_no_factor(bench) -> None:
    figures = bench.table.summary([row(factor=math.nan) | {"replaces": True}])
    assert math.isnan(figures["≤2×"])
    assert figures["loss ≤1.2"] == 1
    assert bench.table.shown(figures["≤2×"], "≤2×") == "—"


def test_criteria_are_computed(bench, capsys) -> None:
    kinds = ("plain", "momentum", "adaptive")
    good = [row(family=kind) for kind in kinds]
    good += [row("advice, T/4", kind, covered=True) for kind in kinds]
    rivals = bench.table.RIVALS
    good += [row(name, kind, factor=8.0, loss=2.0) for name in rivals for kind in kinds]

    def failing(rows: list[dict]) -> int:
        return list(bench.table.criteria(bench.table.summaries(rows)).values()).count(False)

    assert failing(good) == 0
    for place, spoilt, failures in (
        (0, {"cost": 100.0}, 1),
        (0, {"factor": 100.0}, 2),
        (0, {"loss": 3.0}, 2),
        (1, {"factor": 3.0}, 2),
        (4, {"covered": False}, 1),
        (4, {"factor": 5.0}, 1),
    ):
        changed = [r | spoilt if i == place else r for i, r in enumerate(good)]
        assert failing(changed) == failures, spoilt
    from rich.console import Console

    bench.table.print_rows(Console(width=200), good)
    bench.table.print_summaries(Console(width=200), bench.table.summaries(good))
    assert "momentum optimizers" in capsys.readouterr().out
