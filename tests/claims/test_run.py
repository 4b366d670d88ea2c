import dataclasses
import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from types import SimpleNamespace

import joblib
import pytest
import torch

from overparam._environment import environment
from overparam.claims import CellsFailed, run_study, to_json
from overparam.claims.parallel import outcomes
from overparam.claims.study import Cell
from overparam.errors import MissingPackage

provenance = importlib.import_module("overparam.claims.provenance")


def comparable(document):
    """What of a document does not depend on when and how it was computed."""
    return {key: value for key, value in document.items() if key not in ("seconds", "environment")}


def stored(path):
    """Number of cells in a store, 0 if it is not there yet."""
    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM cells").fetchone()[0]
    except sqlite3.OperationalError:  # the file is there, its table not yet
        return 0
    finally:
        connection.close()


def test_document_states_the_study_and_its_claims(toy, tmp_path):
    document = run_study(toy.STUDY, "smoke", store=tmp_path / "s", seed=3)
    assert document["study"] == "toy"
    assert document["title"] == "The mean of numbers drawn from [0, 1) is 0.5."
    assert document["reference"].startswith("Nobody (1900)")
    assert (document["kind"], document["size"], document["seed"]) == ("study", "smoke", 3)
    assert environment(seconds=0, seed=0, threads=1).keys() <= document["environment"].keys()
    (claim,) = document["claims"]
    assert claim["verdict"] == "reproduced"
    assert document["series"]["values"]["lines"][1]["y"] == [None, None, None]  # NaN is null
    assert json.loads(to_json(document)) == document


def test_finished_cells_are_reused(toy, tmp_path):
    first = run_study(toy.STUDY, store=tmp_path / "s")
    assert len(toy.CALLS) == 3
    second = run_study(toy.STUDY, store=tmp_path / "s")
    assert len(toy.CALLS) == 3
    assert comparable(first) == comparable(second)
    run_study(toy.study(widths=(1, 2, 3, 4)), store=tmp_path / "s")
    assert toy.CALLS[3:] == [(4, 0)]


def test_replicates_and_studies_seeds_do_not_overlap(toy, tmp_path):
    for seed in (0, 1):
        run_study(toy.study(widths=(5,), replicates=3), store=tmp_path / "s", seed=seed)
    assert [seed for _, seed in toy.CALLS] == [0, 1, 2, 1000, 1001, 1002]


def test_number_of_jobs_and_back_end_change_no_bit(toy, tmp_path):
    threads = torch.get_num_threads()
    study = toy.study(widths=range(1, 7), replicates=2)
    alone = comparable(run_study(study, store=tmp_path / "one"))
    assert len(toy.CALLS) == 12
    assert comparable(run_study(study, store=tmp_path / "two", n_jobs=2)) == alone
    assert len(toy.CALLS) == 12  # loky's cells ran in processes of their own
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert comparable(run_study(study, store=tmp_path / "threads")) == alone
    assert len(toy.CALLS) == 24
    assert torch.get_num_threads() == threads


def test_threads_do_not_share_what_cells_seed():
    def cell(width, seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            time.sleep(0.02)  # in which another thread would seed it anew
            return {"drawn": torch.rand(()).item()}

    waiting = {i: Cell({"width": i}, i) for i in range(6)}
    work = SimpleNamespace(name="drawing", cell=cell)
    with joblib.parallel_config(backend="threading", n_jobs=3):
        found = {each.index: each.result for each in outcomes(work, waiting, None, False, 6)}
    expected = [torch.rand((), generator=torch.Generator().manual_seed(i)).item() for i in range(6)]
    assert [json.loads(found[i])["drawn"] for i in range(6)] == expected


def test_a_failing_cell_is_described_and_loses_no_other(toy, tmp_path):
    study = toy.study(widths=(1, 2, 3, 4), breaks=(2,))
    with pytest.raises(CellsFailed) as failure:
        run_study(study, store=tmp_path / "s")
    message = str(failure.value)
    assert "1 of 4 cells of toy failed; the other 3 are stored" in message
    assert "width=2, sleep=0.0, breaks=True, seed=0: ZeroDivisionError: width 2" in message
    assert "toy.py" in message  # where it was raised
    assert stored(tmp_path / "s") == 3
    run_study(toy.study(widths=(1, 3, 4)), store=tmp_path / "s")
    assert len(toy.CALLS) == 4


def test_results_without_a_form_in_json_are_failures(toy, tmp_path):
    with pytest.raises(CellsFailed, match="complex is not JSON serializable"):
        run_study(toy.study(function=toy.wordless_cell), store=tmp_path / "s")


def test_a_worker_that_dies_is_a_failure_not_a_hang(toy, tmp_path, monkeypatch):
    def dying(*_):
        yield from ()
        raise RuntimeError("a worker process was killed")

    monkeypatch.setattr("overparam.claims.run.outcomes", dying)
    with pytest.raises(CellsFailed, match=r"3 not computed, such as width=1.*worker process was k"):
        run_study(toy.STUDY, store=tmp_path / "s")


SCRIPT = """
import sys
import toy
from overparam import cli
from overparam.claims import catalogue
catalogue.load_study = lambda name: toy.study(widths=range(1, 9))
sys.exit(cli.main(["study", "run", "toy", "--jobs", "1", "--store", sys.argv[1]]))
"""


@pytest.fixture
def half_done(toy_process_environment, tmp_path):
    """A run of eight cells in a process of its own, once two of them are stored."""
    with open(tmp_path / "said", "w") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "s")],
            env=toy_process_environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    deadline = time.monotonic() + 240
    while stored(tmp_path / "s") < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, (tmp_path / "said").read_text()
    yield process
    process.kill()
    process.wait()


