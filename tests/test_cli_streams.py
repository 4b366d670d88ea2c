"""Streams that are closed, full or narrow; arguments in any order: a line and a status."""

import os
import random
import subprocess
import sys
import warnings

import pytest

from overparam.claims import catalogue, run
from overparam.cli import main
from overparam.diagnosis import command
from overparam.errors import InvalidValue
from overparam.fitting import fit  # noqa: F401  (which `sys.modules` then holds)
from overparam.watch import server

EXAMPLES = int(os.environ.get("OVERPARAM_FUZZ", "300"))


def shell(line: str, tmp_path, **environment) -> tuple[int, str, str]:
    """A command line of the shell, in which OVERPARAM stands for the program."""
    program = f"{sys.executable} -m overparam"
    run = subprocess.run(
        ["bash", "-c", line.replace("OVERPARAM", program)],
        capture_output=True, cwd=tmp_path, check=False, timeout=240,
        env={**os.environ, "OVERPARAM_CACHE": str(tmp_path), **environment},
    )  # fmt: skip
    return run.returncode, run.stdout.decode("latin-1"), run.stderr.decode("latin-1")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("OVERPARAM study list > /dev/full", 2, "No space left on device"),
        ("PYTHONUNBUFFERED=1 OVERPARAM study list > /dev/full", 2, "No space left on device"),
        ("OVERPARAM study list >&-", 2, "standard output is closed"),
        ("OVERPARAM nonsense 2>&-", 2, None),
        ("OVERPARAM nonsense 2> /dev/full", 2, None),
        ("OVERPARAM nonsense <&- >&- 2>&-", 2, None),
        ("set -o pipefail; OVERPARAM study list | head -1", 0, None),
        ("set -o pipefail; PYTHONUNBUFFERED=1 OVERPARAM study list | head -1", 0, None),
    ],
)
def test_a_stream_that_takes_nothing(line, status, said, tmp_path):
    got, _, err = shell(line, tmp_path, PYTHONUNBUFFERED="")
    assert got == status, err
    lines = err.splitlines()
    assert len(lines) == (said is not None), err
    if said:
        assert lines[0].startswith("overparam: ")
        assert said in lines[0]


def test_without_stderr_nothing_is_said_among_the_results(tmp_path):
    assert shell("OVERPARAM nonsense 2>&-", tmp_path) == (2, "", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_name_can_be_said_on_any_terminal(encoding, tmp_path):
    environment = {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0"}
    line = r"OVERPARAM report $'\xff\xe2\x80\x94.json'"
    status, out, err = shell(line, tmp_path, **environment)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("overparam: ")
    status, out, err = shell("OVERPARAM fit --help", tmp_path, **environment)
    assert (status, err) == (0, "")
    assert "Usage" in out


WORDS = [
    "diagnose", "fit", "predict", "report", "watch", "study", "run", "list", "show", "check",
    "--help", "--version", "--all", "--data", "--loss", "--lr", "--budget", "--batch-size",
    "--steps", "--seed", "--device", "--json", "--html", "--target", "--task", "--model",
    "--folds", "--no-baselines", "--jobs", "--save", "--output", "--port", "--host",
    "--allow-remote", "--size", "--store", "--", "-", "-x", "", " ", "0", "-1", "nan", "inf",
    "9" * 400, "1e400", "99999", "60s", "iris", "smoke", "mse", "cpu", "regression", ".", "..",
    "/", "/dev/null", "absent/x.json", "absent.csv", "absent.npz:y", "liu2020_kernel_constancy",
    "\0", "\udcff", "é—\U0001f600", "a" * 5000, "[bold]x[/bold]", "--lr=", "--seed=1", "%s{0}",
    "127.0.0.1", "os:path", "\n",
]  # fmt: skip


def test_any_arguments_in_any_order_have_a_line_and_a_status(tmp_path, monkeypatch, capsys):
    """What would take long or wait is left out; everything before it is as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERPARAM_CACHE", str(tmp_path / "cache"))

    def stop(*_, **__):
        raise InvalidValue("`stop` expected to be reached, got here.")

    monkeypatch.setattr(command, "diagnose", stop)
    monkeypatch.setattr(sys.modules["overparam.fitting.fit"], "compare", stop)
    monkeypatch.setattr(run, "compute_cells", stop)
    monkeypatch.setattr(server, "RunServer", stop)
    rng = random.Random(0)
    reached = 0
    for _ in range(EXAMPLES):
        words = rng.choices(WORDS, k=rng.randrange(6))
        first = rng.choice([*WORDS[:10], "study run", "study check", "study show", ""])
        words = [*first.split(), *words]
        status = main(words)
        said = capsys.readouterr()
        assert status in (0, 1, 2), (words, said.err)
        assert "Traceback" not in said.err, words
        assert said.err.count("\n") <= 1, words
        reached += "`stop`" in said.err
    assert reached


def test_that_joblib_replaced_a_worker_is_not_told(monkeypatch):
    def names():
        # In the words of `joblib.externals.loky.process_executor`.
        warnings.warn("A worker stopped while some jobs were given to the executor.", stacklevel=1)
        warnings.warn("Anything else.", stacklevel=1)
        return []

    monkeypatch.setattr(catalogue, "study_names", names)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert main(["study", "list"]) == 0
    assert [str(warning.message) for warning in told] == ["Anything else."]
