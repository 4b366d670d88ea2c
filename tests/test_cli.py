import importlib
import json
import shlex
import subprocess
import sys

import pytest

from overparam import claims
from overparam._errors import UsageError, expect
from overparam._output import print_table
from overparam.claims import CellsFailed, catalogue
from overparam.cli import main
from overparam.errors import NumericalError


def document(*verdicts):
    """A study's document with claims of these verdicts."""
    return {
        "study": "toy",
        "size": "quick",
        "seed": 0,
        "seconds": 1.0,
        "claims": [
            {"name": f"c{i}", "measured": None, "tolerance": "at most 1: why", "n": 2, "verdict": v}
            for i, v in enumerate(verdicts)
        ],
    }


class Named(str):
    """A study that is nothing but its name, and lacks nothing unless its name says so."""

    @property
    def missing(self):
        return "some_extra" if "lacking" in self else ""


@pytest.fixture
def run_gives(monkeypatch):
    """Let `run_study` return documents, or raise errors, instead of computing."""

    def prepare(**outcomes):
        asked = []

        def run(name, size, **options):
            asked.append((name, size, options))
            outcome = outcomes[name]
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(catalogue, "load_study", Named)
        monkeypatch.setattr(catalogue, "study_names", lambda: sorted(outcomes))
        monkeypatch.setattr("overparam.claims.run.run_study", run)
        return asked

    return prepare


