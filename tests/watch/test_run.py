"""A record on disk, read while it grows."""

import json
import os
import platform
import subprocess
import sys

import pytest

from overparam.watch import RunFile
from overparam.watch.page import update

BEGIN = {"begin": 0, "pid": os.getpid(), "host": platform.node(), "model": "Net"}
LOSSES = {"steps": [0, 1, 2], "loss": [3.0, 2.0, None], "lr": [0.1, 0.1, 0.1]}


def lines(*entries) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def test_a_file_that_does_not_exist_is_waited_for(path):
    run = RunFile(path)
    assert not run.read()
    assert run.state() == "waiting"
    assert update(run)["figures"] == {}
    path.write_text(lines(BEGIN, LOSSES))
    assert run.read()
    assert run.state() == "running"
    assert run.last_step == 2
    assert list(update(run)["figures"]) == ["loss", "stability"]


def test_reading_in_pieces_is_reading_at_once(path):
    text = lines(BEGIN, LOSSES, {"step": 2, "sharpness": 4.0}, {"event": {"step": 2, "kind": "x"}})
    pieces, whole = RunFile(path), None
    for end in range(1, len(text) + 1):
        path.write_text(text[:end])
        pieces.read()
    whole = RunFile(path)
    whole.read()
    assert pieces.series == whole.series
    assert pieces.events == whole.events
    assert len(whole.series["loss"]["step"]) == 3


@pytest.mark.parametrize("torn", [b'{"steps": [3], "lo', b"\xff\xfe\x00", b"[1]", b"3"])
def test_a_torn_line_costs_nothing_else(path, torn):
    path.write_bytes(lines(BEGIN, LOSSES).encode() + torn + b"\n" + lines({"end": 3}).encode())
    run = RunFile(path)
    run.read()
    assert run.series["loss"]["value"] == [3.0, 2.0, None]
    assert run.state() == "finished"


def test_a_run_that_went_on_replaces_what_came_after_its_state(path):
    events = [{"event": {"step": step, "kind": "catapult"}} for step in (0, 2)]
    resumed = {**BEGIN, "begin": 1}
    path.write_text(lines(BEGIN, LOSSES, *events, resumed, {**LOSSES, "steps": [1, 2, 3]}))
    run = RunFile(path)
    run.read()
    assert run.series["loss"] == {"step": [0, 1, 2, 3], "value": [3.0, 3.0, 2.0, None]}
    assert [event["step"] for event in run.events] == [0]


def test_another_file_of_the_same_name_is_a_new_run(path):
    path.write_text(lines(BEGIN, LOSSES))
    run = RunFile(path)
    run.read()
    path.unlink()
    path.write_text(lines(BEGIN))
    assert run.read()
    assert run.series == {}


def test_a_spike_under_way_is_shown_until_it_is_explained(path):
    path.write_text(lines(BEGIN, LOSSES, {"rising": {"step": 1, "peak_ratio": 9.0}}))
    run = RunFile(path)
    run.read()
    assert "under way" in update(run)["events"]
    with path.open("a") as file:
        file.write(lines({"event": {"step": 1, "kind": "catapult"}}, {"rising": None}))
    run.read()
    assert "under way" not in update(run)["events"]
    assert "catapult" in update(run)["events"]


def test_a_process_that_is_gone_has_stopped(path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True, timeout=200)  # fmt: skip
    path.write_text(lines({**BEGIN, "pid": int(done.stdout)}, LOSSES))
    run = RunFile(path)
    run.read()
    assert run.state() == "stopped"
    path.write_text(lines({**BEGIN, "host": "elsewhere"}, LOSSES))
    elsewhere = RunFile(path)
    elsewhere.read()
    assert elsewhere.state() == "running"
    os.utime(path, (0, 0))
    elsewhere = RunFile(path)
    elsewhere.read()
    assert elsewhere.state() == "silent"


def test_names_in_a_record_are_shown_and_not_interpreted(path):
    evil = "<script>alert(1)</script>"
    path.write_text(lines({**BEGIN, "model": evil}, LOSSES, {"event": {"step": 1, "kind": evil}}))
    run = RunFile(path)
    run.read()
    news = update(run)
    assert "<script" not in news["facts"] + news["events"]
    assert "<script" not in news["figures"]["loss"]["legend"]
