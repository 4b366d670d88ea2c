"""Packages that load nothing before it is used, and then always the same."""

import importlib
import os
import pickle
import pkgutil
import random
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import joblib
import lazy_loader
import pytest

import overparam
from overparam._lazy import attach

PACKAGES = (
    "overparam",
    *(
        name
        for _, name, is_package in pkgutil.walk_packages(overparam.__path__, "overparam.")
        # The command line offers commands, and names to what starts it alone.
        if is_package and not name.startswith(("overparam.studies.", "overparam.cli"))
    ),
)


def python(code: str, *words: str, **variables: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# What an interpreter has loaded by now.
LOADED = "; import sys; print('\\nloaded', *sorted({m.partition('.')[0] for m in sys.modules}))"
HEAVY = {"torch", "pandas", "scipy", "joblib", "sklearn", "pyarrow", "networkx", "numpy"}
COMMAND = "from overparam.cli import main; main([{}])"
# One after the other in one interpreter, with what may be there by then.
STEPS: list[tuple[str, set[str]]] = [
    ("import overparam", set()),
    ("import overparam; dir(overparam), overparam.NumericalError", set()),
    (f"import {', '.join(PACKAGES)}", set()),
    ("from overparam.report import render; render", set()),
    (COMMAND.format("'--help'"), set()),
    (COMMAND.format("'study', '--help'"), set()),
    (COMMAND.format("'study', 'list'"), {"numpy"}),
    ("import overparam as op; op.MaSS, op.critical_learning_rate", {"torch", "numpy"}),
    ("import overparam as op; op.agop, op.empirical_ntk, op.linearize", {"torch", "numpy"}),
    ("import overparam as op; op.Monitor, op.LabelNoiseScorer", {"torch", "numpy"}),
]


def test_what_is_heavy_waits_until_it_is_used():
    said = python("\n".join(code + LOADED for code, _ in STEPS)).splitlines()
    loaded = [set(line.split()[1:]) for line in said if line.startswith("loaded ")]
    for (code, may), found in zip(STEPS, loaded, strict=True):
        assert "overparam" in found
        assert found & HEAVY <= may, code


def test_the_watch_for_heavy_packages_sees_them():
    assert "numpy" in python("import numpy" + LOADED).split()


def test_importing_it_is_quick():
    """Less than a tenth of a second, where an interpreter starts in the twentieth of one."""
    code = "import time; start = time.process_time(); import overparam; "
    times = [float(python(code + "print(time.process_time() - start)")) for _ in range(3)]
    bare = "import time; start = time.process_time(); import typing, ast, json, argparse; "
    known = [float(python(bare + "print(time.process_time() - start)")) for _ in range(3)]
    # A machine under load takes longer for both: at most 5 times a few standard modules.
    assert min(times) < max(0.1, 5 * min(known))


# Every name, from the package and after every module that has the same name, in both orders. The
# third parties are loaded first; each child that is split off then loads ours anew.
BOTH_ORDERS = """
import ast, importlib, os, pkgutil, sys
import torch, pandas, sklearn.base, scipy.sparse.linalg, joblib, networkx, jaxtyping

def check(package, module, name, module_first):
    if module_first:
        importlib.import_module(module)
        submodule = f"{package}.{name}"
        if importlib.util.find_spec(submodule):
            importlib.import_module(submodule)
    space = {}
    exec(f"from {package} import {name}", space)
    if not module_first:
        importlib.import_module(f"{package}.{name}")
    again = {}
    exec(f"from {package} import {name}", again)
    defined = getattr(importlib.import_module(module), name)
    assert space[name] is again[name] is defined is getattr(sys.modules[package], name)
    assert type(defined) is not type(sys)

# Compiled once and not by each child, also where nothing may be written beside the sources.
sys.dont_write_bytecode, sys.pycache_prefix = False, sys.argv[1]
for line in sys.stdin:
    package, module, name = line.split()
    for module_first in (True, False):
        child = os.fork()
        if child == 0:
            try:
                check(package, module, name, module_first)
            except BaseException as error:
                print(package, name, module_first, repr(error), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
print("done")
"""


def stated(package: str) -> dict[str, str]:
    """The module that the stub of a package takes each name from."""
    module = importlib.import_module(package)
    assert module.__file__
    stub = Path(module.__file__).with_suffix(".pyi")
    found = {}
    text = stub.read_text("utf-8") if stub.exists() else ""
    for origin, names in re.findall(r"^from \.([\w.]+) import (\([^)]*\)|.*)", text, re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"\w+", names), f"{package}.{origin}")
    return found


def shadowed(package: str) -> dict[str, str]:
    """Those names that a module of the package has too."""
    here = {name for _, name, _ in pkgutil.iter_modules(sys.modules[package].__path__)}
    return {name: module for name, module in stated(package).items() if name in here}


def test_every_public_name_is_what_its_file_defines():
    """Whatever has been imported by now, and with every module of the package imported."""
    n = 0
    for package in PACKAGES:
        module = importlib.import_module(package)
        origins = stated(package)
        assert sorted(origins) == sorted(module.__all__)
        for _, name, _ in pkgutil.iter_modules(module.__path__):
            if package not in ("overparam.integrations", "overparam.studies"):
                importlib.import_module(f"{package}.{name}")
        for name, origin in origins.items():
            defined = getattr(importlib.import_module(origin), name)
            assert getattr(module, name) is defined
            assert vars(module)[name] is defined, "kept, so that the next use costs nothing"
            n += 1
    assert n > 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="splits an interpreter")
