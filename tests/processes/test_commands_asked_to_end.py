"""Commands that are asked to end: a line, and nothing of before is lost."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

SPEC = """
import sys
from torch import nn

class Told(nn.Linear):
    def forward(self, x):
        print("begun", file=sys.stderr, flush=True)
        Told.forward = nn.Linear.forward
        return super().forward(x)

def model():
    return nn.Sequential(nn.Flatten(), Told(64, 10))
"""
OUTPUTS = ("numbers.json", "page.html")


def has_two_workers(process):
    try:
        family = psutil.Process(process.pid).children(recursive=True)
        return sum("popen_loky" in " ".join(child.cmdline()) for child in family) == 2
    except psutil.NoSuchProcess:  # one that has just ended
        return False


@pytest.mark.parametrize(
    ("words", "asked", "said"),
    [
        ("fit diabetes --jobs 2 --save model", "SIGTERM", "ended by SIGTERM"),
        ("diagnose spec.py --budget 5m", "SIGHUP", "ended by SIGHUP"),
        ("watch run.jsonl --port 0", "SIGINT", "interrupted"),
    ],
)
def test_a_command_that_is_asked_to_end_says_so_in_a_line_and_leaves_the_files_of_before(
    words, asked, said, environment, started, tmp_path, eventually
):
    (tmp_path / "spec.py").write_text(SPEC)
    for name in OUTPUTS:
        (tmp_path / name).write_text("of before")
    before = sorted(tmp_path.iterdir())
    command, *others = words.split()
    if command != "watch":
        others += ["--json", OUTPUTS[0], "--html", OUTPUTS[1]]
    process = subprocess.Popen(
        [sys.executable, "-B", "-m", "overparam", command, *others],
        env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started.append(process)
    if command == "fit":
        assert eventually(lambda: has_two_workers(process) or process.poll() is not None)
    else:  # it says that it has begun
        assert process.stderr.readline()
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(getattr(signal, asked))
    out, err = process.communicate(timeout=100)
    assert process.returncode == 128 + getattr(signal, asked)
    assert out == ""
    *found, last = err.splitlines()
    assert last == f"overparam: {said}."
    # A race that had time to compare something says so first.
    assert not found or (command == "diagnose" and found[0].startswith("The best rate so far"))
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert sorted(tmp_path.iterdir()) == before
    assert [(tmp_path / name).read_text() for name in OUTPUTS] == ["of before"] * 2