def test_help_and_list_answer_without_torch():
    script = (
        "import sys; from overparam.cli import main\n"
        "for words in sys.argv[1:]:\n"
        "    print('answered', main(words.split()), 'torch' in sys.modules)"
    )
    asked = ["--help", "study --help", "study run --help", "study list", "battery design --help"]
    asked.append("federate --help")
    run = subprocess.run(
        [sys.executable, "-c", script, *asked],
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    answers = [line for line in run.stdout.splitlines() if line.startswith("answered")]
    assert answers == ["answered 0 False"] * len(asked)


def test_runs_as_a_module_and_knows_its_version():
    run = subprocess.run(
        [sys.executable, "-m", "overparam", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    assert run.stdout == "overparam 0.1.0\n"


def test_list_and_show_name_every_study(capsys):
    assert main(["study", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == claims.study_names()
    assert main(["study", "show", "liu2020_kernel_constancy"]) == 0
    shown = capsys.readouterr().out
    assert "arXiv:2010.01092" in shown
    for claim in claims.load_study("liu2020_kernel_constancy").claims:
        assert f"{claim.name}\t{claim.statement}\t" in shown


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["study", "run", "liu2020_kernel_constency"], "did you mean 'liu2020_kernel_constancy'?"),
        (["study", "show", "nonsense"], "expected a study out of"),
        (["study", "check"], "--all"),
        (["study", "check", "--all", "liu2020_kernel_constancy"], "--all"),
        (["study", "run"], "NAME"),
        (["study", "run", "liu2020_kernel_constancy", "--size", "tiny"], "smoke"),
        (["study", "run", "liu2020_kernel_constancy", "--seed", "-1"], "--seed"),
        (["study", "run", "liu2020_kernel_constancy", "--seed", "x"], "--seed"),
        (["study", "run", "liu2020_kernel_constancy", "--jobs", "0"], "--jobs"),
        (["study", "run", "liu2020_kernel_constancy", "--json", "no/such/file.json"], "no/such"),
        (["study", "run", "liu2020_kernel_constancy", "--store", "no/such"], "--store"),
        (["study", "run", "a", "b", "--json", "both.json"], "folder"),
        (["study", "run", "liu2020_kernel_constancy", "--fast"], "--fast"),
        (["stduy"], "No such command"),
    ],
)
def test_misuse_is_one_line_and_status_2(words, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERPARAM_CACHE", str(tmp_path / "cache"))
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("overparam: ")
    assert said.count("\n") == 1, said
    assert named in said
    assert "Traceback" not in said


def test_a_file_that_is_no_store_is_one_line_and_untouched(capsys, tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("Chapter 1. " * 500)
    words = ["study", "run", "liu2020_kernel_constancy", "--size", "smoke", "--store", str(path)]
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert path.read_text() == "Chapter 1. " * 500


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (["reproduced", "reproduced"], 0),
        (["reproduced", "not testable at this size"], 0),
        (["reproduced", "weaker"], 1),
        (["not reproduced", "reproduced"], 1),
    ],
)
def test_check_fails_with_a_claim_and_run_does_not(verdicts, status, run_gives, capsys):
    run_gives(toy=document(*verdicts))
    assert main(["study", "check", "toy"]) == status
    assert main(["study", "run", "toy"]) == 0
    for verdict in verdicts:
        assert f"\t{verdict}\n" in capsys.readouterr().out or verdict == verdicts[1]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A result of one study in a folder, and a folder of records that is empty."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr("overparam.claims.recorded._FOLDER", tmp_path / "verdicts")
    (folder / "toy.json").write_text(json.dumps(document("weaker", "reproduced")))
    return folder


def test_check_holds_runs_to_what_was_recorded_and_a_change_needs_a_reason(
    kept, run_gives, capsys, tmp_path
):
    run_gives(toy=document("weaker", "reproduced"))
    assert main(["study", "check", "toy"]) == 1
    assert "1 not as recorded:\ntoy\tc0\treproduced\n" in capsys.readouterr().out
    (tmp_path / "kept").mkdir()
    words = ["study", "record", str(kept)]
    assert main([*words, "--into", str(tmp_path / "kept")]) == 0
    assert main(["study", "check", "toy"]) == 0
    stored = json.loads((tmp_path / "kept" / "toy.quick.json").read_text())
    assert (stored["study"], stored["repeated"]) == ("toy", [])
    run_gives(toy=document("reproduced", "reproduced"))  # better is another verdict, too
    assert main(["study", "check", "toy"]) == 1
    (kept / "toy.json").write_text(json.dumps(document("reproduced", "reproduced")))
    capsys.readouterr()
    assert main(words) == 2
    assert "expected a reason" in capsys.readouterr().err
    assert main([*words, "--because", "The step was halved."]) == 0
    assert main(["study", "check", "toy"]) == 0
    assert main([*words, "--into", "no/such"]) == 2


def test_a_table_and_a_page_of_what_is_stored(kept, run_gives, capsys, tmp_path):
    run_gives(toy=None)
    assert main(["study", "table", str(kept)]) == 0
    assert "| `toy` |" in capsys.readouterr().out
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- study table -->\n<!-- end of study table -->\nb\n")
    assert main(["study", "table", str(kept), "--write", str(page)]) == 0
    assert page.read_text().startswith("a\n<!-- study table -->\n| study |")
    assert main(["study", "report", str(kept), "--html", str(tmp_path / "page.html")]) == 0
    assert "toy" in (tmp_path / "page.html").read_text()
    assert main(["study", "report", str(tmp_path / "none.json")]) == 2


def test_options_reach_the_study(run_gives, tmp_path):
    asked = run_gives(a=document("reproduced"), b=document("reproduced"))
    words = ["--size", "full", "--jobs", "3", "--seed", "7", "--store", str(tmp_path / "s")]
    assert main(["study", "check", "--all", *words]) == 0
    options = {"seed": 7, "n_jobs": 3, "store": tmp_path / "s"}
    assert asked == [("a", "full", options), ("b", "full", options)]


def test_of_all_studies_those_that_lack_an_extra_are_skipped_with_the_reason(run_gives, capsys):
    asked = run_gives(a=document("reproduced"), lacking=document("weaker"))
    assert main(["study", "check", "--all"]) == 0
    assert [name for name, _, _ in asked] == ["a"]
    assert "skipped: lacking needs pip install 'overparam[some_extra]'" in capsys.readouterr().err


def test_json_goes_to_a_file_or_for_several_to_a_folder(run_gives, tmp_path):
    run_gives(a=document("reproduced"), b=document("weaker"))
    assert main(["study", "run", "a", "--json", str(tmp_path / "one.json")]) == 0
    assert json.loads((tmp_path / "one.json").read_text()) == document("reproduced")
    assert main(["study", "run", "a", "b", "--json", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "b.json").read_text()) == document("weaker")


def test_cells_that_fail_end_with_status_1_after_the_other_studies(run_gives, capsys):
    run_gives(a=CellsFailed("1 of 4 cells of a failed"), b=document("reproduced"))
    assert main(["study", "run", "a", "b"]) == 1
    said = capsys.readouterr()
    assert "1 of 4 cells of a failed" in said.err
    assert "c0\t" in said.out


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("Do it otherwise."), 2),
        (PermissionError(13, "Permission denied", "x.json"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_the_user_can_mend_has_no_traceback(error, status, run_gives, capsys):
    run_gives(toy=error)
    assert main(["study", "run", "toy"]) == status
    assert "Traceback" not in capsys.readouterr().err


def test_a_numerical_failure_is_a_complaint_too(run_gives, capsys):
    with pytest.raises(NumericalError) as caught:
        expect(False, "f(x=...)", "finite numbers", "NaN", error=NumericalError)
    run_gives(toy=caught.value)
    assert main(["study", "run", "toy"]) == 2
    assert capsys.readouterr().err == "overparam: `f(x=...)` expected finite numbers, got NaN.\n"


def test_our_own_mistakes_say_so_and_keep_their_traceback(run_gives, capsys):
    run_gives(toy=ValueError("not enough values to unpack"))
    assert main(["study", "run", "toy"]) == 70
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("overparam: a mistake in overparam, please report it")
    assert said[0].endswith("(ValueError: not enough values to unpack).")
    assert said[-1] == "ValueError: not enough values to unpack"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (MemoryError("Unable to allocate 745. GiB"), 2, "there is not enough memory (Unable"),
        (MemoryError(), 2, "there is not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), 2, "nested too deeply"),
        (NumericalError("no number is left"), 2, "no number is left"),
        (ModuleNotFoundError("No module named 'ray'", name="ray"), 2, "pip install ray"),
        (SystemExit(3), 2, "ended the program itself (SystemExit: 3)"),
        (EOFError("cut short"), 70, "a mistake in overparam"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(), 2, "OSError"),
    ],
)
def test_every_end_has_a_line_and_a_status(error, status, said, run_gives, capsys):
    run_gives(toy=error)
    assert main(["study", "run", "toy"]) == status
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith("overparam: ")
    assert said in first
    assert bool(others) == (status == 70)


@pytest.mark.parametrize("words", ["", "fit", "predict", "watch", "study"])
def test_without_arguments_there_is_help(words, capsys):
    assert main(words.split()) == 2
    said = capsys.readouterr()
    assert "Usage: overparam" in said.out
    assert said.err == ""


def test_who_asks_is_told_that_a_specification_is_run(capsys):
    assert main(["diagnose", "--help"]) == 0
    assert "SPEC is run as a program of yours" in " ".join(capsys.readouterr().out.split())


def test_tables_are_drawn_in_a_terminal_and_plain_elsewhere(capsys, monkeypatch):
    print_table(["name", "claim"], [["a", "[b] 1"]])
    assert capsys.readouterr().out == "a\t[b] 1\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(["name", "claim"], [["a", "[b] 1"]])
    drawn = capsys.readouterr().out
    assert "name" in drawn
    assert "[b] 1" in drawn  # not read as markup


def test_lr_says_a_rate_and_writes_its_numbers_and_its_page(tmp_path, capsys):
    numbers, page, again = (tmp_path / name for name in ("r.json", "r.html", "again.html"))
    words = ["lr", "--budget", "10m", "--steps", "40", "--json", str(numbers), "--html", str(page)]
    assert main(words) == 0
    said = capsys.readouterr().out
    stored = json.loads(numbers.read_text())
    assert (stored["kind"], stored["steps"], stored["planned_steps"]) == ("rate", 40, 40)
    assert f"Train at {stored['rate']:.3g}." in said
    assert main(["report", str(numbers), "--html", str(again)]) == 0
    assert again.read_text() == page.read_text()


def test_lr_takes_the_schedule_of_a_specification(tmp_path, capsys):
    spec = tmp_path / "spec.py"
    spec.write_text(
        "import torch\n"
        "def model(): return torch.nn.Linear(4, 3)\n"
        "def data(): return torch.randn(60, 4), torch.arange(60) % 3\n"
        "def schedule(optimizer, steps):\n"
        "    print('laid out for', steps)\n"
        "    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)\n"
    )
    assert main(["lr", str(spec), "--steps", "40", "--budget", "10m"]) == 0
    assert "laid out for 10\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [(["--epochs", "2", "--steps", "3"], "expected one of the two, got both"),
     (["--epochs", "-1"], "expected a positive number"),
     (["--budget", "soon"], "`lr(budget=...)` expected a time"),
     (["--data", "nothing.csv"], "nothing.csv"),
     (["nothing.py"], "no such file")],
)  # fmt: skip
def test_lr_refuses_in_a_line(words, complaint, capsys):
    assert main(["lr", *words]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1 or "Hint" in said


def test_diagnose_writes_numbers_and_a_page_from_them(tmp_path, capsys):
    numbers, page, again = (tmp_path / name for name in ("d.json", "d.html", "again.html"))
    words = ["diagnose", "--budget", "10m", "--steps", "60", "--seed", "3", "--json", str(numbers)]
    assert main([*words, "--html", str(page)]) == 0
    said = capsys.readouterr()
    stored = json.loads(numbers.read_text())
    assert (
        stored["environment"]["command"] == f"overparam {shlex.join([*words, '--html', str(page)])}"
    )
    assert stored["data"]["steps_run"] == 60
    assert all(statement["text"] in said.out for statement in stored["statements"])
    assert main(["report", str(numbers), "--html", str(again)]) == 0
    assert again.read_text() == page.read_text()


def test_diagnose_takes_a_specification_and_a_table(tmp_path):
    table, spec, numbers = tmp_path / "t.csv", tmp_path / "spec.py", tmp_path / "d.json"
    rows = "\n".join(f"{i % 13},{i % 7},{(i % 13) * 0.5 + i % 7}" for i in range(120))
    table.write_text(f"a,b,price\n{rows}")
    spec.write_text(
        "import torch\nfrom torch import nn\n"
        "def model(examples): return nn.Sequential(nn.Linear(examples.x.shape[1], 32), nn.ReLU(), "
        "nn.Linear(32, 1))\n"
        "def optimizer(params): return torch.optim.AdamW(params, lr=1e-3)\n"
    )
    words = ["--data", f"{table}:price", "--budget", "10m", "--steps", "60"]
    assert main(["diagnose", str(spec), *words, "--json", str(numbers)]) == 0
    stored = json.loads(numbers.read_text())
    assert stored["advice"]["optimizer"] == "AdamW"
    assert stored["data"]["feature_names"] == ["a", "b"]
    assert stored["data"]["loss"] == "MSELoss"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "mnits"], "did you mean"),
        (["--data", "broken.npz"], "broken.npz"),
        (["--data", "absent.csv:price"], "absent.csv"),
        (["absent.py"], "no such file"),
        (["raises.py"], "got KeyError: 'weights'"),
        (["--budget", "1s"], "at least 5 s"),
        (["--budget", "soon"], "a time such as"),
        (["--lr", "-1"], "a positive number"),
        (["--batch-size", "0"], "expected a size from 1"),
        (["--steps", "0"], "a positive number of steps"),
        (["--loss", "huber"], "'mse', 'cross_entropy'"),
        (["--json", "absent/d.json"], "there is no folder absent"),
        (["--rate", "0.1"], "No such option"),
    ],
)
def test_a_diagnosis_asked_for_wrongly_is_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 cut short")
    (tmp_path / "raises.py").write_text("raise KeyError('weights')\n")
    assert main(["diagnose", *words]) == 2
    err = capsys.readouterr().err.splitlines()
    assert said in err[0]
    if words == ["raises.py"]:
        assert "raises.py" in err[1]
        assert "line 1" in err[1]
    else:
        assert len(err) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.npz", "raises.py"]


