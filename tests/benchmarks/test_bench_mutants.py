"""A mutant is applied where nobody else sees it, and judged by what runs there."""

import importlib
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


def test_a_change_is_made_once_and_in_the_body_alone(bench):
    source = 'class A:\n    def f(self, x=2):\n        """x + 2."""\n        return x + 2\n'
    assert bench.mutated(source, "A.f", "x + 2", "x - 2") == source.replace(
        "return x + 2", "return x - 2"
    )
    with pytest.raises(LookupError, match="stands 0 times"):
        bench.mutated(source, "A.f", "self", "that")
    with pytest.raises(LookupError, match="stands 2 times"):
        bench.mutated(source.replace("x + 2\n", "x + x\n"), "A.f", "x", "y")
    with pytest.raises(LookupError, match=r"no A\.g"):
        bench.mutated(source, "A.g", "x", "y")


def test_every_mutant_is_a_change_with_tests_and_cells(bench):
    assert len({mutant.name for mutant in bench.MUTANTS}) == len(bench.MUTANTS) >= 60
    for mutant in bench.MUTANTS:
        module, _, function = mutant.place.partition(":")
        path = ROOT / "src" / "overparam" / (module.replace(".", "/") + ".py")
        source = path.read_text(encoding="utf-8")
        changed = bench.mutated(source, function, mutant.old, mutant.new)
        codes = [bench._code(compile(text, "", "exec"), function) for text in (source, changed)]
        assert codes[0] != codes[1], mutant.name
        assert all(name in bench.CELLS for name in mutant.cells), mutant.name
        for file, _, test in (name.partition("::") for name in mutant.tests):
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8") or not test


@pytest.mark.untyped("a mutant goes under the function itself")
@pytest.mark.skipif(torch.cuda.is_available(), reason="autograd's threads do not outlive a fork")
def test_a_mistake_is_caught_and_no_change_survives(bench, tmp_path):
    test = tmp_path / "test_growth.py"
    test.write_text(
        "import torch\n"
        "from overparam.dynamics.aiming_monitor import AimingMonitor\n"
        "def test_growth():\n"
        "    monitor = AimingMonitor(lambda w: w.square().sum() / 2, steps=[0])\n"
        "    monitor.record(0, torch.tensor([4.0]))\n"
        "    assert monitor.finalize(torch.zeros(1))['growth_final'].tolist() == [1.0]\n"
    )
    place, old = "dynamics.aiming_monitor:AimingMonitor.finalize", '"growth_final": 2 * excess'
    mistake, nothing = (
        bench.Mutant(place, old, f'"growth_final": {new}', (str(test),), ("equality",))
        for new in ("excess", "excess * 2")
    )
    bench.imports([mistake])
    judge, code = bench.Judge(60, tmp_path), bench.target(mistake).__code__
    found = {mutant.name: judge(mutant) for mutant in (mistake, nothing)}
    assert found[mistake.name] == {"tests": "caught", "study": "caught"}
    assert found[nothing.name] == {"tests": "survived", "study": "survived"}
    assert judge.unmutated("tests", mistake.tests) == "passes"
    assert bench.target(mistake).__code__ is code  # here nothing was changed
    lines, good = bench.summary(found, 0)
    assert not good
    assert "by tests: 1 of 2 caught (50.0%, asked 95%)" in lines
    assert f"    {nothing.name}" in lines


@pytest.mark.untyped("a mutant goes under the function itself")
def test_what_fails_without_a_mutant_judges_none(bench, tmp_path):
    test = tmp_path / "test_wrong.py"
    test.write_text("def test_wrong():\n    assert False\n")
    place = "dynamics.catapult_map:catapult_map"
    mutant = bench.Mutant(place, "u * (4 - v)", "u * (2 - v)", (str(test),))
    found = bench.Judge(60, tmp_path)(mutant)
    assert found == {"tests": "not judged: fails without a mutant", "study": "no cell"}
    assert not bench.summary({mutant.name: found}, 0)[1]
