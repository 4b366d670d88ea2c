"""Rules are found by being there, one for each input of a node, and nobody asks for their kind."""

import ast
from pathlib import Path
from typing import ClassVar

import pytest

from overparam.tangents import engine
from overparam.tangents.engine import registry
from overparam.tangents.engine.operation import Operation

FOLDER = Path(next(iter(engine.__path__)))


def test_every_file_is_found():
    files = {path.stem for path in (FOLDER / "rules").glob("*.py")} - {"__init__"}
    assert {rule.__module__.rsplit(".", 1)[-1] for rule in registry.rules()} == files


def test_every_rule_is_reached():
    reached = {*registry.PARAMETERS.values(), *registry.ACTIVATIONS.values()}
    assert reached == set(registry.rules())


@pytest.mark.parametrize("rule", registry.rules(), ids=lambda rule: rule.__name__)
def test_a_rule_answers_what_it_says_it_knows(rule):
    assert not rule.parameters or rule.gradient is not Operation.gradient
    assert not rule.activations or rule.passed.__func__ is not Operation.passed.__func__


def test_two_rules_for_one_input_are_a_mistake(monkeypatch):
    class Another(Operation):
        parameters: ClassVar = {"MmBackward0": (1,)}

    every = [*registry.rules(), Another]
    monkeypatch.setattr(registry, "rules", lambda: every)
    with pytest.raises(AssertionError, match="two rules for MmBackward0 at 1"):
        registry._table(lambda rule: rule.parameters)


def test_the_engine_knows_no_rule_by_name():
    names = {rule.__name__ for rule in registry.rules()}
    for path in FOLDER.glob("*.py"):
        used = {node.id for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Name)}  # fmt: skip
        assert not used & names, path
