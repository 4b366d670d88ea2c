"""Small mistakes, put into the library one at a time: do the tests notice, and the studies?

Each of the functions that the studies rest on is changed by a factor, a sign, a term, an index or
a transposition (`mutant_list.py`, the sabotages of a referee first). For every such mutant the
test that is named runs, then the others of its file, up to the first that fails; and the cells of
its studies are computed and judged by the claims that stand there: each study that is named has to
notice. A process that has imported and collected everything forks a child for each, in which the
source of the function is edited, compiled and put under the function of that name, wherever it was
imported to; files stay as they are. Processes that a test starts do not see the mutant.

What does not pass without a mutant judges none: its mutants are counted as not judged. So are
those that neither pass nor fail within `--seconds` of processor time.

Written down before the first run: at least 95 % of the mutants are noticed by tests, and at least
80 % of those that have a cell by the studies that rest on them. The exit status is 0 if both hold
and every mutant was judged.

Every outcome is kept at once in `--json`, docs/mutants.json by default, with a digest of the
function's file, of its tests' and of its studies': the next run judges what is missing or has
changed, and goes on where one was interrupted. `--again` judges all. `--part tests` or `studies`,
`--only WORD` and `--until SECONDS` (of the clock) judge some only, and say how many are left.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from mutant_list import CELLS, MUTANTS, Cell, Mutant
from mutating import apply

ROOT = Path(__file__).resolve().parents[1]
PARTS = {"tests": 0.95, "studies": 0.80}  # the least that is noticed, fixed before the first run
HELD, NOTICED, BROKEN = 0, 1, 3  # what a child ends with
OUTCOMES = {HELD: "passes", NOTICED: "fails"}
NO_CELL = "no cell"
Rows = dict[str, dict[str, Any]]


class Collected:
    """A plugin of pytest that hands over the tests it collected, in place of running them."""

    def __init__(self, judged: Callable[["Collected"], None]) -> None:
        self.judged = judged
        self.ran = self.failed = 0

    def pytest_collection(self) -> None:
        """Of an example that fails, no smaller one is looked for."""
        import hypothesis

        whole = [each for each in hypothesis.Phase if each.name not in ("shrink", "explain")]
        hypothesis.settings.register_profile("mutants", hypothesis.settings(), phases=whole)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's own."""
        if session.testsfailed:
            raise RuntimeError("some tests cannot be collected")
        self.items = session.items
        for node in (node for item in session.items for node in item.listchain()):
            # A busy machine is slow by the clock, and that is no verdict.
            node.own_markers = [mark for mark in node.own_markers if mark.name != "timeout"]
        self.judged(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count, and say what failed."""
        self.ran += report.when == "call" and report.passed
        if report.failed:
            self.failed += 1
            print(report.longreprtext)

    def of(self, mutant: Mutant, named: bool) -> list[pytest.Item]:
        """The tests that a mutant names, or the others of the same files."""
        files = {(ROOT / name.partition("::")[0]).resolve() for name in mutant.tests}
        names = {
            ((ROOT / file).resolve(), test)
            for file, _, test in (name.partition("::") for name in mutant.tests)
        }

        def is_named(item: pytest.Item) -> bool:
            return bool({(item.path, item.name.partition("[")[0]), (item.path, "")} & names)

        return [item for item in self.items if item.path in files and is_named(item) is named]

    def all_pass(self, items: Sequence[pytest.Item]) -> bool:
        """Whether tests pass, up to the first that does not."""
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return False
        if not self.ran:
            raise RuntimeError("no test ran")  # which is no verdict
        return True


def collect(files: Iterable[str], judged: Callable[[Collected], None]) -> None:
    """Let pytest collect files, and do something with what it found."""
    os.chdir(ROOT)
    words = ["-c", "pyproject.toml", "-q", "-s", "--timeout=0", "-p", "no:cacheprovider"]
    words += ["-p", "no:randomly", "-p", "no:xdist", *sorted(set(files))]
    found = pytest.main(words, plugins=[Collected(judged)])
    if found != pytest.ExitCode.OK:
        raise RuntimeError(f"pytest ended with {found!r}")


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
            # Whoever runs this may have put something else in their place.
            sys.stdout = sys.stderr = os.fdopen(1, "w", closefd=False)
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
        self.seconds, self.log = seconds, folder / "log.txt"
        self.unmutated: dict[str, str] = {}

    def __call__(self, what: str, holds: Callable[[], bool], mutant: Mutant) -> str:
        """Caught or survived, or why it cannot be told."""
        if what not in self.unmutated:
            self.unmutated[what] = self._asked(what, holds, None)
        before = self.unmutated[what]
        if before != "passes":
            return f"not judged: {before} without a mutant"
        after = self._asked(what, holds, mutant)
        return {"fails": "caught", "passes": "survived"}.get(after, f"not judged: {after}")

    def _asked(self, what: str, holds: Callable[[], bool], mutant: Mutant | None) -> str:
        found = in_a_child(holds, mutant, self.seconds, self.log)
        if found != "passes" and (mutant is None or found != "fails"):
            last = "\n    ".join(self.log.read_text(errors="replace").strip().splitlines()[-12:])
            print(f"  {what}: {found}\n    {last}", flush=True)
        return found


def by_tests(judge: Judge, tests: Collected, mutant: Mutant) -> dict[str, str]:
    """What the tests say of a mutant, and whether those named or only their whole file."""
    found = {}
    for by in ("named", "file"):
        items = tests.of(mutant, by == "named")
        if items and found.get("outcome", "survived") == "survived":
            what = f"{by} {' '.join(mutant.tests)}"
            found = {"outcome": judge(what, partial(tests.all_pass, items), mutant), "by": by}
    if not found:
        raise LookupError(f"there is none of {mutant.tests}")
    return found


def by_studies(judge: Judge, mutant: Mutant) -> dict[str, str]:
    """What the studies say of a mutant: each that is named has to notice."""
    parts = {name: judge(name, partial(cell_holds, CELLS[name]), mutant) for name in mutant.cells}
    missed = {name: part for name, part in parts.items() if part != "caught"}
    for name, part in missed.items():
        return {"outcome": part, "by": f"{CELLS[name].study}: {name}"}
    return {"outcome": "caught" if parts else NO_CELL}


def digest(mutant: Mutant, part: str) -> str:
    """Of what a verdict rests on: the function's file, its tests' or its studies' files."""
    library = ROOT / "src" / "overparam"
    files = [library / (mutant.place.partition(":")[0].replace(".", "/") + ".py")]
    words: list[object] = [mutant.place, mutant.old, mutant.new]
    if part == "tests":
        files += [ROOT / name.partition("::")[0] for name in mutant.tests]
        words += mutant.tests
    for name in mutant.cells if part == "studies" else ():
        studies = library / "studies"
        files += [studies / f"{CELLS[name].study}.py", *(studies / CELLS[name].study).glob("*.py")]
        words += [name, CELLS[name]]
    seen = hashlib.sha256(repr(words).encode())
    for file in sorted({file for file in files if file.exists()}):
        seen.update(file.read_bytes())
    return seen.hexdigest()[:16]


def summary(rows: Rows, mutants: Sequence[Mutant]) -> tuple[dict[str, Any], bool]:
    """Counts and survivors by part, and whether the criteria hold."""
    counts, good = {}, True
    for part, least in PARTS.items():
        of = {mutant.name: rows.get(mutant.name, {}).get(part) for mutant in mutants}
        judged = {name: row["outcome"] for name, row in of.items() if row}
        asked = [name for name, outcome in judged.items() if outcome != NO_CELL]
        caught = sum(judged[name] == "caught" for name in asked)
        counts[part] = {
            "mutants": len(asked),
            "caught": caught,
            "asked": least,
            **{
                outcome: [name for name in asked if judged[name] == outcome]
                for outcome in sorted({judged[name] for name in asked} - {"caught"})
            },
            "left": sum(not row for row in of.values()),
        }
        good &= bool(asked) and caught >= least * len(asked) and not counts[part]["left"]
        good &= not any(outcome.startswith("not judged") for outcome in judged.values())
    return counts, good


def lines(counts: dict[str, Any]) -> list[str]:
    """A summary to read."""
    found = []
    for part, of in counts.items():
        share = of["caught"] / of["mutants"] if of["mutants"] else float("nan")
        found.append(
            f"by {part}: {of['caught']} of {of['mutants']} caught ({share:.1%}, "
            f"asked {of['asked']:.0%})" + (f", {of['left']} left" if of["left"] else "")
        )
        for outcome, names in of.items():
            if isinstance(names, list):
                found += [f"  {outcome}: {len(names)}", *(f"    {name}" for name in names)]
    return found


class Kept:
    """Outcomes in a file, of those mutants that are in the list."""

    def __init__(self, file: Path, mutants: Sequence[Mutant]) -> None:
        self.file, self.mutants = file, mutants
        stored = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else {}
        self.rows: Rows = {
            mutant.name: {
                part: row
                for part, row in stored.get(mutant.name, {}).items()
                if row["of"] == digest(mutant, part)
            }
            for mutant in mutants
        }

    def add(self, mutant: Mutant, part: str, found: dict[str, str], seconds: float) -> None:
        """One outcome more, in the file too."""
        row = {**found, "seconds": round(seconds, 1), "of": digest(mutant, part)}
        self.rows[mutant.name][part] = row
        counts, _ = summary(self.rows, self.mutants)
        content = {"date": date.today().isoformat(), **counts, "rows": self.rows}
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        new.replace(self.file)


def judge_all(kept: Kept, chosen: Sequence[Mutant], part: str, seconds: int, until: float) -> None:
    """Judge mutants that have no outcome yet, until a time of `time.monotonic`."""
    chosen = [mutant for mutant in chosen if part not in kept.rows[mutant.name]]
    if not chosen:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in {name for mutant in chosen for name in mutant.cells if part == "studies"}:
            importlib.import_module(f"overparam.studies.{CELLS[name].study}")

    with tempfile.TemporaryDirectory() as folder:
        # What hypothesis finds under a mutant is no example for later tests.
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        judge = Judge(seconds, Path(folder))

        def each(found: Callable[[Mutant], dict[str, str]]) -> None:
            for number, mutant in enumerate(chosen, 1):
                if time.monotonic() > until:
                    return
                before = _computed()
                outcome = found(mutant)
                kept.add(mutant, part, outcome, _computed() - before)
                print(f"{number:3} of {len(chosen)} {part}: {outcome['outcome']}, "
                      f"{_computed() - before:.1f} s: {mutant.name}", flush=True)  # fmt: skip

        if part == "studies":
            each(partial(by_studies, judge))
        else:
            files = [name.partition("::")[0] for mutant in chosen for name in mutant.tests]
            collect(files, lambda tests: each(partial(by_tests, judge, tests)))


def _computed() -> float:
    """Processor time of children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(words: Sequence[str] | None = None, mutants: Sequence[Mutant] = MUTANTS) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="mutants in whose line this word is")
    parser.add_argument("--part", choices=PARTS, help="only this; both by default")
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "mutants.json")
    parser.add_argument("--again", action="store_true", help="judge what has an outcome, too")
    parser.add_argument("--until", type=float, default=float("inf"), help="begin none after")
    parser.add_argument("--seconds", type=int, default=120, help="of processor time, for each")
    options = parser.parse_args(words)
    start, kept = time.monotonic(), Kept(options.json.resolve(), mutants)
    chosen = [mutant for mutant in mutants if options.only in mutant.name]
    # Tests first: pytest rewrites some of what the studies import.
    parts = [part for part in PARTS if part == (options.part or part)]
    try:
        for part in parts:
            for mutant in chosen if options.again else ():
                kept.rows[mutant.name].pop(part, None)
            judge_all(kept, chosen, part, options.seconds, start + options.until)
    except KeyboardInterrupt:
        print("interrupted")
    counts, good = summary(kept.rows, mutants)
    print(f"{time.monotonic() - start:.0f} s", *lines(counts), sep="\n")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