def test_a_name_is_a_function_whether_it_or_its_module_came_first(tmp_path):
    cases = [
        f"{package} {module} {name}\n"
        for package in PACKAGES
        for name, module in shadowed(package).items()
    ]
    assert {"overparam.optim overparam.optim.stability stability\n"} < set(cases)
    done = subprocess.run(
        [sys.executable, "-c", BOTH_ORDERS, str(tmp_path)], input="".join(cases),
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False, timeout=250,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stdout + done.stderr


def test_everything_is_loaded_at_once_where_that_is_asked_for():
    code = "import overparam, sys; print('MaSS' in vars(overparam), 'torch' in sys.modules)"
    assert python(code, EAGER_IMPORT="1") == "True True\n"
    assert python(code, EAGER_IMPORT="") == "False False\n"


@pytest.mark.parametrize("package", PACKAGES)
def test_names_are_listed_before_they_are_loaded(package):
    module = importlib.import_module(package)
    assert {*module.__all__, "__name__"} <= set(dir(module))
    assert [name for name in dir(module) if name.startswith("_") and name[:2] != "__"] == []


def test_the_front_door_leads_to_every_room():
    rooms = {path.parent.name for path in Path(overparam.__file__).parent.glob("*/__init__.py")}
    assert rooms - {"cli"} <= set(dir(overparam))


def test_a_module_of_a_package_is_an_attribute_of_it():
    code = "import overparam as op; print(op.report.render, op.report.numbers.number)"
    assert re.fullmatch("<function render .*<function number .*\n", python(code))


def test_what_is_not_there_is_said_as_ever():
    with pytest.raises(AttributeError, match="module 'overparam' has no attribute 'nothing'"):
        _ = overparam.nothing  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from overparam.optim import nothing  # noqa: F401  # pyright: ignore
    assert not hasattr(overparam, "__wrapped__")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A package of its own, whose modules and stub are given."""

    def make(**files: str):
        folder = tmp_path / "toy_package"
        folder.mkdir()
        attached = "__getattr__, __dir__, __all__ = attach(__name__, __file__)\n"
        first = "from overparam._lazy import attach\n" + attached
        folder.joinpath("__init__.py").write_text(first)
        for name, text in files.items():
            end = "pyi" if name == "__init__" else "py"
            folder.joinpath(f"{name}.{end}").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module("toy_package")

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy_package"]:
        del sys.modules[name]


def test_a_module_that_misses_another_says_so_and_not_that_it_is_not_there(toy):
    package = toy(__init__="__all__ = []", needs="import not_installed_anywhere")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        _ = package.needs


def test_a_mistake_in_a_module_is_not_hidden(toy):
    package = toy(__init__="from .wrong import f\n__all__ = ['f']", wrong="raise OSError('disk')")
    with pytest.raises(OSError, match="disk"):
        _ = package.f


def test_a_stub_is_needed(toy):
    with pytest.raises(ValueError, match="non-existent stub"):
        toy(f="")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_function_that_uses_a_package_is_sent_to_other_processes(package):
    module = importlib.import_module(package)
    sent = pickle.dumps(joblib.wrap_non_picklable_objects(lambda: module))
    assert pickle.loads(sent)() is module


def test_functions_and_classes_are_pickled_by_the_file_that_defines_them():
    for name in set(overparam.__all__) - {"__version__"}:
        value = getattr(overparam, name)
        assert pickle.loads(pickle.dumps(value)) is value


def test_the_version_is_the_installed_one():
    assert overparam.__version__ == version("overparam")


def test_the_front_door_is_no_catalogue():
    assert 20 <= len(overparam.__all__) <= 30


def test_what_hides_functions_is_guarded_by_the_loader_and_not_by_luck():
    """Its floor: an earlier one gave the module where a function was asked for."""
    guarded = importlib.import_module("overparam.dynamics")
    assert type(guarded) is not type(sys)
    assert type(guarded).__module__ == lazy_loader.__name__
    assert attach.__module__ == "overparam._lazy"


def test_a_name_that_loads_what_draws_uses_up_no_random_numbers(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "drawing_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from overparam._lazy import attach\n"
        "__getattr__, __dir__, __all__ = attach(__name__, __file__)\n"
    )
    (folder / "__init__.pyi").write_text('from .inner import value\n\n__all__ = ["value"]\n')
    (folder / "inner.py").write_text("import random\n\nvalue = random.random()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = random.getstate()
    assert 0 <= importlib.import_module("drawing_package").value < 1
    assert random.getstate() == before


def test_whoever_turns_warnings_into_errors_can_measure():
    """What torch does on the first forward derivative of a process is deprecated by itself."""
    code = (
        "import torch, overparam as op\n"
        "model = torch.nn.Linear(3, 2)\n"
        "loss = torch.nn.functional.cross_entropy\n"
        "sgd = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "monitor = op.Monitor(model, loss, sgd, max_overhead=float('inf'))\n"
        "batch = torch.eye(4, 3), torch.tensor([0, 1, 0, 1])\n"
        "for _ in range(3):\n"
        "    value = loss(model(batch[0]), batch[1])\n"
        "    value.backward()\n"
        "    monitor.step(value, batch=batch)\n"
        "    sgd.step()\n"
        "print(monitor.history['sharpness'].notna().sum())\n"
    )
    assert int(python(code, PYTHONWARNINGS="error")) >= 2
