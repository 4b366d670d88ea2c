"""Public names by the places they had: found until 0.3, with a warning that says the new one."""

import importlib
import pickle

import pytest
import torch

import overparam._deprecated as module
from overparam import dynamics, expansions, kernels, optim, tangents
from overparam.kernels import modular
from overparam.kernels.modular import modular_arithmetic as made_task

NAMES = [
    (kernels, "overparam.kernels.modular", name) for name in modular.__all__
] + [
    (expansions, "overparam.curvature", name)
    for name in ("GGNOperator", "HessianOperator", "hessian_norm")
] + [(dynamics, "overparam.tangents", name) for name in dynamics._MOVED
] + [(optim, "overparam.diagnosis", name) for name in optim._MOVED
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "name"), NAMES, ids=lambda part: str(part))
def test_a_package_still_has_it_and_says_where_it_is(old, new, name):
    with pytest.warns(DeprecationWarning, match=rf"is now `{new}.{name}`; .* 0\.3") as caught:
        found = getattr(old, name)
    assert found is getattr(importlib.import_module(new), name)
    assert caught[0].filename == __file__  # the caller's line, or nobody would be shown it


@pytest.mark.parametrize("old", module._GONE)
def test_so_does_a_module_that_is_gone(old):
    there = importlib.import_module(old)
    for place in module._GONE[old]:
        today = importlib.import_module(f"overparam.{place}")
        own = [n for n, v in vars(today).items() if getattr(v, "__module__", "") == today.__name__]
        name = next(n for n in own if not n.startswith("_"))
        space: dict = {}
        with pytest.warns(DeprecationWarning, match=f"`{old}.{name}` is now") as caught:
            exec(f"from {old} import {name}", space)
        assert space[name] is getattr(today, name)
        assert caught[0].filename == "<string>"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = there.nothing


def test_a_module_that_is_gone_does_not_hide_the_function_of_its_name():
    for old in module._GONE:
        importlib.import_module(old)
    with pytest.warns(DeprecationWarning, match="circulant"):
        assert kernels.circulant(torch.ones(2)).shape == (2, 2)
    assert callable(tangents.pl_certificate)
    assert callable(tangents.pl_trace)


@pytest.mark.parametrize("old", [kernels, expansions])
def test_what_never_was_is_not_there(old):
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = old.nothing
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{old.__name__}.nothing")


def test_a_pickle_that_names_an_old_module_is_read():
    task = made_task("add", 5)
    written = pickle.dumps(task, protocol=0)  # names in plain text
    old = written.replace(
        b"overparam.kernels.modular.arithmetic", b"overparam.kernels.modular_arithmetic"
    )
    assert old != written
    with pytest.warns(DeprecationWarning, match="ModularTask"):
        read = pickle.loads(old)
    assert type(read) is type(task)
    assert torch.equal(read.x_train, task.x_train)
