"""The whole way, once; and one clear line for what cannot be gone."""

import importlib.util
import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from overparam.battery import CoatingProcess, Surrogate, design_electrode
from overparam.battery.exploration import explore
from overparam.battery.front import named, nondominated
from overparam.battery.simulation import OBJECTIVES
from overparam.cli import main
from overparam.errors import MissingPackage
from overparam.report import render

PROCESS = CoatingProcess()
NAMES = ["energy", "power"]


def evaluate(designs):
    """In place of a simulator: thickness for energy, pores for power."""
    rows = []
    for design in designs:
        given = named(PROCESS, design)
        made = PROCESS.structure(given)
        gives = {
            "energy": 1e6 * made.thickness * made.active_fraction,
            "power": made.porosity / made.thickness / 1e3,
        }
        rows.append({**given, **gives, "failure": ""})
    return pd.DataFrame(rows)


def with_pymoo():
    pytest.importorskip("pymoo", reason="needs pip install 'overparam[battery]'")


def test_half_of_the_budget_is_sampled_and_half_proposed_and_no_better_one_is_missed():
    with_pymoo()
    surrogate = Surrogate(PROCESS.bounds, NAMES)
    found = explore(PROCESS, surrogate, evaluate, budget=40, generations=20)
    stages = found.table["stage"].value_counts()
    assert stages["sampled"] == 20
    assert 15 <= stages["proposed"] + stages["checked"] <= 20
    points = found.table[NAMES].to_numpy()
    assert (found.table["front"].to_numpy() == nondominated(points)).all()
    assert found.table["front"][20:].mean() > found.table["front"][:20].mean()


def test_a_surrogate_that_predicts_nothing_is_not_searched():
    """Of numbers that have nothing to do with the designs no front is proposed."""
    draw = np.random.default_rng(0)
    noise = lambda designs: evaluate(designs).assign(  # noqa: E731
        energy=draw.random(len(designs)) + 1, power=draw.random(len(designs)) + 1
    )
    found = explore(PROCESS, Surrogate(PROCESS.bounds, NAMES), noise, budget=40)
    assert len(found.table) == 20
    assert not len(found.front)


def test_failures_are_left_out_unless_nothing_else_is_left():
    with_pymoo()

    def failing(designs):
        table = evaluate(designs)
        bad = np.arange(len(table)) % 3 == 0
        return table.assign(power=table["power"].where(~bad), failure=np.where(bad, "gave up", ""))

    surrogate = Surrogate(PROCESS.bounds, NAMES)
    found = explore(PROCESS, surrogate, failing, budget=40, generations=5)
    assert not found.table["front"][found.table["failure"] != ""].any()
    nothing = lambda designs: failing(designs).assign(power=np.nan)  # noqa: E731
    with pytest.raises(ValueError, match=r"got 0 of 20 \(gave up\)"):
        explore(PROCESS, Surrogate(PROCESS.bounds, NAMES), nothing, budget=40)


def test_what_cannot_be_trusted_is_a_page_that_says_so(monkeypatch):
    """Objectives that have nothing to do with the designs, in place of simulations."""
    draw = np.random.default_rng(0)

    def noise(process, designs, **run):
        rows = []
        for design in designs:
            given = named(process, design)
            numbers = {name: 1 + draw.random() for name in OBJECTIVES}
            made = asdict(process.structure(given))
            rows.append({**given, **made, **numbers, "failure": "", "curves": {}})
        rows[0] |= {"power": np.nan, "failure": "pulse power: the solver gave up"}
        return pd.DataFrame(rows)

    monkeypatch.setattr("overparam.battery.design.simulated", noise)
    monkeypatch.setattr("overparam.battery.design.expect_packages", lambda *names: None)
    found = design_electrode(budget=40)
    assert len(found.designs) == 20
    levels = {s["name"]: s["level"] for s in found.document["statements"]}
    assert levels["surrogate"] == "critical"
    assert levels["failures"] == "warning"
    assert "check" not in levels
    assert found.knee["power"] in set(found.designs["power"])
    page = render([found.to_dict()])
    assert "too little to search it" in page
    assert "Simulations of 1 of 20 designs failed" in page


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    pytest.importorskip("pybamm", reason="needs pip install 'overparam[battery]'")
    with_pymoo()
    store = tmp_path_factory.mktemp("design") / "cells"
    return design_electrode(budget=24, store=store, command="overparam battery design")


def test_an_electrode_is_designed_and_checked(found):
    assert {"sampled", "proposed", "checked"} == set(found.designs["stage"])
    best = found.designs[found.designs["front"]]
    assert found.knee["energy"] in set(best["energy"])
    assert best["energy"].min() <= found.knee["energy"] <= best["energy"].max()
    assert found.document["hypervolume"]["ratio"] > 1
    names = [statement["name"] for statement in found.document["statements"]]
    assert {"surrogate", "compromise", "energy", "power", "check"} <= set(names)
    assert "compromise gives" in found.summary()


def test_its_page_is_drawn_from_its_document_alone(found):
    document = json.loads(found.to_json())
    page = render([document])
    assert "An electrode for energy at 1C or pulse power" in page
    figures = page.partition('id="drawings">')[2].partition("</script>")[0]
    assert len(json.loads(figures)) == 4


def test_wanted_numbers_lead_back_to_parameters(found):
    aim = found.knee[NAMES] * 0.98
    answer = found.inverse(energy=aim["energy"], power=aim["power"])
    assert answer.distance < 0.05
    assert PROCESS.structure(answer.parameters) == answer.structure


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"objectives": ["energy", "enrgy"]}, "did you mean 'energy'"),
        ({"objectives": ["energy"]}, "two of them"),
        ({"objectives": ["energy", "energy"]}, "two of them"),
        ({"budget": 10}, "at least 24"),
        ({"budget": 40.5}, "at least 24"),
        ({"process": object()}, "a process model"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(given, words):
    with pytest.raises((ValueError, TypeError), match=words):
        design_electrode(**given)


def test_a_missing_extra_is_one_clear_line(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"pip install 'overparam\[battery\]'"):
        design_electrode()
    assert main(["battery", "design"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no pybamm, pymoo" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objectives", "energy,weight"], "objective out of"),
        (["--process", "gone.toml"], "gone.toml"),
        (["--budget", "3"], "at least 24"),
        (["--want", "energy"], "NAME=NUMBER"),
        (["--want", "energy=-3"], "a positive number of one of energy, power"),
        (["--want", "fast_energy=3"], "a positive number of one of energy, power"),
    ],
)
def test_misuse_of_the_command_is_one_line(words, said, capsys):
    assert main(["battery", "design", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
