"""A few of the kills of the benchmark: nothing finished is lost, nothing half is read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_kills.py"


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL and fork")
def test_a_few_kills_leave_everything_whole(tmp_path):
    words = [sys.executable, str(FILE), "--kills", "9", "--json", str(tmp_path / "found.json")]
    works = ["GramFile", "FitFiles", "MonitorRecord"]
    done = subprocess.run([*words, "--works", *works], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert {name: row["problems"] for name, row in found.items()} == {name: [] for name in works}
    assert sum(row["killed"] for row in found.values()) >= 8
    assert all(row["killed"] > 0 and row["reported"] > 0 for row in found.values())