def test_report_of_something_else_is_one_line(tmp_path, capsys):
    source = tmp_path / "x.json"
    source.write_text("{}")
    assert main(["report", str(source), "--html", str(tmp_path / "x.html")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "x.html").exists()


def worked(*arguments, **options):
    """In place of work that must not be begun."""
    raise AssertionError("the work was begun before its outputs were checked")


@pytest.fixture
def nothing_is_computed(monkeypatch):
    for module, function in (
        ("overparam.diagnosis.command", "run_diagnosis"),
        ("overparam.fitting.fit", "fit"),
        ("overparam.fitting.saved_model", "load_model"),
    ):
        monkeypatch.setattr(importlib.import_module(module), function, worked)
    monkeypatch.setattr("overparam.claims.run.run_study", worked)


STUDY = "liu2020_kernel_constancy"


OUTPUTS = (
    "diagnose --json", "diagnose --html", "fit iris --json", "fit iris --html", "fit iris --save",
    "predict model table.csv --output", f"study run {STUDY} --json", f"study check {STUDY} --json",
)  # fmt: skip
TROUBLES = ("full", "a file as folder", "name too long", "in use")


@pytest.mark.parametrize(
    ("words", "trouble"),
    [
        (words, trouble)
        for words in OUTPUTS
        for trouble in TROUBLES
        # A folder is where the files of several studies go.
        if not (words.startswith("study") and trouble == "in use")
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(
    words, trouble, nothing_is_computed, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "other").write_text("precious")
    place = tmp_path / "new"
    if trouble == "a file as folder":
        place = tmp_path / "file" / "new"
    elif trouble == "name too long":
        place = tmp_path / ("n" * 300)
    elif trouble == "in use":
        place = tmp_path / "folder"
    else:

        def full(handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
    assert main([*words.split(), str(place)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("overparam: ")
    assert said.count("\n") == 1
    assert (tmp_path / "file").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("fit table.csv --target y --html table.csv", "--html must be another file than table.csv"),
        ("fit table.csv:y --json ./table.csv", "--json must be another file than table.csv"),
        ("fit iris --json a.out --html a.out", "--json and --html must be different files"),
        (
            "predict model table.csv --output link.csv",
            "--output must be another file than link.csv",
        ),
        ("predict model table.csv --output model/model.json", "which is read"),
        ("predict model table.csv --output new.parquet", "--output writes text, which new.parquet"),
        ("diagnose spec.py --json spec.py", "--json must be another file than spec.py"),
        ("lr --data table.csv:y --html table.csv", "--html must be another file than table.csv"),
        ("report found.json --html found.json", "--html must be another file than found.json"),
        ("study report found.json --html found.json", "--html must be another file"),
    ],
)
def test_what_is_read_is_not_written_over(
    words, said, nothing_is_computed, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    for name in ("table.csv", "spec.py", "found.json", "model/model.json"):
        (tmp_path / name).write_text("precious")
    (tmp_path / "link.csv").symlink_to("table.csv")
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.read_text() for path in files} == {"precious"}
    assert len(files) == 5


def _full(path):
    return f"overparam: [Errno 28] No space left on device: '{path}'\n"


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_disk_that_fills_up_while_a_diagnosis_is_written(option, small_disk, monkeypatch, capsys):
    from overparam.diagnosis import command
    from overparam.diagnosis.result import Diagnosis

    found = Diagnosis({"command": "x" * 2_000_000}, {}, {}, {})
    monkeypatch.setattr(command, "run_diagnosis", lambda *words, **options: found)
    (small_disk / "old").write_text("precious")
    assert main(["diagnose", option, str(small_disk / "old")]) == 2
    assert capsys.readouterr().err == _full(small_disk / "old")
    assert (small_disk / "old").read_text() == "precious"
    assert [path.name for path in small_disk.iterdir()] == ["old"]


def test_a_disk_that_fills_up_while_a_study_is_written(small_disk, run_gives, capsys):
    (small_disk / "toy.json").write_text("precious")
    run_gives(toy=document("reproduced") | {"series": "x" * 2_000_000})
    assert main(["study", "run", "toy", "--json", str(small_disk)]) == 2
    assert capsys.readouterr().err == _full(small_disk / "toy.json")
    assert (small_disk / "toy.json").read_text() == "precious"
    assert [path.name for path in small_disk.iterdir()] == ["toy.json"]


def test_a_disk_that_fills_up_while_predictions_are_written(
    small_disk, tmp_path, monkeypatch, capsys
):
    import numpy as np

    from overparam.fitting import saved_model

    class Constant:
        target, class_names = "y", ()

        def coordinates(self, frame):
            return frame

        def outputs(self, rows):
            return np.zeros((len(rows), 1))

    monkeypatch.setattr(saved_model, "load_model", lambda folder: Constant())
    table, output = tmp_path / "table.csv", small_disk / "predicted.csv"
    table.write_text("a,b\n" + "0.123456789,0.123456789\n" * 60_000)
    output.write_text("precious")
    assert main(["predict", "model", str(table), "--output", str(output)]) == 2
    assert capsys.readouterr().err == _full(output)
    assert output.read_text() == "precious"
    assert [path.name for path in small_disk.iterdir()] == ["predicted.csv"]
    assert main(["predict", "model", str(table), "--output", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_text().count("\n") == 60_001
