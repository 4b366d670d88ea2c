"""Nobody waits for ever: every process that is started and waited for has a time limit."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAITING = ("run", "call", "check_call", "check_output")


def unlimited(text):
    """Calls that wait for a process as long as it takes, as "line: call"."""
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in (*WAITING, "communicate"):
            continue
        call = ast.unparse(node.func)
        limited = any(keyword.arg in ("timeout", None) for keyword in node.keywords)
        waits = call in [f"subprocess.{name}" for name in WAITING] or call.endswith(".communicate")
        if waits and not limited:
            yield f"{node.lineno}: {call}"


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "examples", "docs"])
def test_every_process_that_is_waited_for_has_a_time_limit(folder):
    found = {
        str(path.relative_to(ROOT)): calls
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (calls := list(unlimited(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


def test_a_broken_specimen_is_found():
    bad = "import subprocess\nsubprocess.run(['a'])\nprocess.communicate()\n"
    assert list(unlimited(bad)) == ["2: subprocess.run", "3: process.communicate"]
    assert list(unlimited("subprocess.run(['a'], timeout=1); process.communicate(timeout=1)")) == []
