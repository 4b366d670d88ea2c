"""Folders that may be read and not written to, as a plain user has them."""

import json
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

REFUSED = [
    "fit iris --save model",
    "fit iris --json numbers.json",
    "diagnose --html page.html",
    "study run liu2022_weak_models --size smoke",
    "study run liu2022_weak_models --size smoke --store cells.sqlite",
    "study run liu2022_weak_models --size smoke --json claims.json",
]
WRITES_NOTHING = "fit iris --folds 2 --no-baselines"
# One interpreter for all of them: most of the time goes into what they import.
RUN = """
import contextlib, io, json, os, shlex, sys
from overparam.cli import main

found = {}
for words in sys.argv[1:]:
    said, results = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(results):
        status = main(shlex.split(words))
    found[words] = status, said.getvalue().splitlines(), os.listdir()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Status, words on stderr and files of each command, where no folder may be written to."""
    locked = tmp_path_factory.mktemp("locked")
    locked.chmod(0o555)
    done = subprocess.run(
        [*(AS_A_USER if os.geteuid() == 0 else []), sys.executable, "-c", RUN, *REFUSED,
         WRITES_NOTHING],
        cwd=locked, env={**os.environ, "HOME": str(locked), "XDG_CACHE_HOME": str(locked)},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    locked.chmod(0o755)
    assert (done.stderr, done.returncode) == ("", 0)
    return json.loads(done.stdout)


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_written_is_one_line_before_the_work(found, words):
    status, lines, files = found[words]
    assert (status, files) == (2, [])
    assert len(lines) == 1
    assert "ermission" in lines[0]


def test_what_writes_nothing_needs_no_folder(found):
    assert found[WRITES_NOTHING] == [0, [], []]