def test_killed_runs_resume_where_they_were(half_done, toy, tmp_path):
    os.kill(half_done.pid, signal.SIGKILL)
    assert half_done.wait() == -signal.SIGKILL
    kept = stored(tmp_path / "s")
    assert 2 <= kept < 8
    study = toy.study(widths=range(1, 9))
    document = run_study(study, store=tmp_path / "s")
    assert len(toy.CALLS) == 8 - kept
    untouched = run_study(study, store=tmp_path / "fresh", n_jobs=1)
    assert comparable(document) == comparable(untouched)


def test_interrupted_runs_keep_what_is_finished_and_say_so(half_done, tmp_path):
    half_done.send_signal(signal.SIGINT)
    assert half_done.wait(timeout=240) == 130
    kept, said = stored(tmp_path / "s"), (tmp_path / "said").read_text()
    assert f"Interrupted: {kept} of 8 cells of toy are stored in {tmp_path / 's'}" in said
    assert "Traceback" not in said


def test_wrong_arguments_are_named_before_anything_runs(toy, tmp_path):
    for arguments, message in [
        ({"size": "quik"}, r"`study run --size`.*\n.*did you mean 'quick'"),
        ({"seed": -1}, "`study run --seed`"),
        ({"n_jobs": 0}, "`study run --jobs`"),
    ]:
        with pytest.raises(ValueError, match=message):
            run_study(toy.STUDY, store=tmp_path / "s", **arguments)
    assert toy.CALLS == []


def test_two_cells_that_are_the_same_are_a_mistake(toy, tmp_path):
    with pytest.raises(ValueError, match=r"`study 'toy'` .*2 cells of which 1 differ"):
        run_study(toy.study(widths=(1, 1)), store=tmp_path / "s")


def test_a_study_whose_extra_is_missing_says_which(toy, tmp_path):
    study = dataclasses.replace(toy.STUDY, needs={"json": "here", "no_such_package": "gone"})
    assert study.missing == "gone"
    with pytest.raises(MissingPackage, match=r"pip install 'overparam\[gone\]'"):
        run_study(study, "smoke", store=tmp_path / "s")
    assert dataclasses.replace(toy.STUDY, needs={"json": "here"}).missing == ""


@pytest.mark.parametrize("cell", ["waiting_cell", "opening_cell"])
def test_what_was_absent_is_no_value_and_is_looked_for_again(toy, tmp_path, cell):
    study = toy.study(widths=(1, 2), function=getattr(toy, cell), sleep=str(tmp_path / "data"))
    (claim,) = run_study(study, store=tmp_path / "s")["claims"]
    assert (claim["verdict"], claim["measured"]) == ("not testable at this size", None)
    assert stored(tmp_path / "s") == 0
    (tmp_path / "data").touch()
    (claim,) = run_study(study, store=tmp_path / "s")["claims"]
    assert (claim["verdict"], claim["measured"]) == ("reproduced", 0.5)
    assert (len(toy.CALLS), stored(tmp_path / "s")) == (4, 2)


def test_device_libraries_and_data_are_part_of_a_cell_and_of_the_document(
    toy, tmp_path, monkeypatch
):
    study = dataclasses.replace(toy.study(widths=(1,)), data=("hills",))
    monkeypatch.setenv("OVERPARAM_DATA", str(tmp_path))

    def found():
        document = run_study(study, store=tmp_path / "s")
        return len(toy.CALLS), document["environment"]["device"], document["environment"]["data"]

    here = provenance.device()
    assert found() == found() == (1, here, {"hills": "absent"})
    (tmp_path / "hills.npz").write_bytes(b"one")
    count, _, data = found()
    assert (count, data) == (2, {"hills": provenance.data_digest("hills")})
    (tmp_path / "hills.npz").write_bytes(b"two")
    assert found()[0] == 3
    assert found()[2] != data
    monkeypatch.setattr(provenance, "device", lambda: "another")
    assert found()[:2] == (4, "another")
    monkeypatch.setattr(provenance.metadata, "version", lambda name: "0")
    assert found()[0] == found()[0] == 5


def test_versions_of_what_a_study_needs_are_part_of_its_cells(toy, tmp_path):
    needing = dataclasses.replace(toy.STUDY, needs={"joblib": "here", "json": "here"})
    run_study(toy.STUDY, store=tmp_path / "s")
    document = run_study(needing, store=tmp_path / "s")
    assert document["environment"]["joblib"] == joblib.__version__
    assert len(toy.CALLS) == 6
