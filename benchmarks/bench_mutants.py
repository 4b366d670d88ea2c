"""Small mistakes, put into the library one at a time: do the tests notice, and the studies?

Each of the functions that the studies rest on is changed by a factor, a sign, a term, an index or
a transposition (`mutant_list.py`, the sabotages of a referee first). For every such mutant its
tests run up to the first that fails, and the cells of its studies are computed and judged by the
claims that stand there; each study that is named has to notice. A process that has imported
everything forks a child for each, in which the source of the function is edited, compiled and put
under the function of that name, wherever it was imported to; files stay as they are. Processes
that a test starts do not see the mutant.

What does not pass without a mutant judges none: its mutants are counted as not judged. So are
those that neither pass nor fail within `--seconds` of processor time.

Written down before the first run: at least 95 % of the mutants are noticed by tests, and at least
80 % of those that have a cell by the studies that rest on them. The exit status is 0 if both hold
and every mutant was judged. `--first`, `--only WORD` and `--until SECONDS` (of the clock) judge
some only, and say how many were left out.
"""

import argparse
import ast
import contextlib
import importlib
import inspect
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import types
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mutant_list import CELLS, MUTANTS, Cell, Mutant

ROOT = Path(__file__).resolve().parents[1]
BY_TESTS, BY_STUDY = 0.95, 0.80  # criteria, fixed before the first run
HELD, NOTICED, BROKEN = 0, 1, 3  # what a child ends with
OUTCOMES = {HELD: "passes", NOTICED: "fails"}


def mutated(source: str, function: str, old: str, new: str) -> str:
    """A module's source with `old` in the body of a function, where it stands once, replaced.

    Raises:
        LookupError: There is no such function, or `old` is not there exactly once.
    """
    node = _node(source, function)
    first = node.body[bool(ast.get_docstring(node))].lineno - 1
    lines = source.splitlines(keepends=True)
    body = "".join(lines[first : node.end_lineno])
    if body.count(old) != 1:
        raise LookupError(f"{old!r} stands {body.count(old)} times in {function}, not once")
    return "".join([*lines[:first], body.replace(old, new), *lines[node.end_lineno :]])


def _node(source: str, function: str) -> ast.FunctionDef:
    """The definition of a function, or of a method as Class.method."""
    node: ast.AST = ast.parse(source)
    for part in function.split("."):
        found = [
            each for each in getattr(node, "body", [])
            if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == part
        ]  # fmt: skip
        if not found:
            raise LookupError(f"there is no {function}")
        node = found[-1]  # what comes last, after overloads, is what counts
    assert isinstance(node, ast.FunctionDef)
    return node


def _code(code: types.CodeType, qualified: str) -> types.CodeType:
    """The code of a function, within that of its module."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    last = [each for each in inner if each.co_qualname == qualified]
    if last:
        return last[-1]
    within = next(each for each in inner if qualified.startswith(each.co_qualname + "."))
    return _code(within, qualified)


def target(mutant: Mutant) -> types.FunctionType:
    """The function itself, below its decorators."""
    module, _, names = mutant.place.partition(":")
    found = importlib.import_module(f"overparam.{module}")
    for name in names.split("."):
        found = inspect.getattr_static(found, name)
    found = getattr(found, "fget", None) or getattr(found, "__func__", found)
    function = inspect.unwrap(found)
    assert isinstance(function, types.FunctionType)
    assert function.__qualname__ == names, f"{function.__qualname__} stands where {names} should"
    return function


def apply(mutant: Mutant) -> None:
    """Put the mutant's code under its function, in this process."""
    function = target(mutant)
    path = inspect.getfile(function)
    source = Path(path).read_text(encoding="utf-8")
    changed = mutated(source, function.__qualname__, mutant.old, mutant.new)
    function.__code__ = _code(compile(changed, path, "exec"), function.__qualname__)


def all_pass(names: Sequence[str]) -> bool:
    """Whether tests pass, up to the first that does not; none of them has a limit of the clock."""
    import pytest

    os.chdir(ROOT)
    words = ["-x", "-q", "--timeout=0", "-p", "no:cacheprovider", "-p", "no:randomly"]
    found = pytest.main([*words, "-p", "no:xdist", *names])
    # Nothing collected, or words that pytest does not know, are no verdict.
    if found not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {found!r}")
    return found == pytest.ExitCode.OK


def cell_holds(cell: Cell) -> bool:
    """Whether a study's claims hold on one cell of it; a cell that raises holds nothing."""
    import pandas as pd

    from overparam.claims import load_study

    study = load_study(cell.study)
    claims = [claim for claim in study.claims if claim.name in cell.claims]
    assert len(claims) == len(cell.claims), f"claims of {cell.study}: {cell.claims}"
    try:
        found = study.cell(**cell.parameters, seed=0)
    except Exception:
        traceback.print_exc()
        return False
    table = pd.DataFrame([{**cell.parameters, "seed": 0, **found}])
    verdicts = [claim.judge(table, "full") for claim in claims]
    print([(each["name"], each["measured"], each["verdict"]) for each in verdicts])
    return all(each["verdict"] == "reproduced" for each in verdicts)


