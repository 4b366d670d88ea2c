"""The set-up script, without installing anything."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "x.py"


@pytest.fixture
def x(tmp_path, monkeypatch):
    """The script, set in a folder of its own, with pip and venv replaced by a record."""
    spec = importlib.util.spec_from_file_location("x", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    home = tmp_path / "a folder"
    home.mkdir()
    (home / "pyproject.toml").write_text("[project]")
    (home / "constraints.txt").write_text("numpy==1\ntorch==2  # the build\n")
    places = {"HERE": "", "VENV": ".venv", "STAMP": ".venv/finished", "ADDED": ".venv/added"}
    for name, path in places.items():
        monkeypatch.setattr(module, name, home / path)
    monkeypatch.setattr(module, "PYTHON", home / ".venv" / "python")
    module.calls, module.made, module.failing = [], [], ()

    def call(command, **options):
        module.calls.append(command[1:])
        return 1 if any(word in command for word in module.failing) else 0

    class EnvBuilder:
        def __init__(self, *, clear, with_pip):
            assert clear
            assert with_pip

        def create(self, folder):
            module.made.append(folder)
            folder.mkdir(exist_ok=True)
            for stamp in ("finished", "added"):
                (folder / stamp).unlink(missing_ok=True)
            (folder / "python").touch()

    monkeypatch.setattr("subprocess.call", call)
    monkeypatch.setattr("venv.EnvBuilder", EnvBuilder)
    return module


def pip_calls(x):
    return [call for call in x.calls if call[:2] == ["-m", "pip"]]


def test_the_first_set_up_installs_torch_alone_and_first(x, capsys):
    x.set_up()
    assert [call[-1] for call in pip_calls(x)] == ["torch==2", f"{x.HERE}[dev]"]
    assert all("-c" in call for call in pip_calls(x))
    assert "1 GB" in capsys.readouterr().err


def test_a_finished_set_up_calls_nothing(x):
    x.set_up()
    x.calls.clear()
    x.set_up()
    assert x.calls == []
    assert len(x.made) == 1


@pytest.mark.parametrize("step", ["torch==2", "-e"])
def test_a_failing_pip_is_named_and_leaves_the_set_up_unfinished(x, step):
    x.failing = (step,)
    with pytest.raises(SystemExit, match=r"x.py: pip could not install .*\nHint: ") as caught:
        x.set_up()
    assert step in str(caught.value)
    assert not x.STAMP.exists()
    x.failing = ()
    x.set_up()
    assert len(x.made) == 2
    assert x.STAMP.exists()


def test_an_interrupted_set_up_starts_again(x, monkeypatch, capsys):
    def interrupted(command, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("subprocess.call", interrupted)
        assert x.main(["docs"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not x.STAMP.exists()
    assert x.main(["docs"]) == 0
    assert len(x.made) == 2


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_set_up_again(x, file):
    x.set_up()
    with (x.HERE / file).open("a") as requirements:
        requirements.write("# new\n")
    x.set_up()
    assert len(x.made) == 2


def test_a_moved_folder_or_another_python_sets_up_again(x, monkeypatch):
    before = x.fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "base_prefix", "/another/python")
        assert x.fingerprint() != before
    moved = x.HERE.rename(x.HERE.parent / "moved")
    monkeypatch.setattr(x, "HERE", moved)
    assert x.fingerprint() != before


def test_an_environment_without_its_python_is_made_anew(x):
    x.set_up()
    x.PYTHON.unlink()
    x.set_up()
    assert len(x.made) == 2


def test_a_folder_that_cannot_be_written_is_one_message(x, monkeypatch):
    def refuse(self, folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("venv.EnvBuilder.create", refuse)
    with pytest.raises(SystemExit, match=r"cannot make .*Permission denied"):
        x.set_up()


def test_a_python_without_venv_is_told_what_to_install(x, monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        x.set_up()


def test_an_old_python_is_told_so_before_anything_happens(x, monkeypatch):
    monkeypatch.setattr(x, "sys", SimpleNamespace(version_info=(3, 10, 13), exit=sys.exit))
    with pytest.raises(SystemExit, match=r"expected Python 3.11 or newer, got 3.10\."):
        x.main(["test"])
    assert x.made == []


@pytest.mark.parametrize("argv", [["tset"], []])
def test_an_unknown_task_exits_with_2_and_names_the_tasks(x, capsys, argv):
    assert x.main(argv) == 2
    assert (
        "one of demo, test, check, bench, flower, docs, wheel, floors, run, got"
        in capsys.readouterr().err
    )
    assert x.made == []


def test_help_sets_nothing_up(x, capsys):
    assert x.main(["--help"]) == 0
    assert "python3 x.py test" in capsys.readouterr().out
    assert x.made == []


@pytest.mark.parametrize("asked", ["-h", "--help"])
@pytest.mark.parametrize(
    "task", ["demo", "test", "check", "bench", "flower", "docs", "wheel", "floors", "run"]
)
def test_help_of_a_task_sets_nothing_up(x, capsys, task, asked):
    (x.HERE / "benchmarks").mkdir()
    (x.HERE / "benchmarks" / "bench_ntk.py").write_text('"""Kernels.\n\nAnd more."""')
    assert x.main([task, asked]) == 0
    shown = capsys.readouterr().out
    assert f"python3 x.py {task}" in shown
    assert x.TASKS[task].__doc__.partition("\n")[0] in shown
    assert (task == "bench") == ("ntk           Kernels.\n" in shown)
    assert x.made == x.calls == []


def test_help_of_the_command_line_is_its_own_once_it_is_there(x):
    x.set_up()
    assert x.main(["run", "--help"]) == 0
    assert x.calls[-1] == ["-m", "overparam", "--help"]
    assert x.main(["run", "study", "--help"]) == 0
    assert x.calls[-1] == ["-m", "overparam", "study", "--help"]


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["test", "-k", "one"], ["-m", "pytest", "-k", "one"]),
        (["run", "study", "list"], ["-m", "overparam", "study", "list"]),
        (["demo", "--seed", "1"], ["-m", "overparam", "diagnose", "--html", "--seed", "1"]),
        (["docs"], ["-m", "sphinx", "-W", "docs", "docs/_build/html"]),
        (["check", "x.py"], ["-m", "pyright", "x.py"]),
    ],
)
def test_a_task_hands_its_arguments_on(x, argv, command):
    assert x.main(argv) == 0
    assert [word for word in x.calls[-1] if word in command] == command


def test_the_exit_status_is_the_task_s(x):
    x.set_up()
    x.failing = ("pytest",)
    assert x.main(["test"]) == 1


def test_only_the_tests_need_the_tools_a_monitor_reports_to(x, capsys):
    x.main(["demo"])
    assert not any("integrations" in call[-1] for call in pip_calls(x))
    x.main(["test"])
    x.main(["test"])
    added = [call for call in pip_calls(x) if "integrations" in call[-1]]
    extras = "dev,integrations,cluster,transport,battery,search"
    assert [call[-1] for call in added] == [f"{x.HERE}[{extras}]"]
    assert "-c" in added[0]
    assert "500 MB" in capsys.readouterr().err


def test_without_those_tools_the_tests_run_all_the_same(x, capsys):
    x.set_up()
    x.failing = (f"{x.HERE}[dev,integrations,cluster,transport,battery,search]",)
    assert x.main(["test"]) == 0
    assert x.calls[-1][:2] == ["-m", "pytest"]
    assert "tests are skipped" in capsys.readouterr().err
    assert not x.ADDED.exists()


def test_a_new_environment_needs_them_again(x):
    x.main(["test"])
    x.PYTHON.unlink()
    x.main(["test"])
    assert sum("integrations" in call[-1] for call in pip_calls(x)) == 2


def test_check_reports_a_failure_of_any_tool_and_runs_them_all(x):
    x.main(["test"])
    x.calls.clear()
    x.failing = ("--check",)
    assert x.main(["check"]) == 1
    assert len(x.calls) == 3


def test_benchmarks_are_found_by_their_file(x, capsys):
    (x.HERE / "benchmarks").mkdir()
    (x.HERE / "benchmarks" / "bench_ntk.py").write_text('"""Kernels \u2026 all.\n\n--large"""')
    assert x.main(["bench"]) == 0
    assert "ntk           Kernels \u2026 all.\n" in capsys.readouterr().out
    assert x.main(["bench", "nkt"]) == 2
    assert "expected one of ntk, got 'nkt'" in capsys.readouterr().err
    assert x.main(["bench", "ntk", "--help"]) == 0
    assert "--large" in capsys.readouterr().out
    assert x.made == []
    assert x.main(["bench", "ntk", "--large"]) == 0
    assert x.calls[-1][-1] == "--large"
    assert x.main(["bench", "ntk", "--help"]) == 0
    assert x.calls[-1][-1] == "--help"


def test_the_wheel_is_used_without_the_checkout(x, monkeypatch):
    places = []

    def call(command, **options):
        x.calls.append(command[1:])
        places.append(options["cwd"])
        if "wheel" in command:
            Path(command[command.index("--wheel-dir") + 1], "overparam-1.whl").touch()
        return 0

    x.set_up()
    x.calls.clear()
    monkeypatch.setattr("subprocess.call", call)
    assert x.main(["wheel"]) == 0
    installed = [call[-1] for call in x.calls if "install" in call]
    assert installed[0] == "torch==2"
    assert installed[1].endswith("overparam-1.whl")
    ran = [call[2] for call in x.calls if call[:2] == ["-m", "overparam"]]
    assert ran == ["--help", "diagnose", "fit", "study"]
    assert all(place != x.HERE for place in places[1:])
    assert x.main(["wheel", "more"]) == 2


@pytest.mark.parametrize("step", ["nothing", "pip", "tests/linalg"])
def test_floors_are_the_lowest_versions_and_a_failure_is_told(x, step):
    (x.HERE / "pyproject.toml").write_text(
        '[project]\ndependencies = ["numpy>=1.26", "torch>=2.6"]\n'
    )
    x.set_up()
    x.calls.clear()
    x.failing = (step,)
    assert x.main(["floors", "tests/linalg"]) == (step != "nothing")
    assert {"numpy==1.26", "torch==2.6"} <= set(x.calls[0])
    assert not any("-c" in call for call in pip_calls(x))
    if step != "pip":
        assert x.calls[-1] == ["-m", "pytest", *x.SIDE_BY_SIDE, "tests/linalg"]


def test_the_script_runs_from_another_folder(tmp_path):
    asked = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=200,
    )
    assert asked.returncode == 0
    assert asked.stdout.isascii()
