"""A record on disk, read while it grows."""

import json
import os
import platform
import subprocess
import sys

import pytest

from overparam.watch import RunFile
from overparam.watch import page as page_module
from overparam.watch import run as run_module
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


def test_an_answer_costs_what_is_new(path, monkeypatch):
    steps = range(0, 60_000, 100)
    chunks = [{"steps": list(range(s, s + 100)), "loss": [1.0 + s] * 100, "lr": [0.1] * 100}
              for s in steps]  # fmt: skip
    path.write_text(lines(BEGIN, *chunks))
    run, drawn = RunFile(path), {}
    run.read()
    assert all(len(column["step"]) < 2000 for column in run.series.values())
    update(run, drawn)
    read, figures = [], []
    take, figure = run_module.read_line, page_module._content
    monkeypatch.setattr(run_module, "read_line", lambda line: read.append(line) or take(line))
    monkeypatch.setattr(page_module, "_content", lambda f: figures.append(f.name) or figure(f))
    with path.open("a") as file:
        file.write(lines({"steps": [60_000], "loss": [0.5], "lr": [0.1]}, {"step": 1, "rho": 2.0}))
    run.read()
    assert len(read) == 2
    assert "loss 0.5" in update(run, drawn)["facts"]
    assert figures == ["loss", "stability", "labels"]
    update(run, drawn)
    assert len(figures) == 3  # nothing is drawn twice
    last = drawn["loss"].content["drawing"]["data"][0]
    assert (sum(last["gaps"]), last["y"][-1]) == (60_000, 0.5)


def test_a_part_is_an_answer_too(path):
    path.write_text(lines(BEGIN, *({**LOSSES, "steps": [s, s + 1, s + 2]} for s in range(500))))
    run, whole = RunFile(path), RunFile(path)
    whole.read()
    assert run.read(at_most=1000)
    assert run.state() == "reading"
    assert "reading the record, " in update(run)["facts"]
    assert 0 < run.progress < 1
    assert run.series["loss"]["step"][-1] < 100
    readings = 1
    while run.state() == "reading":
        run.read(at_most=1000)
        readings += 1
    assert readings == -(-path.stat().st_size // 1000)
    assert run.series == whole.series
    assert run.state() == "running"


def test_a_line_without_end_is_not_kept(path, monkeypatch):
    monkeypatch.setattr(run_module, "_LONGEST_LINE", 2000)
    monkeypatch.setattr(run_module, "_PIECE", 100)
    run = RunFile(path)
    path.write_text(lines(BEGIN) + '{"steps": [' + "1, " * 5000)
    run.read()
    assert len(run._begun) <= 2000
    assert run.skipped == 1
    with path.open("a") as file:
        file.write("1]}\n" + lines(LOSSES) + "[" + "1, " * 1000 + "1]\n" + lines({"end": 3}))
    run.read()
    assert run.skipped == 2
    assert run.series["loss"]["step"] == [0, 1, 2]
    assert run.state() == "finished"


def test_a_run_that_goes_on_replaces_its_end_in_a_long_record_too(path):
    long = [{"steps": list(range(s, s + 100)), "loss": [1.0] * 100} for s in range(0, 50_000, 100)]
    again = {"steps": list(range(20_000, 20_100)), "loss": [3.0] * 100}
    path.write_text(lines(BEGIN, *long, {**BEGIN, "begin": 20_000}, again))
    run = RunFile(path)
    run.read()
    assert run.last_step == 20_099
    pairs = zip(*run.series["loss"].values(), strict=True)
    assert {value for step, value in pairs if step >= 20_000} == {3.0}


def test_many_spikes_are_counted_and_the_latest_kept(path):
    spike = {"kind": "catapult", "ids": list(range(100))}
    path.write_text(lines(BEGIN, LOSSES, *({"event": {"step": s, **spike}} for s in range(1200))))
    run = RunFile(path)
    run.read()
    assert [event["step"] for event in run.events] == list(range(200, 1200))
    assert sum(event["ids"] is not None for event in run.events) == 50
    news = update(run)
    assert "200 earlier spikes not shown" in news["facts"]
    assert "0, 1, 2 and 97 more" in news["events"]


def test_many_names_are_not_all_kept(path):
    path.write_text(lines(BEGIN, LOSSES, *({"step": 1, f"column {n}": 1.0} for n in range(1000))))
    run = RunFile(path)
    run.read()
    assert len(run.series) == 200
    assert {"loss", "lr"} <= run.series.keys()


def test_what_is_cut_or_replaced_is_read_anew(path):
    run = RunFile(path)
    path.write_text(lines(BEGIN, LOSSES, LOSSES))
    run.read()
    version = run.version
    path.write_text("")  # cut
    assert not run.read()
    assert run.version != version
    assert run.state() == "waiting"
    path.write_text(lines(BEGIN, LOSSES))
    run.read()
    size = path.stat().st_size
    with path.open("r+") as file:  # replaced in its place by another of at least its length
        other = lines({**BEGIN, "model": "Mlp"}, {**LOSSES, "loss": [7.0, 7.0, 7.0]}, {"end": 3})
        file.write(other)
    assert len(other) > size
    run.read()
    assert run.facts["model"] == "Mlp"
    assert run.series["loss"]["value"] == [7.0, 7.0, 7.0]
    path.unlink()
    assert not run.read()
    assert update(run)["figures"].keys() == {"loss", "stability"}  # what is known stays
    path.write_text(lines({**BEGIN, "model": "Cnn"}, LOSSES))
    assert run.read()
    assert run.facts["model"] == "Cnn"


def test_a_file_that_cannot_be_read_is_said_so_and_comes_back(path):
    path.write_text(lines(BEGIN, LOSSES))
    run = RunFile(path)
    run.read()
    path.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(path)
        version = run.version
        assert not run.read()  # and does not wait
        assert run.state() == "unreadable"
        assert "cannot be read: it is no regular file" in update(run)["facts"]
        assert run.version == version + (make is os.mkfifo)
        path.rmdir() if make is os.mkdir else path.unlink()
    path.write_text(lines(BEGIN, LOSSES, {"end": 3}))
    assert run.read()
    assert run.state() == "finished"


@pytest.mark.parametrize("pid", [-1, 0, 2**40, 10**30, True, "1", 1.5, None])
def test_a_process_that_cannot_be_is_gone(path, pid):
    path.write_text(lines({**BEGIN, "pid": pid}, LOSSES))
    run = RunFile(path)
    run.read()
    assert run.state() == "stopped"


def test_a_measurement_that_did_not_settle_is_drawn_apart_and_in_no_number(path):
    steps = [
        {"step": step, "sharpness": 20 * ratio, "stability_ratio": ratio, "lr": 0.1,
         "sharpness_residual": residual}
        for step, ratio, residual in ((0, 0.5, 0.1), (1, 9000.0, 0.9), (2, 0.6, 0.1))
    ]  # fmt: skip
    path.write_text(lines(BEGIN, *steps))
    run = RunFile(path)
    run.read()
    figure = update(run)["figures"]["stability"]
    assert "0.6 at most (2 measurements)" in json.dumps(figure)
    assert "did not settle" in json.dumps(figure)