def in_a_child(holds: Callable[[], bool], mutant: Mutant | None, seconds: int, log: Path) -> str:
    """Whether something passes or fails in a child process with a mutant, or why neither."""
    with warnings.catch_warnings():
        # Only this thread goes on in the child, where nobody waits for another.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = BROKEN
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            # Of the processor: a busy machine is slow by the clock.
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
            if mutant:
                apply(mutant)
            warnings.simplefilter("ignore")
            code = HELD if holds() else NOTICED
        except BaseException:
            with contextlib.suppress(Exception):
                os.write(2, traceback.format_exc().encode())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            os._exit(code)
    try:
        _, status = os.waitpid(child, 0)
    except BaseException:  # Ctrl+C, or the end of a test's time
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    if os.WIFSIGNALED(status):
        return f"stopped by signal {os.WTERMSIG(status)}"
    return OUTCOMES.get(os.WEXITSTATUS(status), "broken")


class Judge:
    """Tests and cells on mutants, each asked first without one."""

    def __init__(self, seconds: int, folder: Path) -> None:
        self.seconds, self.folder = seconds, folder
        self.unmutated = cache(lambda kind, what: self._asked(kind, what, None))

    def _asked(self, kind: str, what: tuple[str, ...] | str, mutant: Mutant | None) -> str:
        log = self.folder / "log.txt"
        if kind == "tests":
            found = in_a_child(lambda: all_pass(what), mutant, self.seconds, log)
        else:
            found = in_a_child(lambda: cell_holds(CELLS[str(what)]), mutant, self.seconds, log)
        if found != "passes" and (mutant is None or found != "fails"):
            last = "\n    ".join(log.read_text(errors="replace").strip().splitlines()[-12:])
            print(f"  {kind} {what}: {found}\n    {last}", flush=True)
        return found

    def __call__(self, mutant: Mutant) -> dict[str, str]:
        """By tests and by its studies: caught, survived, no cell, or why it cannot be told."""
        parts = [self._judged("study", name, mutant) for name in mutant.cells]
        # Every study that is named has to notice.
        missed = [part for part in parts if part != "caught"]
        return {
            "tests": self._judged("tests", mutant.tests, mutant),
            "study": (missed or parts or ["no cell"])[0],
        }

    def _judged(self, kind: str, what: tuple[str, ...] | str, mutant: Mutant) -> str:
        before = self.unmutated(kind, what)
        if before != "passes":
            return f"not judged: {before} without a mutant"
        after = self._asked(kind, what, mutant)
        return {"fails": "caught", "passes": "survived"}.get(after, f"not judged: {after}")


def summary(found: dict[str, dict[str, str]], left_out: int) -> tuple[list[str], bool]:
    """Counts, survivors and whether the criteria hold."""
    lines, good = [], not left_out
    for kind, least in (("tests", BY_TESTS), ("study", BY_STUDY)):
        outcomes = {name: row[kind] for name, row in found.items() if row[kind] != "no cell"}
        caught = sum(each == "caught" for each in outcomes.values())
        share = caught / len(outcomes) if outcomes else float("nan")
        good &= share >= least
        lines.append(
            f"by {kind}: {caught} of {len(outcomes)} caught ({share:.1%}, asked {least:.0%})"
        )
        for verdict in sorted(set(outcomes.values()) - {"caught"}):
            names = [name for name, each in outcomes.items() if each == verdict]
            lines += [f"  {verdict}: {len(names)}", *(f"    {name}" for name in names)]
    if left_out:
        lines.append(f"left out: {left_out} mutants")
    return lines, good


def imports(mutants: Sequence[Mutant]) -> None:
    """Everything that children need, once."""
    import hypothesis
    import pandas
    import pytest

    del hypothesis, pandas, pytest
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mutant in mutants:
            target(mutant)
            for name in mutant.cells:
                importlib.import_module(f"overparam.studies.{CELLS[name].study}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="mutants in whose line this word is")
    parser.add_argument("--first", type=int, default=len(MUTANTS))
    parser.add_argument("--until", type=float, default=float("inf"), help="begin none after")
    parser.add_argument("--seconds", type=int, default=120, help="of processor time, for each")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name][: options.first]
    start, found = time.monotonic(), {}
    imports(chosen)
    with tempfile.TemporaryDirectory() as folder:
        # What hypothesis finds under a mutant is no example for later tests.
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        judge = Judge(options.seconds, Path(folder))
        try:
            for number, mutant in enumerate(chosen, 1):
                if time.monotonic() - start > options.until:
                    break
                row = found[mutant.name] = judge(mutant)
                print(f"{number:3} tests {row['tests']}, study {row['study']}: {mutant.name}",
                      flush=True)  # fmt: skip
        except KeyboardInterrupt:
            print("interrupted")
    lines, good = summary(found, len(MUTANTS) - len(found))
    print(f"{len(found)} mutants in {time.monotonic() - start:.0f} s", *lines, sep="\n")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
