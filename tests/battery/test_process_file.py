"""A process from a file: what is read, and one clear line for what cannot be."""

import pytest

from overparam._errors import UsageError
from overparam.battery import CoatingProcess, load_process


def test_coefficients_and_windows_replace_those_they_name(tmp_path):
    file = tmp_path / "line.toml"
    file.write_text("wet_gap = 200e-6\n[bounds]\nsolids = [0.60, 0.68]\n")
    process = load_process(file)
    assert isinstance(process, CoatingProcess)
    assert process.wet_gap == 200e-6
    assert process.bounds["solids"] == (0.60, 0.68)
    assert process.bounds["calendering"] == CoatingProcess().bounds["calendering"]


def test_a_program_gives_any_model(tmp_path):
    file = tmp_path / "line.py"
    file.write_text(
        "from overparam.battery import CoatingProcess\n"
        "def process():\n    return CoatingProcess(packing=0.5)\n"
    )
    assert load_process(file).structure({**dict.fromkeys(CoatingProcess().bounds, 0.6)}).porosity


@pytest.mark.parametrize(
    ("name", "text", "kind", "words"),
    [
        ("a.toml", "wet_gapp = 1", ValueError, "did you mean 'wet_gap'"),
        ("a.toml", "wet_gap = ", ValueError, "TOML"),
        ("a.toml", "wet_gap = -1", ValueError, "a positive number"),
        ("a.toml", "[bounds]\nsolid = [0, 1]", ValueError, "did you mean 'solids'"),
        ("a.toml", "bounds = 3", ValueError, r"\[bounds\]"),
        ("a.json", "{}", ValueError, "a .toml or a .py file"),
        ("a.py", "x = 1", ValueError, r"a function process\(\)"),
        ("a.py", "def process(): return 3", TypeError, "to give a process model"),
        ("a.py", "def process(): return 1 / 0", UsageError, "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(tmp_path, name, text, kind, words):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(kind, match=words):
        load_process(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match=r"gone\.toml"):
        load_process(tmp_path / "gone.toml")
