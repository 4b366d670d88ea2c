"""A mutant is applied where nobody else sees it, and judged by what runs there."""

import importlib
import json
import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="fork and limits of processor time")


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("bench_mutants")


@pytest.fixture
def mutating(bench):
    return importlib.import_module("mutating")


def test_a_change_is_made_once_and_in_the_body_alone(mutating):
    source = 'class A:\n    def f(self, x=2):\n        """x + 2."""\n        return x + 2\n'
    assert mutating.mutated(source, "A.f", "x + 2", "x - 2") == source.replace(
        "return x + 2", "return x - 2"
    )
    with pytest.raises(LookupError, match="stands 0 times"):
        mutating.mutated(source, "A.f", "self", "that")
    with pytest.raises(LookupError, match="stands 2 times"):
        mutating.mutated(source.replace("x + 2\n", "x + x\n"), "A.f", "x", "y")
    with pytest.raises(LookupError, match=r"no A\.g"):
        mutating.mutated(source, "A.g", "x", "y")


def test_every_mutant_is_a_change_with_tests_and_cells(bench, mutating):
    assert len({mutant.name for mutant in bench.MUTANTS}) == len(bench.MUTANTS) >= 60
    for mutant in bench.MUTANTS:
        module, _, function = mutant.place.partition(":")
        path = ROOT / "src" / "overparam" / (module.replace(".", "/") + ".py")
        source = path.read_text(encoding="utf-8")
        changed = mutating.mutated(source, function, mutant.old, mutant.new)
        codes = [
            mutating.code_of(compile(text, "", "exec"), function) for text in (source, changed)
        ]
        assert codes[0] != codes[1], mutant.name
        assert all(name in bench.CELLS for name in mutant.cells), mutant.name
        for file, _, test in (name.partition("::") for name in mutant.tests):
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8") or not test


GROWTH = """
import torch
from overparam.dynamics.aiming_monitor import AimingMonitor

def test_growth():
    monitor = AimingMonitor(lambda w: w.square().sum() / 2, steps=[0])
    monitor.record(0, torch.tensor([4.0]))
    assert monitor.finalize(torch.zeros(1))["growth_final"].tolist() == [1.0]

def test_nothing():
    pass
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="autograd's threads do not outlive a fork")
def test_what_notices_is_told_and_kept(bench, mutating, tmp_path):
    growth, wrong = tmp_path / "test_growth.py", tmp_path / "test_wrong.py"
    growth.write_text(GROWTH)
    wrong.write_text("def test_wrong():\n    assert False\n")
    place, old = "dynamics.aiming_monitor:AimingMonitor.finalize", '"growth_final": 2 * excess'
    mistake, elsewhere, nothing = (
        bench.Mutant(place, old, f'"growth_final": {new}', (f"{growth}::{test}",), cells)
        for new, test, cells in (
            ("excess", "test_growth", ("equality",)),
            ("3 * excess", "test_nothing", ()),
            ("excess * 2", "test_growth", ("equality",)),
        )
    )
    map_place = "dynamics.catapult_map:catapult_map"
    unjudged = bench.Mutant(map_place, "u * (4 - v)", "u * (2 - v)", (str(wrong),))
    mutants, kept = [mistake, elsewhere, nothing, unjudged], tmp_path / "kept.json"

    def run() -> tuple[dict, str]:
        words, log = ["--json", str(kept)], tmp_path / "log.txt"
        found = bench.in_a_child(lambda: bench.main(words, mutants) == 0, None, 120, log)
        assert found == "fails", log.read_text()  # the criteria do not hold
        content = json.loads(kept.read_text())
        outcomes = {
            name: [tuple(of[part].get(key) for key in ("outcome", "by")) for part in bench.PARTS]
            for name, of in content["rows"].items()
        }
        return content | {"outcomes": outcomes}, log.read_text()

    code = mutating.target(mistake).__code__
    found, _ = run()
    none = ("no cell", None)
    assert found["outcomes"] == {
        mistake.name: [("caught", "named"), ("caught", None)],
        elsewhere.name: [("caught", "file"), none],
        nothing.name: [("survived", "file"), ("survived", "liu2023_aiming: equality")],
        unjudged.name: [("not judged: fails without a mutant", "named"), none],
    }
    assert found["tests"] == {
        "mutants": 4, "caught": 2, "asked": 0.95, "survived": [nothing.name],
        "not judged: fails without a mutant": [unjudged.name], "left": 0,
    }  # fmt: skip
    assert mutating.target(mistake).__code__ is code  # here nothing was changed
    # What has an outcome is not judged again, unless what it rests on has changed.
    again, said = run()
    assert again["rows"] == found["rows"]
    assert "by tests: 2 of 4 caught (50.0%, asked 95%)" in said
    assert "by studies: 1 of 2 caught (50.0%, asked 80%)" in said
    assert " of 1 " not in said
    wrong.write_text("def test_right():\n    pass\n")
    changed, said = run()
    assert changed["outcomes"][unjudged.name] == [("survived", "named"), none]
    assert said.count(": survived, ") == 1


def test_what_is_kept_is_of_the_list(bench):
    """If not: python3 x.py bench mutants, which judges what is missing."""
    kept = json.loads((ROOT / "docs" / "mutants.json").read_text(encoding="utf-8"))
    assert kept["rows"].keys() == {mutant.name for mutant in bench.MUTANTS}
    counts, _ = bench.summary(kept["rows"], bench.MUTANTS)
    assert {part: kept[part] for part in bench.PARTS} == counts
