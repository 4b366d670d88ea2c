"""The record on disk: complete after a crash, continued after a restart."""

import copy
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from overparam.dynamics import Monitor
from overparam.dynamics.probes import Norms
from overparam.dynamics.record_file import RecordFile

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


@pytest.mark.parametrize("rate", [math.inf, math.nan])
def test_a_learning_rate_that_is_not_finite_is_null(tmp_path, rate):
    path = tmp_path / "run.jsonl"
    model, optimizer, monitor = make(path)
    train(model, optimizer, monitor, range(2))
    optimizer.param_groups[0]["lr"] = rate
    train(model, optimizer, monitor, range(2, 3))
    monitor.close()
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    assert [rate for entry in entries(path) for rate in entry.get("lr", [])] == [0.05, 0.05, None]


def test_a_file_that_is_removed_meanwhile_begins_anew(tmp_path):
    path = tmp_path / "run.jsonl"
    model, optimizer, monitor = make(path)
    train(model, optimizer, monitor, range(3))
    monitor.events  # noqa: B018  takes what waits
    path.unlink()
    train(model, optimizer, monitor, range(3, 5))
    monitor.close()
    assert ["begin" in entry for entry in entries(path)][:2] == [True, False]
    assert steps_in(path) == [3, 4]


def test_what_the_disk_takes_in_pieces_is_written_whole(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, text: write(handle, text[:7]))
    path = tmp_path / "run.jsonl"
    model, optimizer, monitor = make(path)
    with monitor:
        train(model, optimizer, monitor, range(3))
    monkeypatch.undo()
    assert steps_in(path) == [0, 1, 2]


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


# The next ones are about a file that two want to write to.

two_processes = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and its locks")


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[tuple[int, int]]:
    """Another process that does some work and then waits; killed in the end.

    Yields:
        Its number, and a pipe that has the next line when the work is done.
    """
    done, tell = os.pipe()
    with warnings.catch_warnings():
        # It computes nothing with torch, whose threads it lacks.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
            os.write(tell, b"done\n")
        except BaseException:
            traceback.print_exc()
            os.write(tell, b"fail\n")
        time.sleep(300)
        os._exit(0)
    os.close(tell)
    try:
        assert os.read(done, 5) == b"done\n"
        yield child, done
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(done)


def one_run(path) -> RecordFile:
    """A run that has begun."""
    record = RecordFile(path, {})
    record.losses([0], [1.0], [0.1])
    return record


RUNNING: list[RecordFile] = []  # of a process that is only there for a test


@two_processes
def test_a_second_process_is_refused_before_it_trains(tmp_path, monkeypatch):
    path, link = tmp_path / "run.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    with forked(lambda: RUNNING.append(one_run(path))):
        for name in (path, link, "run.jsonl"):
            with pytest.raises(ValueError, match=r"`Monitor\(file=...\)`.*no other.*in another"):
                make(name)
    model, optimizer, monitor = make(link)  # the other has been killed
    train(model, optimizer, monitor, range(2))
    monitor.close()
    assert [entry["begin"] for entry in entries(path) if "begin" in entry] == [0, 0]


@two_processes
def test_a_process_that_begins_at_the_same_time_is_refused_with_the_first_line(tmp_path):
    path = tmp_path / "run.jsonl"
    model, optimizer, monitor = make(path)
    with forked(lambda: RUNNING.append(one_run(path))):
        before = path.read_bytes()
        with pytest.raises(ValueError, match=r"`Monitor\(file=...\)`.*no other"):
            train(model, optimizer, monitor, range(1))
        monitor.close()
        assert path.read_bytes() == before


@two_processes
def test_what_is_forked_neither_writes_nor_lets_go_nor_holds(tmp_path):
    path = tmp_path / "run.jsonl"
    record = one_run(path)

    def inherit() -> None:
        for _ in range(2):
            with pytest.raises(OSError, match="not by one forked"):
                record.end(1)
        record._writer.close()

    with forked(inherit):
        with forked(lambda: refused(path)):
            pass  # it is held still
        record.losses([1], [2.0], [0.1])
        record.end(2)
        with forked(lambda: one_run(path)):
            pass  # it is free, although the first that was forked is there
    assert [loss for entry in entries(path) for loss in entry.get("loss", [])] == [1.0, 2.0, 1.0]


def refused(path) -> None:
    with pytest.raises(ValueError, match="in another process"):
        RecordFile(path, {})


@two_processes
def test_a_process_that_is_killed_lets_go_although_what_it_forked_lives(tmp_path):
    path, alive = tmp_path / "run.jsonl", tmp_path / "alive"

    def fork_again() -> None:
        RUNNING.append(one_run(path))
        if os.fork() == 0:
            alive.write_text(str(os.getpid()))
            time.sleep(300)
        while not (alive.exists() and alive.read_text()):
            time.sleep(0.01)

    with forked(fork_again):
        refused(path)
    try:
        one_run(path)
        assert steps_in(path) == [0, 0]
    finally:
        os.kill(int(alive.read_text()), signal.SIGKILL)


@two_processes
def test_of_two_in_one_process_the_second_is_refused_once(tmp_path):
    path = tmp_path / "run.jsonl"
    model, optimizer, first = make(path)
    other, its_optimizer, second = make(path)
    train(model, optimizer, first, range(2))
    with pytest.raises(ValueError, match=r"`Monitor\(file=...\)`.*another does.*\n.*close\(\)"):
        train(other, its_optimizer, second, range(1))
    train(other, its_optimizer, second, range(1))  # without the file
    second.close()
    train(model, optimizer, first, range(2, 4))
    first.close()
    assert sum("begin" in entry for entry in entries(path)) == 1
    assert steps_in(path) == [0, 1, 2, 3]


@two_processes
@pytest.mark.parametrize("how", ["closed", "dropped", "kept"])
def test_one_after_the_other_both_write(tmp_path, how):
    path = tmp_path / "run.jsonl"
    model, optimizer, monitor = make(path)
    train(model, optimizer, monitor, range(2))
    monitor.events  # noqa: B018  takes what waits
    if how == "closed":
        monitor.close()
    kept = monitor if how == "kept" else None
    # As when a cell of a notebook is run again: the old one is there until the new one is.
    model, optimizer, monitor = make(path)
    train(model, optimizer, monitor, range(3))
    assert len(monitor.history) == 3
    if kept is not None:
        with pytest.warns(RuntimeWarning, match="made later writes"):
            kept.close()
    monitor.close()
    assert steps_in(path) == [0, 1, 0, 1, 2]
    assert entries(path)[-1]["end"] == 3


@two_processes
def test_a_copy_holds_nothing(tmp_path):
    path = tmp_path / "run.jsonl"
    model, optimizer, monitor = make(path)
    train(model, optimizer, monitor, range(2))
    dropped, again = copy.deepcopy(monitor), copy.deepcopy(monitor)
    del dropped
    again.close()  # the record stays the first one's
    train(model, optimizer, monitor, range(2, 3))
    monitor.close()
    assert steps_in(path) == [0, 1, 2]
