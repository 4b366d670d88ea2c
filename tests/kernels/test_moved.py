"""Old paths of public names: found until 0.3, with a warning that names the new one."""

import importlib
import pickle

import pytest
import torch

from overparam import kernels
from overparam.kernels import _moved, modular
from overparam.kernels.modular.arithmetic import modular_arithmetic


def test_every_name_that_moved_is_known():
    assert list(_moved.NAMES) == sorted(modular.__all__, key=lambda n: (n[0].islower(), n))
    for homes in _moved.FILES.values():
        for home in homes:
            assert importlib.import_module(f"{_moved.HOME}.{home}")


@pytest.mark.parametrize("name", _moved.NAMES)
def test_the_package_still_has_it_and_says_where_it_is(name):
    new = rf"`overparam.kernels.modular.{name}`; the old path works until 0\.3"
    with pytest.warns(DeprecationWarning, match=new) as caught:
        found = getattr(kernels, name)
    assert found is getattr(modular, name)
    assert caught[0].filename == __file__  # the caller's line, or nobody would be shown it


@pytest.mark.parametrize(
    ("file", "home", "name"),
    [
        ("circulant", "modular", "circulant"),
        ("circulant", "modular", "operand_block"),
        ("circulant", "modular.operand_features", "KERNEL_KINDS"),
        ("fourier_multiplication", "modular", "fourier_multiplication"),
        ("modular_arithmetic", "modular", "ModularTask"),
        ("quadratic_network", "modular", "QuadraticNetwork"),
    ],
)
def test_so_do_the_files(file, home, name):
    space: dict = {}
    with pytest.warns(
        DeprecationWarning, match=f"is now `overparam.kernels.{home}.{name}`"
    ) as caught:
        exec(f"from overparam.kernels.{file} import {name}", space)
    assert space[name] is getattr(importlib.import_module(f"overparam.kernels.{home}"), name)
    assert caught[0].filename == "<string>"


def test_a_file_that_is_gone_does_not_hide_the_function_of_its_name():
    importlib.import_module("overparam.kernels.circulant")
    with pytest.warns(DeprecationWarning, match="circulant"):
        assert kernels.circulant(torch.ones(2)).shape == (2, 2)


@pytest.mark.parametrize("old", [kernels, importlib.import_module("overparam.kernels.circulant")])
def test_what_never_was_is_not_there(old):
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = old.nothing


def test_a_pickle_that_names_an_old_file_is_read():
    task = modular_arithmetic("add", 5)
    written = pickle.dumps(task, protocol=0)  # names in plain text
    old = written.replace(
        b"overparam.kernels.modular.arithmetic", b"overparam.kernels.modular_arithmetic"
    )
    assert old != written
    with pytest.warns(DeprecationWarning, match="ModularTask"):
        read = pickle.loads(old)
    assert type(read) is type(task)
    assert torch.equal(read.x_train, task.x_train)
