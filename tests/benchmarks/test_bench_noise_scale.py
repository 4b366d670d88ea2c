"""What the noise-scale benchmark computes, where the right answer is known."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from overparam.optim import NoiseScale

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    specification = importlib.util.spec_from_file_location(
        "bench_noise_scale", FOLDER / "bench_noise_scale.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_fit_finds_what_made_the_steps(bench) -> None:
    steps = {size: 30 * (1 + 46.4 / size) for size in (4, 16, 64, 256)}
    fewest, critical = bench.fitted(steps)
    assert fewest == pytest.approx(30, rel=0.05)
    assert critical == pytest.approx(46.4, rel=0.08)  # to a step of its grid
    assert bench.fitted({**steps, 1: float("inf")}) == (fewest, critical)


@pytest.mark.parametrize("task", [0, 1, 3])
def test_networks_side_by_side_step_as_the_optimizer_does(bench, task: int) -> None:
    import noise_tasks

    task = bench.TASKS[task]
    rates = [0.5, 0.125]
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(3, generator=draw)
    params = {"w": start.expand(1, 2, 3).clone()}
    singles = [torch.nn.Linear(3, 1, bias=False) for _ in rates]
    for single in singles:
        single.weight.data = start[None].clone()
    takers = [task.optimize(single, rate) for single, rate in zip(singles, rates, strict=True)]
    state: dict = {}
    for step in range(1, 4):
        g = torch.randn(3, generator=draw)
        grads = {"w": g.expand(1, 2, 3)}
        noise_tasks._advance(task, params, grads, torch.tensor(rates), state, step)
        for single, taker in zip(singles, takers, strict=True):
            single.weight.grad = g[None].clone()
            taker.step()
    found = torch.cat([single.weight.detach() for single in singles])
    torch.testing.assert_close(params["w"][0], found, rtol=1e-5, atol=1e-6)


def test_what_is_said_follows_the_loss_and_the_interval(bench) -> None:
    flat, falling = [1.0, 1.0, 0.999], [1.0, 0.9, 0.8]
    above = NoiseScale(50.0, 20.0, 90.0, 1.0, 50.0)
    assert bench.said(falling, above, 8) == "wait"
    assert bench.said(flat, above, 8) == "decay"
    assert bench.said(flat, above, 32) == "cannot tell"
    assert bench.said(flat, above, 256) == "no use"


def test_verdicts_count_what_came_true(bench) -> None:
    change = {"told": 2.0, "linear": 4.0, "was": 2.0}
    rows = {
        "batch": [{"scale": 40.0, "critical": 50.0, "changes": [change]} for _ in range(4)],
        "decay": [
            {"said": word, "kept": 1.0, "decayed": end}
            for word, end in 6 * [("decay", 0.5), ("no use", 1.0), ("wait", 1.0)]
        ],
        "warm-up": [{"told": 5, "ends": {0: 1.0, 5: 0.5, 10: 0.5}},
                    {"told": 0, "ends": {0: 1.0, 10: 1.0}}],
    }  # fmt: skip
    told = dict(bench.verdicts(rows, constant=500.0))
    assert all(text.startswith("met") for text in told.values()), told
    rows["decay"][0]["decayed"] = rows["decay"][3]["decayed"] = rows["decay"][6]["decayed"] = 1.0
    rows["batch"][0]["scale"] = rows["batch"][1]["scale"] = float("nan")
    rows["warm-up"][0]["ends"][5] = 0.9
    told = dict(bench.verdicts(rows, constant=500.0))
    assert told["decay"].startswith("not met: 'decay' right in 3 of 6")
    assert told["batch size"].startswith("not met: within 3 in 50%")
    assert told["warm-up"].startswith("not met: one told helped in 0 of 1")
