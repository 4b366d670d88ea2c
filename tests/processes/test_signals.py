"""Runs that are asked to end, and runs that are killed: nothing of theirs stays."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial

import psutil
import pytest

from overparam._signals import ends_when_asked

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

LAST_WORDS = {
    "SIGINT": "interrupted", "SIGTERM": "ended by SIGTERM", "SIGHUP": "ended by SIGHUP",
}  # fmt: skip

RUN = """
import sys
import mortal, toy
from overparam import cli
from overparam.claims import catalogue
catalogue.load_study = lambda name: toy.study(range(1, 30), function=mortal.cell_that_waits)
sys.argv[1:] = ["study", "run", "toy", "--jobs", "2", "--store", sys.argv[1]]
sys.exit(cli.main())
"""

# The same without what takes long to import.
BARE = """
import sys, time
from joblib import delayed
from overparam._signals import ends_when_asked
from overparam._workers import parallel

@ends_when_asked
def main(words):
    tasks = (delayed(time.sleep)(0.5) for _ in range(1000))
    for _ in parallel(2, return_as="generator_unordered")(tasks):
        print("one", flush=True)

sys.exit(main(None))
"""


@pytest.fixture
def half_done(environment, started):
    """Start something with two workers that says a word when the first piece is done."""

    def start(script, *arguments, begun):
        process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        begun(process)
        assert process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True)
        assert sum("popen_loky" in " ".join(child.cmdline()) for child in family) == 2
        process.family = family
        return process

    return start


def one(process):
    assert process.stdout.readline() == "one\n"


def stored(path):
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM cells").fetchone()[0]
    except sqlite3.OperationalError:  # not there yet
        return 0


@pytest.mark.parametrize(
    ("asked", "times"), [("SIGTERM", 1), ("SIGTERM", 2), ("SIGHUP", 1), ("SIGINT", 2)]
)
def test_who_is_asked_to_end_leaves_nobody(half_done, asked, times):
    number = getattr(signal, asked)
    process = half_done(BARE, begun=one)
    for _ in range(times):
        process.send_signal(number)
    said, _ = process.communicate(timeout=100)  # until the last worker lets go of the pipe
    assert process.returncode == 128 + number
    # The tracker of loky may tell of a semaphore that was just being made, which it clears away.
    lines = [line for line in said.splitlines() if "resource_tracker" not in line]
    lines = [
        line for line in lines if line not in ("one", "  warnings.warn(") and "%s: %r" not in line
    ]
    assert lines == [f"overparam: {LAST_WORDS[asked]}."]
    assert psutil.wait_procs(process.family, timeout=60)[1] == []


def test_workers_end_with_a_process_that_is_killed(half_done):
    process = half_done(BARE, begun=one)
    process.kill()
    process.communicate(timeout=100)
    assert psutil.wait_procs(process.family, timeout=60)[1] == []


def test_a_study_that_is_asked_to_end_says_what_is_stored(half_done, tmp_path, eventually):
    path = tmp_path / "s"
    process = half_done(RUN, str(path), begun=lambda _: eventually(lambda: stored(path) > 0))
    process.terminate()
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 143
    told = re.match(r"Interrupted: (\d+) of 29 cells of mortal are stored", said)
    # What the two workers had in hand may still be stored after that was said.
    assert told, said
    assert 0 <= stored(path) - int(told[1]) <= 2
    assert said.splitlines()[1:] == ["overparam: ended by SIGTERM."]
    assert psutil.wait_procs(process.family, timeout=60)[1] == []


DEAF = """
import sys, threading, time
from overparam._signals import ends_when_asked

@ends_when_asked
def main(words):
    try:
        print("begun", flush=True)
        time.sleep(100)
    finally:
        time.sleep(100)

sys.exit(main(None))
"""


def test_a_command_that_does_not_come_to_its_end_is_ended(started):
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    started.append(process)
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == (b"", b"overparam: ended by SIGTERM.\n")
    assert process.returncode == 143


IMPORTING = """
import sys
from overparam._signals import ends_when_asked

@ends_when_asked
def main(words):
    print("printed before")
    import deaf
    return 0

sys.exit(main(None))
"""
# As of modules that are compiled: some catch whatever is raised while they are imported.
DEAF_MODULE = """
import sys, time
print("begun", file=sys.stderr, flush=True)
try:
    time.sleep(100)
except KeyboardInterrupt:
    raise ImportError("half of it is missing")
"""


def test_a_command_that_is_asked_to_end_while_it_imports_ends_there(started, tmp_path):
    (tmp_path / "deaf.py").write_text(DEAF_MODULE)
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", IMPORTING], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    started.append(process)
    assert process.stderr.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("printed before\n", "overparam: interrupted.\n")
    assert process.returncode == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_call_that_is_asked_to_end_leaves_the_handlers_of_before(number, capsys, request):
    # Whoever runs the tests side by side may have a handler of its own for a signal.
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    request.addfinalizer(partial(signal.signal, number, signal.signal(number, usual)))
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    @ends_when_asked
    def main(words):
        os.kill(os.getpid(), number)
        time.sleep(10)
        return 0

    assert main(["words"]) == 128 + number
    assert {n: signal.getsignal(n) for n in before} == before
    assert signal.set_wakeup_fd(-1) == -1
    said = capsys.readouterr().err
    assert said == f"overparam: {LAST_WORDS[number.name]}.\n"


def test_a_signal_that_is_ignored_or_handled_stays_so():
    seen = []
    before = [
        signal.signal(signal.SIGHUP, signal.SIG_IGN),
        signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number)),
    ]

    @ends_when_asked
    def main(words):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        return 5

    try:
        assert main(["words"]) == 5
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert seen == [signal.SIGTERM]


def test_in_a_thread_signals_are_left_alone():
    statuses = []
    before = signal.getsignal(signal.SIGTERM)

    @ends_when_asked
    def main(words):
        assert signal.getsignal(signal.SIGTERM) is before
        return 3

    thread = threading.Thread(target=lambda: statuses.append(main(["words"])))
    thread.start()
    thread.join(10)
    assert statuses == [3]
