"""The record on disk: complete after a crash, continued after a restart."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from torch import nn

from overparam.dynamics import Monitor
from overparam.dynamics.probes import Norms

MSE = nn.functional.mse_loss


def make(path, **options):
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    options = {"probes": [Norms()], "max_overhead": math.inf, **options}
    return model, optimizer, Monitor(model, MSE, optimizer, file=path, **options)


def train(model, optimizer, monitor, steps, spoil=()):
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    for step in steps:
        optimizer.zero_grad()
        value = MSE(model(x), x[:, :1])
        value.backward()
        monitor.step(math.nan if step in spoil else value, batch=(x, x[:, :1]))
        optimizer.step()


def entries(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_holds_what_the_history_holds(tmp_path):
    path = tmp_path / "run.jsonl"
    model, optimizer, monitor = make(path)
    with monitor:
        train(model, optimizer, monitor, range(6))
    found = entries(path)
    assert found[0]["begin"] == 0
    assert found[0]["model"] == "Linear"
    assert found[-1]["end"] == 6
    losses = [loss for entry in found for loss in entry.get("loss", [])]
    assert losses == monitor.history["loss"].tolist()
    norms = [entry["grad_norm"] for entry in found if "grad_norm" in entry]
    assert norms == monitor.history["grad_norm"].tolist()


def test_without_a_step_there_is_no_file(tmp_path):
    with make(tmp_path / "run.jsonl")[2]:
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_finite_is_null_and_an_event(tmp_path):
    path = tmp_path / "run.jsonl"
    model, optimizer, monitor = make(path)
    train(model, optimizer, monitor, range(4), spoil=[2])
    assert [e.kind for e in monitor.events] == ["non-finite"]
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    assert any(entry.get("loss") == [None] for entry in entries(path))
    assert [e["event"]["kind"] for e in entries(path) if "event" in e] == ["non-finite"]


def test_a_resumed_run_appends_after_a_torn_line(tmp_path):
    path = tmp_path / "run.jsonl"
    model, optimizer, monitor = make(path)
    train(model, optimizer, monitor, range(4))
    state = monitor.state_dict()
    with path.open("ab") as file:
        file.write(b'{"steps": [4], "lo')
    before = path.read_bytes()
    model, optimizer, again = make(path)
    again.load_state_dict(state)
    train(model, optimizer, again, range(4, 6))
    again.close()
    after = path.read_bytes()
    assert after.startswith(before)  # nothing that was there is touched
    later = [json.loads(line) for line in after[len(before) :].splitlines() if line]
    assert later[0]["begin"] == 4
    assert [step for entry in later for step in entry.get("steps", [])] == [4, 5]


def steps_in(path) -> list[int]:
    """Steps whose losses stand in the whole lines of a record."""
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.exists() else []
    return [step for line in whole for step in json.loads(line).get("steps", [])]


def test_a_killed_training_leaves_what_it_recorded(tmp_path):
    path, script = tmp_path / "run.jsonl", tmp_path / "train.py"
    script.write_text(
        textwrap.dedent("""
        import math, sys, torch
        from overparam.dynamics import Monitor
        from overparam.dynamics.probes import Norms
        torch.set_num_threads(1)
        model = torch.nn.Linear(4, 1)
        loss, x = torch.nn.functional.mse_loss, torch.randn(8, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        monitor = Monitor(model, loss, optimizer, probes=[Norms()], max_overhead=0.5,
                          file=sys.argv[1])
        while True:
            value = loss(model(x), x[:, :1])
            optimizer.zero_grad()
            value.backward()
            monitor.step(value, batch=(x, x[:, :1]))
            optimizer.step()
            if monitor.record.last("grad_norm") == monitor.record.last("grad_norm"):
                print("measured", flush=True)
    """)
    )
    with subprocess.Popen([sys.executable, script, path], stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 240
        while len(steps_in(path)) <= 100 and time.monotonic() < deadline:
            for _ in range(200):
                assert process.stdout.readline() == b"measured\n"
        process.send_signal(signal.SIGKILL)
    steps = steps_in(path)
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert len(steps) > 100


@pytest.mark.parametrize("place", ["nowhere/run.jsonl", ""])
def test_a_place_that_cannot_hold_it_is_named_at_once(tmp_path, place):
    with pytest.raises(ValueError, match=r"Monitor\(file=...\)"):
        make(tmp_path / place)


@pytest.mark.skipif(os.geteuid() != 0 and not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_costs_the_file_and_nothing_else():
    model, optimizer, monitor = make("/dev/full")
    with pytest.warns(RuntimeWarning, match="'file' is switched off after OSError"):
        train(model, optimizer, monitor, range(1))
    train(model, optimizer, monitor, range(2))
    assert len(monitor.history) == 3
