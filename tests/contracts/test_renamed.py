"""What arguments are called, and were: under an old name they work, and warn."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import calls
import objects
import pytest
import torch

import overparam
from overparam._deprecated import OldName


def things() -> Iterator[Any]:
    """Every public function and class."""
    names = [found.name for found in pkgutil.walk_packages(overparam.__path__, "overparam.")]
    for name in ["overparam", *names]:
        if "._" not in name and not name.startswith(("overparam.studies.", "overparam.integrat")):
            module = importlib.import_module(name)
            if hasattr(module, "__path__"):
                yield from (getattr(module, public) for public in module.__all__)


def renamed_by(function: Callable[..., Any]) -> dict[str, str]:
    """New names by old ones, of a function's arguments or a constructor's."""
    carries = function.__init__ if inspect.isclass(function) else function
    return getattr(carries, "renamed", {})


def renamed_arguments() -> dict[str, tuple[Callable[..., Any], str, str]]:
    """The callable, the old name and the new one of every argument, by what one would type."""
    found = {}
    for thing in things():
        own = inspect.getmembers(thing, inspect.isfunction) if inspect.isclass(thing) else []
        for function in [thing, *(value for name, value in own if name[0] != "_")]:
            for old, new in renamed_by(function).items():
                found[f"{function.__qualname__}({old}=...)"] = function, old, new
    return found


ARGUMENTS = renamed_arguments()
ATTRIBUTES = {
    f"{thing.__name__}.{name}": (thing, value)
    for thing in things()
    if inspect.isclass(thing)
    for name, value in vars(thing).items()
    if isinstance(value, OldName)
}


def test_no_public_call_has_a_private_argument():
    found = []
    for thing in things():
        own = inspect.getmembers(thing, inspect.isfunction) if inspect.isclass(thing) else []
        for call in [thing, *(value for name, value in own if name[0] != "_")]:
            if callable(call) and not inspect.isbuiltin(call):
                with suppress(ValueError):  # no signature
                    found += [(call, p) for p in inspect.signature(call).parameters if p[0] == "_"]
    assert found == []


def test_the_table_is_there():
    assert {
        "empirical_ntk(params=...)", "NTKOperator(params=...)", "GGNOperator(params=...)",
        "infinite_ntk(z=...)", "Kernel.matrix(z=...)",
        "CleanPriorityStop(num_classes=...)", "LabelNoiseScorer(num_classes=...)",
        "fit(jobs=...)", "on_cluster(jobs=...)", "empirical_ntk_to_file(jobs=...)",
    } <= set(ARGUMENTS)  # fmt: skip
    assert {"NTKOperator.params", "CleanPriorityStop.num_classes"} <= set(ATTRIBUTES)


@pytest.mark.parametrize("place", sorted(ARGUMENTS))
def test_an_old_argument_says_what_it_is_called_now(place):
    function, old, new = ARGUMENTS[place]
    parameters = inspect.signature(function).parameters
    assert new in parameters
    assert old not in parameters
    call = place.partition("(")[0]
    words = rf"`{call}\({new}=\.\.\.\)`; .* until 0\.3"
    with pytest.warns(DeprecationWarning, match=words) as caught, suppress(Exception):
        function(**{old: None})  # what else it needs is missing
    assert caught[0].filename == __file__


# Those of which the contracts have a call with good arguments.
GOOD = {
    f"{call.name}({old}=...)": (call, old, new)
    for call in [*calls.ALL, *objects.ALL]
    for old, new in renamed_by(call.function).items()
}


@pytest.mark.parametrize("place", sorted(GOOD))
def test_a_call_under_the_old_name_is_the_same_call(place):
    call, old, new = GOOD[place]
    given, again = (call.arguments(torch.Generator().manual_seed(0)) for _ in range(2))
    if new not in given:
        given[new] = again[new] = inspect.signature(call.function).parameters[new].default
    again[old] = again.pop(new)
    expected = call.function(**given)
    with pytest.warns(DeprecationWarning, match=rf"{old}=.*{new}="):
        result = call.function(**again)
    assert type(result) is type(expected)
    if isinstance(result, torch.Tensor):
        assert torch.equal(result, expected)


@pytest.mark.parametrize("place", sorted(ATTRIBUTES))
def test_an_old_attribute_is_the_new_one(place):
    kind, name = ATTRIBUTES[place]
    thing = kind.__new__(kind)
    with pytest.warns(DeprecationWarning, match=rf"`{place}` is now `.*\.{name.new}`; .* 0\.3"):
        setattr(thing, name.old, ["a"])
    assert getattr(thing, name.new) == ["a"]
    with pytest.warns(DeprecationWarning, match=rf"`{place}` is now") as caught:
        assert getattr(thing, name.old) == ["a"]
    assert caught[0].filename == __file__
