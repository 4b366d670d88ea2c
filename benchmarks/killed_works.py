"""What `bench_kills` kills: works that write files, and how each is judged when it is gone."""

import importlib
import json
import os
import shutil
import sqlite3
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import torch
from killed_children import Report, child, measured
from torch import nn

from overparam import federated
from overparam._json import json_digest
from overparam.claims.run import run_study  # noqa: F401  likewise
from overparam.claims.store import CellStore
from overparam.cli import main as command_line
from overparam.diagnosis.diagnose import diagnose  # noqa: F401  imported before the first fork
from overparam.diagnosis.result import Diagnosis, Statement
from overparam.dynamics import Monitor
from overparam.dynamics import record_file as record_module
from overparam.federated import kept_run
from overparam.federated.algorithms import FAdamGC
from overparam.federated.local_training import digest_of
from overparam.fitting.fit import TableFit
from overparam.fitting.saved_model import load_model
from overparam.report.page import write_report  # noqa: F401  likewise
from overparam.tangents import empirical_ntk_to_file
from overparam.tangents.engine import gram_file
from overparam.watch.run import RunFile

STUDY = "radhakrishnan2024_rfm"


def require(status: int) -> None:
    """Raise unless a command ended well."""
    assert status == 0, f"exit status {status}"


def become(words: list[str]) -> None:
    """Turn this process into the command line with these words."""
    os.execv(sys.executable, [sys.executable, "-m", "overparam", *words])


class Work:
    """Something that is written in a folder, killed and resumed.

    Attributes:
        folder: Of its files.
        window: Seconds within which the kill falls.
    """

    share = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.window = 0.3
        self.prepare()

    def timed(self) -> None:
        """Let it run undisturbed, and have the kills fall into as long.

        What a first run imports is imported here, so that no later one spends its time on it.
        """
        known = set(sys.modules)
        modules, _ = child(lambda report: self.imports(report, known), None)
        for name in modules:
            with suppress(Exception):
                importlib.import_module(name)
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self.window = 1.1 * measured(self.work)

    def touched(self) -> dict[Path, int]:
        """When each file of its, and the folder, was changed last."""
        found = {}
        for path in [self.folder, *self.folder.rglob("*")]:
            with suppress(FileNotFoundError):
                found[path] = path.stat().st_mtime_ns
        return found

    def imports(self, report: Report, known: set[str]) -> None:
        """Run, and report the modules that are new."""
        self.work(lambda line: None)
        for name in set(sys.modules) - known:
            report(name)

    def prepare(self) -> None:
        """Make the results of a writer left alone."""

    def is_whole_run(self) -> bool:
        """Whether the next run has everything to do."""
        return True

    def work(self, report: Report) -> None:
        """Write, and report what is finished."""
        raise NotImplementedError

    def check(self, lines: list[str], ended: bool) -> None:
        """Raise if the files are not what they should be after the kill, or the end."""
        raise NotImplementedError


class Resumed(Work):
    """Parts that are finished one by one: none is computed again."""

    def prepare(self) -> None:
        """The right result, and the time it takes."""
        self.timed()
        self.right = self.result()
        self.clear()

    def is_whole_run(self) -> bool:
        """As `Work.is_whole_run`."""
        return not self.known

    def clear(self) -> None:
        """Begin anew."""
        self.known: set[str] = set()
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def check(self, lines: list[str], ended: bool) -> None:
        """As `Work.check`."""
        again = self.known & set(lines)
        assert not again, f"{len(again)} finished parts were computed again"
        assert len(set(lines)) == len(lines), "a part was finished twice"
        self.known |= set(lines)
        if ended:
            assert self.result() == self.right, "the result is another one"
            self.clear()

    def result(self) -> object:
        """What the finished files say."""
        raise NotImplementedError


