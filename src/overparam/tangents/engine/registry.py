"""The rules by the nodes they are for: every `Operation` of every file of `rules`.

A file that is there is found, so that a new rule is entered nowhere.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import torch

from overparam.tangents.engine.operation import Operation, Places
from overparam.tangents.engine.step import name_of

_Table: TypeAlias = dict[tuple[str, int], type[Operation]]


def rules() -> list[type[Operation]]:
    """Every rule, in the order of the files' names."""
    folder, package = Path(__file__).with_name("rules"), f"{__package__}.rules"
    modules = [import_module(f"{package}.{file.name}") for file in pkgutil.iter_modules([folder])]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Operation)
        if value.__module__ == module.__name__
    ]


def _table(places: Callable[[type[Operation]], Places]) -> _Table:
    """The rule for each input of each node; two for one are a mistake of ours."""
    table: _Table = {}
    for rule in rules():
        for name, positions in places(rule).items():
            for position in positions:
                assert (name, position) not in table, f"two rules for {name} at {position}"
                table[name, position] = rule
    return table


PARAMETERS = _table(lambda rule: rule.parameters)
ACTIVATIONS = _table(lambda rule: rule.activations)


def operation(node: Any, position: int, shape: torch.Size) -> Operation | None:
    """The node as seen from a parameter at one of its inputs, if there is a rule."""
    rule = PARAMETERS.get((name_of(node), position))
    return rule(node, position, shape) if rule else None


def passing(node: Any, position: int) -> type[Operation] | None:
    """The rule that carries gradients to one of the node's inputs, if there is one."""
    return ACTIVATIONS.get((name_of(node), position))
