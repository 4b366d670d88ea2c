"""Every study keeps every promise, and each promise is broken by a specimen made for it."""

import ast
import dataclasses
import importlib.util
import json
import math
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from overparam.claims import SIZES, VERDICTS, load_study, run_study, study_names, to_json
from overparam.claims.figures import KINDS
from overparam.claims.parallel import outcomes

DOCUMENT = {
    "kind": str,
    "study": str,
    "title": str,
    "reference": str,
    "size": str,
    "seed": int,
    "environment": dict,
    "seconds": float,
    "claims": list,
    "series": dict,
}
CLAIM = {
    "name": str,
    "statement": str,
    "paper": (str, int, float),
    "source": str,
    "measured": (int, float, type(None)),
    "tolerance": str,
    "verdict": str,
    "n": int,
}
FIGURE = {"kind": str, "title": str, "x": dict, "y": dict, "caption": str, "lines": list}


@dataclasses.dataclass
class Runs:
    """A study, and its documents at smoke: twice with one seed, once with another."""

    study: object
    first: dict
    again: dict
    other: dict


def run_thrice(study, folder):
    documents = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number)  # a study must not draw from the global generators
        documents.append(run_study(study, "smoke", seed=seed, store=folder / str(number)))
    return Runs(study, *documents)


def table_of(study):
    """The finished cells of a study at smoke, as its claims see them."""
    plan = study.plan("smoke", 0)
    rows = {}
    for outcome in outcomes(study, dict(enumerate(plan)), 1, False, len(plan)):
        cell = plan[outcome.index]
        rows[outcome.index] = {**cell.parameters, "seed": cell.seed} | json.loads(outcome.result)
    return pd.DataFrame([rows[index] for index in sorted(rows)])


def numbers(document):
    """What a document found out, without when and how."""
    return [claim["measured"] for claim in document["claims"]], document["series"]


def promises_a_number_in_its_title(runs):
    title = runs.first["title"]
    assert re.search(r"\d", title), f"no number in {title!r}"
    assert title.endswith("."), f"not a sentence: {title!r}"
    assert not title[:-1].endswith(".")


def promises_a_citation(runs):
    assert re.search(r"\((19|20)\d\d\)", runs.first["reference"]), runs.first["reference"]


def promises_the_documents_shape(runs):
    for document in (runs.first, runs.other):
        for part, shape in (
            (document, DOCUMENT),
            *((claim, CLAIM) for claim in document["claims"]),
            *((figure, FIGURE) for figure in document["series"].values()),
        ):
            for key, kind in shape.items():
                assert isinstance(part[key], kind), f"{key} is {part[key]!r}"
        assert document["claims"]
        for figure in document["series"].values():
            assert figure["kind"] in KINDS
            assert {figure[axis]["scale"] for axis in "xy"} <= {"linear", "log"}
            for line in figure["lines"]:
                assert len(line["x"]) == len(line["y"]) > 0


def promises_strict_json(runs):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    assert json.loads(to_json(runs.first), parse_constant=refuse) == runs.first


def promises_the_same_bits_with_the_same_seed(runs):
    assert numbers(runs.first) == numbers(runs.again)


def promises_other_numbers_with_another_seed(runs):
    assert numbers(runs.first) != numbers(runs.other)


def promises_verdicts_that_follow_from_the_numbers(runs):
    claims = {claim.name: claim for claim in runs.study.claims}
    for stated in runs.first["claims"]:
        claim, measured = claims[stated["name"]], stated["measured"]
        passes = measured is not None and claim.passes.low <= measured <= claim.passes.high
        testable = SIZES.index("smoke") >= SIZES.index(claim.smallest)
        assert stated["verdict"] in VERDICTS
        assert (stated["verdict"] == "reproduced") == (passes and testable)


def promises_claims_that_depend_on_the_cells(runs):
    """Without any measurement, no claim may hold: a statistic is not a typed number."""
    table = table_of(runs.study)
    given = {name for cell in runs.study.plan("smoke", 0) for name in cell.parameters}
    measured = set(table.columns) - given - {"seed"}
    empty = table.assign(**dict.fromkeys(measured, math.nan))
    for claim in runs.study.claims:
        verdict = claim.judge(empty, "full")["verdict"]
        assert verdict == "not reproduced", f"{claim.name} is {verdict} without any measurement"