class GramFile(Resumed):
    """A tangent kernel in a file."""

    share = 70

    def work(self, report: Report) -> None:
        """As `Resumed.work`."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
        x = torch.randn(16, 5, generator=torch.Generator().manual_seed(1)).double()
        write = gram_file.GramFile.write

        def reporting(file: gram_file.GramFile, tile: tuple[int, int], *parts: object) -> None:
            write(file, tile, *parts)
            report(str(tile))

        gram_file.GramFile.write = reporting
        empirical_ntk_to_file(model, x, path=self.folder / "K.npy", tile=2, progress=False)

    def result(self) -> object:
        """As `Resumed.result`."""
        return (self.folder / "K.npy").read_bytes()

    def check(self, lines: list[str], ended: bool) -> None:
        """As `Resumed.check`."""
        journal = self.folder / "K.npy.journal"
        if lines:
            noted = journal.read_text()
            for line in lines:
                i, j = json.loads(line.replace("(", "[").replace(")", "]"))
                assert f'"tile": [{i}, {j}]' in noted, "a finished tile is not in the journal"
        super().check(lines, ended)


class FederatedFile(Resumed):
    """A federated simulation in a file; a part is a round."""

    share = 30

    def work(self, report: Report) -> None:
        """As `Resumed.work`."""
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(160, 4, generator=draw)
        y = x[:, :3].argmax(1)
        data = federated.ClientData(x, y, federated.dirichlet_partition(y, 8, 0.3, least=3))
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
        save = kept_run.KeptRun.save

        def reporting(file: kept_run.KeptRun, content: dict) -> None:
            save(file, content)
            report(str(len(content["rows"])))

        kept_run.KeptRun.save = reporting
        federated.simulate(
            model, data, FAdamGC(lr=0.01), rounds=30, local_steps=3, progress=False,
            participation=federated.Participation(share=0.5, dropouts=0.2, stragglers=0.3),
            checkpoint=self.folder / "run",
        )  # fmt: skip

    def result(self) -> object:
        """As `Resumed.result`."""
        found = torch.load(self.folder / "run", weights_only=True)
        states = [*found["server"].values(), *found["clients"].values()]
        return digest_of(*states, found["rows"])


class StudyRun(Resumed):
    """`study run --jobs 2`, its workers threads."""

    share = 40

    def words(self) -> list[str]:
        """The command line."""
        store, numbers = str(self.folder / "cells.sqlite"), str(self.folder / "study.json")
        words = ["study", "run", STUDY, "--size", "smoke", "--jobs", "2"]
        return [*words, "--store", store, "--json", numbers]

    def work(self, report: Report) -> None:
        """As `Resumed.work`."""
        put = CellStore.put

        def reporting(store: CellStore, key: dict, *result: object) -> None:
            put(store, key, *result)
            report(json_digest(key))

        CellStore.put = reporting
        with joblib.parallel_config("threading"):
            require(command_line(self.words()))

    def result(self) -> object:
        """As `Resumed.result`."""
        document = json.loads((self.folder / "study.json").read_text())
        return document["claims"], document["series"]

    def check(self, lines: list[str], ended: bool) -> None:
        """As `Resumed.check`."""
        if (self.folder / "study.json").exists():
            assert self.result() == self.right, "the JSON is another one, or half"
        super().check(lines, ended)


class StudyProcess(StudyRun):
    """`study run --jobs 2` as a program of its own, its workers processes."""

    share = 6

    def clear(self) -> None:
        """As `Resumed.clear`."""
        super().clear()
        self.cells: dict[str, tuple] = {}

    def work(self, report: Report) -> None:
        """As `Resumed.work`."""
        become(self.words())

    def timed(self) -> None:
        """As `Work.timed`; there is nothing to import here."""
        self.window = 1.1 * measured(self.work)

    def check(self, lines: list[str], ended: bool) -> None:
        """As `Resumed.check`; what is stored is what was reported."""
        cells, path = {}, self.folder / "cells.sqlite"
        if path.exists():
            with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path)) as store:
                rows = store.execute("SELECT * FROM cells").fetchall()  # if there is a table yet
                cells = {str(row[0]): row for row in rows}
        assert self.cells.items() <= cells.items(), "finished cells are gone, or others"
        lines += [name for name in cells if name not in self.cells]
        self.cells = cells
        super().check(lines, ended)


class Turns(Work):
    """Files that are replaced by those of the next turn, over and over."""

    def prepare(self) -> None:
        """The file of turn 0."""
        self.last = 0
        self.turn(0)
        self.turns = self.found()

    def turn(self, number: int) -> None:
        """Write the files of a turn."""
        raise NotImplementedError

    def found(self) -> list[int]:
        """The turns that the files are of, each whole; in the order of writing."""
        raise NotImplementedError

    def work(self, report: Report) -> None:
        """As `Work.work`."""
        number = self.last
        while True:
            number += 1
            self.turn(number)
            report(str(number))

    def check(self, lines: list[str], ended: bool) -> None:
        """As `Work.check`."""
        assert not ended
        reported = max(map(int, lines), default=0)
        # A file that no turn was finished of since is still of its own.
        finished = [reported or turn for turn in self.turns]
        following = (reported or self.last) + 1
        self.turns = self.found()
        for turn, old in zip(self.turns, finished, strict=True):
            assert turn in (old, following), f"turn {turn} after turn {old}"
        self.last = max(self.turns)


class FitFiles(Turns):
    """What `fit --save --json` writes."""

    share = 60

    def prepare(self) -> None:
        """As `Turns.prepare`."""
        words = ["fit", "iris", "--no-baselines", "--folds", "2", "--save", str(self.folder / "m")]
        numbers = self.folder / "fit.json"
        child(lambda report: require(command_line([*words, "--json", str(numbers)])), None)
        self.one = TableFit(load_model(self.folder / "m"), json.loads(numbers.read_text()))
        super().prepare()

    def turn(self, number: int) -> None:
        """As `Turns.turn`."""
        model, predictor = self.one.model, self.one.model.predictor
        dual = torch.full_like(predictor.dual, number)
        saved = replace(model, target=f"{number}", predictor=replace(predictor, dual=dual))
        saved.save(self.folder / "model")
        TableFit(saved, {**self.one.document, "turn": number}).to_json(self.folder / "turn.json")

    def found(self) -> list[int]:
        """As `Turns.found`."""
        model = load_model(self.folder / "model")
        number = int(model.target)
        assert (model.predictor.dual == number).all(), "names and numbers of two models"
        return [number, json.loads((self.folder / "turn.json").read_text())["turn"]]


class DiagnosisFiles(Turns):
    """What `diagnose --json --html` writes."""

    share = 16

    def prepare(self) -> None:
        """As `Turns.prepare`."""
        words = ["diagnose", "--budget", "10m", "--steps", "30"]
        numbers = self.folder / "diagnosis.json"
        child(lambda report: require(command_line([*words, "--json", str(numbers)])), None)
        document = json.loads(numbers.read_text())
        document.pop("kind")
        statements = [Statement(**statement) for statement in document.pop("statements")]
        self.one = Diagnosis(statements=statements, **document)
        start = time.perf_counter()
        super().prepare()
        self.window = 1.5 * (time.perf_counter() - start)

    def turn(self, number: int) -> None:
        """As `Turns.turn`."""
        environment = {**self.one.environment, "command": f"turn {number}."}
        diagnosis = replace(self.one, environment=environment)
        diagnosis.to_json(self.folder / "turn.json")
        diagnosis.report(self.folder / "turn.html")

    def found(self) -> list[int]:
        """As `Turns.found`."""
        document = json.loads((self.folder / "turn.json").read_text())
        page = (self.folder / "turn.html").read_text()
        assert page.rstrip().endswith("</html>"), "half a page"
        shown = page.partition("turn ")[2].partition(".")[0]
        return [int(document["environment"]["command"].strip("turn .")), int(shown)]


class Command(Work):
    """A command as a whole: until it ends, the files of the run before stand as they were."""

    words: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def prepare(self) -> None:
        """As `Work.prepare`."""
        self.timed()
        self.before = self.contents()

    def contents(self) -> dict[str, bytes]:
        """Every file that is one of the outputs."""
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        return {f.name: f.read_bytes() for f in files if not f.name.endswith(".part")}

    def line(self) -> list[str]:
        """The command line."""
        places = {"--save": "model", "--json": "found.json", "--html": "found.html"}
        options = ((name, str(self.folder / places[name])) for name in self.outputs)
        return [*self.words, *(word for option in options for word in option)]

    def work(self, report: Report) -> None:
        """As `Work.work`."""
        require(command_line(self.line()))
        report("written")

    def check(self, lines: list[str], ended: bool) -> None:
        """As `Work.check`."""
        if not lines:
            for name, content in self.contents().items():
                whole = content == self.before.get(name) or self.is_whole(name, content)
                assert whole, f"{name} is half a file"
        if "--save" in self.outputs:
            load_model(self.folder / "model")
        self.before = self.contents()

    @staticmethod
    def is_whole(name: str, content: bytes) -> bool:
        """Whether a new file is one that ends as it should."""
        if name.endswith(".json"):
            return bool(json.loads(content))
        return not name.endswith(".html") or content.rstrip().endswith(b"</html>")


class FitCommand(Command):
    """`fit --save --json --html` from its beginning."""

    share = 12
    words = ("fit", "iris", "--no-baselines", "--folds", "2")
    outputs = ("--save", "--json", "--html")


class FitProcess(FitCommand):
    """The same as a program of its own, with two worker processes."""

    share = 4
    words = (*FitCommand.words, "--jobs", "2")

    def work(self, report: Report) -> None:
        """As `Work.work`."""
        become(self.line())

    def timed(self) -> None:
        """As `Work.timed`; there is nothing to import here."""
        self.window = 1.1 * measured(self.work)


class DiagnoseCommand(Command):
    """`diagnose --json --html` from its beginning."""

    share = 5
    words = ("diagnose", "--budget", "10m", "--steps", "30")
    outputs = ("--json", "--html")


class MonitorRecord(Work):
    """The record of a training run that a monitor writes."""

    share = 48

    def prepare(self) -> None:
        """As `Work.prepare`."""
        self.size = 0
        self.path = self.folder / "run.jsonl"
        self.timed()

    def work(self, report: Report) -> None:
        """As `Work.work`."""
        record_module._PATIENCE = 0.0  # a line for every step
        flush = record_module.RecordFile.flush

        def reporting(file: record_module.RecordFile) -> None:
            flush(file)
            if self.path.exists():
                report(str(self.path.stat().st_size))

        record_module.RecordFile.flush = reporting
        torch.manual_seed(0)
        model, x = nn.Linear(4, 1), torch.randn(16, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loss = nn.MSELoss()
        monitor = Monitor(model, loss, optimizer, file=self.path)
        for _ in range(300):
            optimizer.zero_grad()
            value = loss(model(x), x[:, :1])
            value.backward()
            monitor.step(value, batch=(x, x[:, :1]))
            optimizer.step()

    def check(self, lines: list[str], ended: bool) -> None:
        """As `Work.check`."""
        content = self.path.read_bytes() if self.path.exists() else b""
        finished = max(map(int, lines), default=self.size)
        assert len(content) >= finished, "lines that were written are gone"
        self.kills += not ended
        steps, torn = [], 0
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                torn += bool(line)
                continue
            steps = [] if "begin" in entry else steps + entry.get("steps", [])
        assert torn <= self.kills, f"{torn} torn lines after {self.kills} kills"
        run = RunFile(self.path)
        run.read()
        losses = run.series.get("loss", {"step": [], "value": []})
        assert losses["step"] == steps, "the reader finds other steps than were written"
        assert np.isfinite(losses["value"]).all()
        self.size = len(content)
        if len(content) > 300_000:
            self.path.unlink(missing_ok=True)
            self.size = self.kills = 0

    kills = 0


WORKS = {
    work.__name__: work
    for work in (
        GramFile, FederatedFile, StudyRun, StudyProcess, FitFiles, FitCommand, FitProcess,
        DiagnosisFiles, DiagnoseCommand, MonitorRecord,
    )
}  # fmt: skip
