"""Two runs on one store at once: both end right, and no cell is lost."""

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial

from overparam.claims import run_study
from overparam.claims.store import CellStore

KEY = {"study": "toy", "code": "abc", "parameters": {}, "seed": 0, "torch": "2"}


def test_a_store_that_another_run_makes_at_the_same_time_is_taken(tmp_path, monkeypatch):
    """The other comes before the first, second, … thing that the opening asks."""
    connect = sqlite3.connect
    for turn in range(4):
        path, asked = tmp_path / str(turn), []

        class Late(sqlite3.Connection):
            def execute(self, *words, path=path, asked=asked, turn=turn):
                asked.append(words)
                if len(asked) == turn + 1:
                    monkeypatch.setattr(sqlite3, "connect", connect)
                    CellStore(path)
                return super().execute(*words)

        monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=Late))
        CellStore(path).put(KEY, "{}", 0.0)
        assert CellStore(path).get(KEY) is not None


def test_many_open_and_fill_one_store_at_once(tmp_path):
    trouble = []
    together = threading.Barrier(8)

    def fill(number):
        try:
            together.wait(60)
            store = CellStore(tmp_path / "s")
            for seed in range(10):
                store.put({**KEY, "seed": 100 * number + seed}, "{}", 0.0)
        except Exception as problem:
            trouble.append(problem)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert trouble == []
    with closing(sqlite3.connect(tmp_path / "s")) as connection:
        assert connection.execute("SELECT count(*) FROM cells").fetchone()[0] == 80


RUN = """
import json, sys
import toy
from overparam.claims import run_study
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(run_study(toy.study(widths=range(1, 13)), store=sys.argv[1])))
"""


def test_two_runs_of_a_study_end_alike(modules, environment, started, tmp_path):
    _, toy = modules
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path / "s")],
        env={**environment, "TOY_SLEEP": "0.05"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    here = run_study(toy.study(widths=range(1, 13)), store=tmp_path / "s")
    said, _ = process.communicate(timeout=200)
    there = json.loads(said)
    assert process.returncode == 0
    assert here["claims"] == there["claims"]
    assert here["series"] == there["series"]
    with closing(sqlite3.connect(tmp_path / "s")) as connection:
        assert connection.execute("SELECT count(*) FROM cells").fetchone()[0] == 12
