"""The tutorials at the command line: every command is run, in the order of the page.

What has prompts of Python is run with the other pages, as doctests.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from overparam.cli import main

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


def opening(line: str) -> re.Pattern[str]:
    """The first sentence of a line, with any numbers: another machine measures others."""
    first = re.split(r"(?<=[.:]) ", line.strip())[0]
    return re.compile(r"[\d.e+-]+".join(map(re.escape, re.split(r"\d[\d.e+-]*(?<![.])", first))))


def test_the_commands_of_the_first_diagnosis_answer_as_the_page_says(tmp_path, monkeypatch, capsys):
    """In this process: what each of them would import again takes longer than it does."""
    monkeypatch.chdir(tmp_path)
    done = []
    for what, name, lines in steps(PAGE.read_text("utf-8")):
        done.append(what)
        if what == "write":
            (tmp_path / name).write_text("\n".join(lines), "utf-8")
            continue
        shorter = re.sub(r"--epochs \S+", f"--epochs {EPOCHS}", name)
        words = shlex.split(re.sub(r"--budget \S+", f"--budget {BUDGET}", shorter))
        assert words[0] == "overparam"
        status, said = main(words[1:]), capsys.readouterr()
        assert status == 0, said.err
        for line in lines:
            assert line == "..." or opening(line).search(said.out), said.out
    assert done == ["write", "run", "write", "run", "run"]
    written = {path.name for path in tmp_path.iterdir()}
    assert {"page.html", "before.json", "after.json", "both.html"} <= written


def test_numbers_of_another_machine_are_not_compared_but_words_are():
    line = "[warning] Of 9 rates, 0.125 did best in 880 steps (20 epochs). Expect 0.06 to 0.25."
    assert opening(line).search("[warning] Of 11 rates, 1e-3 did best in 66 steps (3 epochs).")
    assert not opening(line).search("[warning] Of 9 rates, 0.125 did worst in 880 steps")
    assert not opening(line).search(
        "[unknown] Of 9 rates, 0.125 did best in 880 steps (20 epochs)."
    )


def test_the_second_file_has_the_rate_that_is_advised():
    text = PAGE.read_text("utf-8")
    (advised,) = re.findall(r"→ Raise it to ([\d.e-]+)\.$", text, re.MULTILINE)
    used, then = (rate for rate in re.findall(r"lr=([\d.e-]+),", text))
    assert used != advised == then
    assert f"`lr={advised}`" in text
