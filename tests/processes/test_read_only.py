"""Folders that may be read and not written to, as a plain user has them."""

import os
import shutil
import subprocess
import sys

import pytest

# Root may write anywhere; without this capability it is a user like others.
AS_A_USER = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]

pytestmark = pytest.mark.skipif(
    os.name == "nt" or (os.geteuid() == 0 and not shutil.which("setpriv")),
    reason="root may write anywhere, and setpriv is not there to change that",
)


@pytest.fixture
def run(tmp_path):
    """A command in a folder that may not be written to; nor may HOME and the cache."""
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)

    def run(*words: str) -> tuple[int, list[str]]:
        done = subprocess.run(
            [*(AS_A_USER if os.geteuid() == 0 else []), sys.executable, "-m", "overparam", *words],
            cwd=locked,
            env={**os.environ, "HOME": str(locked), "XDG_CACHE_HOME": str(locked)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert os.listdir(locked) == []
        return done.returncode, done.stderr.splitlines()

    yield run
    locked.chmod(0o755)


@pytest.mark.parametrize(
    "words",
    [
        "fit iris --save model",
        "fit iris --json numbers.json",
        "diagnose --html page.html",
        "study run liu2022_weak_models --size smoke",
        "study run liu2022_weak_models --size smoke --store cells.sqlite",
        "study run liu2022_weak_models --size smoke --json claims.json",
    ],
)
def test_what_cannot_be_written_is_one_line_before_the_work(run, words):
    status, lines = run(*words.split())
    assert status == 2
    assert len(lines) == 1
    assert "ermission" in lines[0]


def test_what_writes_nothing_needs_no_folder(run):
    status, lines = run("fit", "iris", "--folds", "2", "--no-baselines")
    assert (status, lines) == (0, [])