def promises_every_size(runs):
    for size in SIZES:
        assert runs.study.plan(size, 0)
    replicates = [cell.seed for cell in runs.study.plan("quick", 0)]
    assert len(set(replicates)) > 1, "a single seed at quick"


def promises_to_know_no_other_study(runs):
    tree = ast.parse(Path(sys.modules[runs.study.cell.__module__].__file__).read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    others = [
        name
        for name in modules
        if re.match(r"overparam\.studies\.[a-z]", name)
        and name.split(".")[2] != runs.study.name  # a study may be a folder
    ]
    assert not others, others


PROMISES = [value for name, value in sorted(globals().items()) if name.startswith("promises_")]


@pytest.fixture(scope="module", params=study_names())
def runs(request, tmp_path_factory):
    return run_thrice(load_study(request.param), tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_study_keeps_every_promise(runs, promise):
    promise(runs)


@pytest.fixture(scope="module")
def toy():
    """The toy study's module, loaded from its file."""
    path = Path(__file__).parents[1] / "claims" / "toy.py"
    spec = importlib.util.spec_from_file_location("contract_toy", path)
    module = sys.modules["contract_toy"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["contract_toy"]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_sound_specimen_keeps_every_promise(promise, toy, tmp_path):
    promise(run_thrice(toy.study(replicates=2), tmp_path))


SPECIMENS = {
    "ignores its seed": (
        promises_other_numbers_with_another_seed,
        lambda toy: toy.study(function=toy.deaf_cell),
    ),
    "draws from elsewhere": (
        promises_the_same_bits_with_the_same_seed,
        lambda toy: toy.study(function=toy.restless_cell),
    ),
    "draws from torch's global generator": (
        promises_the_same_bits_with_the_same_seed,
        lambda toy: toy.study(function=toy.greedy_cell),
    ),
    "types its verdict": (
        promises_claims_that_depend_on_the_cells,
        lambda toy: toy.study(claims=[toy.claim(statistic=lambda rows: 0.5)]),
    ),
    "counts what it lacks as fine": (
        promises_claims_that_depend_on_the_cells,
        lambda toy: toy.study(claims=[toy.claim(statistic=lambda rows: rows["value"].sum())]),
    ),
    "has one seed": (promises_every_size, lambda toy: toy.study(replicates=1)),
}


@pytest.mark.parametrize("kind", SPECIMENS)
def test_broken_specimens_are_rejected(kind, toy, tmp_path):
    promise, make = SPECIMENS[kind]
    with pytest.raises(AssertionError):
        promise(run_thrice(make(toy), tmp_path))


FIGURE_WITH = {
    "kind": "line",
    "title": "It falls by 2.",
    "x": {"label": "width", "scale": "log"},
    "y": {"label": "change", "scale": "log"},
    "caption": "",
    "lines": [{"name": "a", "x": [1], "y": [2.0]}],
}
SPOILT = {
    "a title without a number": (promises_a_number_in_its_title, {"title": "Wide is linear."}),
    "two sentences": (promises_a_number_in_its_title, {"title": "It is 2.."}),
    "no year": (promises_a_citation, {"reference": "Somebody, unpublished"}),
    "no claim": (promises_the_documents_shape, {"claims": []}),
    "a missing key": (promises_the_documents_shape, {"seed": None}),
    "a line of two lengths": (
        promises_the_documents_shape,
        {"series": {"a": FIGURE_WITH | {"lines": [{"x": [1], "y": []}]}}},
    ),
    "an unknown kind of figure": (
        promises_the_documents_shape,
        {"series": {"a": FIGURE_WITH | {"kind": "pie"}}},
    ),
    "a typed verdict": (
        promises_verdicts_that_follow_from_the_numbers,
        {"claims": [{"name": "mean", "measured": 7.0, "verdict": "reproduced"}]},
    ),
    "a verdict of its own": (
        promises_verdicts_that_follow_from_the_numbers,
        {"claims": [{"name": "mean", "measured": 7.0, "verdict": "mostly"}]},
    ),
    "NaN": (promises_strict_json, {"seconds": math.nan}),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_spoilt_documents_are_rejected(kind, toy, tmp_path):
    promise, change = SPOILT[kind]
    runs = run_thrice(toy.study(replicates=2), tmp_path)
    promise(runs)
    with pytest.raises(AssertionError):
        promise(dataclasses.replace(runs, first=runs.first | change))
