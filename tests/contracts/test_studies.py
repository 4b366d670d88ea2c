"""Every study keeps every promise, and each promise is broken by a specimen made for it."""

import ast
import dataclasses
import importlib.util
import json
import math
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import torch

from overparam.claims import (
    SIZES,
    VERDICTS,
    Study,
    load_study,
    run_study,
    study_names,
    to_json,
)
from overparam.claims.document import study_document
from overparam.claims.figures import KINDS
from overparam.claims.parallel import outcomes

DOCUMENT = {
    "kind": str,
    "study": str,
    "title": str,
    "reference": str,
    "changed": str,
    "cost": str,
    "failure": str,
    "headlines": list,
    "size": str,
    "seed": int,
    "environment": dict,
    "seconds": float,
    "claims": list,
    "series": dict,
}
CLAIM = {
    "name": str,
    "kind": str,
    "statement": str,
    "sentence": str,
    "criterion": str,
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
    """A study, its document at smoke, and what each cell of its plan returned, as JSON text."""

    study: Study
    document: dict
    results: list[str]


def run(study, folder):
    torch.manual_seed(0)  # a study must not draw from the global generators
    document = run_study(study, "smoke", store=folder / "cells")
    with closing(sqlite3.connect(folder / "cells")) as store:
        rows = store.execute("SELECT parameters, seed, result FROM cells")
        found = {(of_plain(json.loads(given)), seed): result for given, seed, result in rows}
    plan = study.plan("smoke", 0)
    places = [(of_plain(cell.parameters), cell.seed) for cell in plan]
    # What was absent is not stored: asked again, it says so again.
    results = [found.get(at) or computed(study, plan, i) for i, at in enumerate(places)]
    return Runs(study, document, results)


def of_plain(value):
    return json.dumps(value, sort_keys=True)


def table_of(runs, results):
    """Cells with these results, as the claims of a study see them."""
    plan = runs.study.plan("smoke", 0)
    return pd.DataFrame(
        [
            {**cell.parameters, "seed": cell.seed} | json.loads(result)
            for cell, result in zip(plan, results, strict=True)
        ]
    )


def numbers_of(runs, results):
    """What those cells say."""
    document = study_document(runs.study, "smoke", 0, table_of(runs, results), 0.0, 0.0)
    return numbers(document)


def numbers(document):
    """What a document found out, without when and how."""
    return [claim["measured"] for claim in document["claims"]], document["series"]


def one_of_each(plan):
    """Places of cells with, between them, every word that chooses a way to compute."""
    seen, places = set(), []
    for index, cell in enumerate(plan):
        words = {
            (name, of_plain(value) if isinstance(value, str | bool | None) else None)
            for name, value in cell.parameters.items()
        }
        if words - seen:
            seen |= words
            places.append(index)
    return places


def computed(study, plan, index):
    """What one cell of a plan returns."""
    torch.manual_seed(1)
    (outcome,) = outcomes(study, {index: plan[index]}, 1, False, len(plan))
    assert outcome.result is not None, outcome.error
    return outcome.result


def promises_a_number_in_its_title(runs):
    title = runs.document["title"]
    assert re.search(r"\d", title), f"no number in {title!r}"
    assert title.endswith("."), f"not a sentence: {title!r}"
    assert not title[:-1].endswith(".")


def promises_a_citation(runs):
    assert re.search(r"\((19|20)\d\d\)", runs.document["reference"]), runs.document["reference"]


def promises_the_documents_shape(runs):
    for part, shape in (
        (runs.document, DOCUMENT),
        *((claim, CLAIM) for claim in runs.document["claims"]),
        *((figure, FIGURE) for figure in runs.document["series"].values()),
    ):
        for key, kind in shape.items():
            assert isinstance(part[key], kind), f"{key} is {part[key]!r}"
    assert runs.document["claims"]
    for figure in runs.document["series"].values():
        assert figure["kind"] in KINDS
        assert {figure[axis]["scale"] for axis in "xy"} <= {"linear", "log"}
        for line in figure["lines"]:
            assert len(line["x"]) == len(line["y"]) > 0


def promises_strict_json(runs):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    assert json.loads(to_json(runs.document), parse_constant=refuse) == runs.document


def promises_the_same_bits_with_the_same_seed(runs):
    plan = runs.study.plan("smoke", 0)
    for index in one_of_each(plan):
        assert computed(runs.study, plan, index) == runs.results[index], plan[index]
    assert numbers_of(runs, runs.results) == numbers(runs.document)


def promises_other_numbers_with_another_seed(runs):
    """Cells are computed with it until one of them shows."""
    plan, results = runs.study.plan("smoke", 1), list(runs.results)
    for index in one_of_each(plan):
        results[index] = computed(runs.study, plan, index)
        if numbers_of(runs, results) != numbers(runs.document):
            return
    raise AssertionError("the seed shows nowhere")


def promises_verdicts_that_follow_from_the_numbers(runs):
    claims = {claim.name: claim for claim in runs.study.claims}
    for stated in runs.document["claims"]:
        claim, measured = claims[stated["name"]], stated["measured"]
        passes = measured is not None and claim.passes.low <= measured <= claim.passes.high
        testable = SIZES.index("smoke") >= SIZES.index(claim.smallest)
        assert stated["verdict"] in VERDICTS
        assert (stated["verdict"] == "reproduced") == (passes and testable)


def promises_claims_that_depend_on_the_cells(runs):
    """Without any measurement, no claim may hold: a statistic is not a typed number."""
    table = table_of(runs, runs.results)
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
    study = load_study(request.param)
    if study.missing:
        pytest.skip(f"needs pip install 'overparam[{study.missing}]'")
    return run(study, tmp_path_factory.mktemp(request.param))


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


@pytest.fixture(scope="module")
def sound(toy, tmp_path_factory):
    """The toy study as it should be."""
    return run(toy.study(replicates=2), tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_sound_specimen_keeps_every_promise(promise, sound):
    promise(sound)


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
        promise(run(make(toy), tmp_path))


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
def test_spoilt_documents_are_rejected(kind, sound):
    promise, change = SPOILT[kind]
    promise(sound)
    with pytest.raises(AssertionError):
        promise(dataclasses.replace(sound, document=sound.document | change))
