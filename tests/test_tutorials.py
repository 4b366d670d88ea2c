"""The tutorials at the command line: every command is run, in the order of the page.

What has prompts of Python is run with the other pages, as doctests.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorials" / "first-diagnosis.md"
_FENCE = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Three epochs end long before this, on any machine.
BUDGET, EPOCHS = "10m", 3


def steps(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Each file to write and each command to run, with the lines that it answers."""
    for language, block in _FENCE.findall(text):
        first, _, rest = block.partition("\n")
        if language == "python":
            yield "write", first.removeprefix("# "), rest.splitlines()
        else:
            assert first.startswith("$ ")
            yield "run", first.removeprefix("$ "), rest.splitlines()


def opening(line: str) -> str:
    """The words of a line up to its first number, which another machine measures otherwise."""
    return re.split(r"\d", line)[0].strip()


def test_the_commands_of_the_first_diagnosis_answer_as_the_page_says(tmp_path):
    done = []
    for what, name, lines in steps(PAGE.read_text("utf-8")):
        done.append(what)
        if what == "write":
            (tmp_path / name).write_text("\n".join(lines), "utf-8")
            continue
        shorter = re.sub(r"--epochs \S+", f"--epochs {EPOCHS}", name)
        words = shlex.split(re.sub(r"--budget \S+", f"--budget {BUDGET}", shorter))
        assert words[0] == "overparam"
        ended = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True,
            encoding="utf-8", timeout=250,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        for line in lines:
            assert line == "..." or opening(line) in ended.stdout, ended.stdout
    assert done == ["write", "run", "write", "run", "run"]
    written = {path.name for path in tmp_path.iterdir()}
    assert {"page.html", "before.json", "after.json", "both.html"} <= written


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[warning] The rate 0.05 uses 3.08 % of it", "[warning] The rate"),
        ("    → Raise it to 0.406: fewer steps", "→ Raise it to"),
    ],
)
def test_numbers_of_another_machine_are_not_compared(line, words):
    assert opening(line) == words
