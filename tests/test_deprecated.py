"""Public names by the places they had: found until 0.3, with a warning that says the new one."""

import importlib
import inspect
import pickle
import warnings

import pytest
import torch

import overparam._deprecated as module
from overparam import dynamics, expansions, kernels, optim, studies, tangents
from overparam._checked import checked
from overparam._deprecated import OldName, renamed
from overparam.diagnosis import TrainingTask
from overparam.errors import OverparamError
from overparam.kernels import modular
from overparam.kernels.modular import modular_arithmetic as made_task

NAMES = [
    (kernels, "overparam.kernels.modular", name) for name in modular.__all__
] + [
    (expansions, "overparam.curvature", name)
    for name in ("GGNOperator", "HessianOperator", "hessian_norm")
] + [(studies, "overparam.claims", name) for name in studies._MOVED
] + [(dynamics, "overparam.tangents", name) for name in dynamics._MOVED
] + [(optim, "overparam.diagnosis", name) for name in optim._MOVED
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "name"), NAMES, ids=lambda part: str(part))
def test_a_package_still_has_it_and_says_where_it_is(old, new, name):
    with pytest.warns(DeprecationWarning, match=rf"is now `{new}.{name}`; .* 0\.3") as caught:
        found = getattr(old, name)
    assert found is getattr(importlib.import_module(new), name)
    assert caught[0].filename == __file__  # the caller's line, or nobody would be shown it


RENAMED = [
    (optim, "sgd_step_size", "overparam.optim.aiming_step_size", "aiming"),
    (optim, "AimingMonitor", "overparam.dynamics.AimingMonitor", "aiming"),
    (kernels, "agop", "overparam.kernels.predictor_agop", "feature_matrix"),
    (kernels, "agop_diagonal", "overparam.kernels.predictor_agop_diagonal", "feature_matrix"),
]


@pytest.mark.parametrize(("package", "old", "new", "file"), RENAMED)
def test_what_has_another_name_by_now_is_found_under_the_old_one(package, old, new, file):
    place, _, name = new.rpartition(".")
    now = getattr(importlib.import_module(place), name)
    with pytest.warns(
        DeprecationWarning, match=rf"`{package.__name__}.{old}` is now `{new}`; .* 0\.3"
    ):
        assert getattr(package, old) is now
    assert old not in package.__all__
    home = importlib.import_module(f"{package.__name__}.{file}")
    with pytest.warns(DeprecationWarning, match=rf"\.{old}` is now `.*\.{name}`; ") as caught:
        assert getattr(home, old) is now
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = home.nothing


@pytest.mark.parametrize("path", ["overparam.diagnosis", "overparam.diagnosis.task"])
def test_so_does_a_place_where_it_has_another_name(path):
    match = rf"`{path}\.Task` is now `{path}\.TrainingTask`; .* 0\.3"
    with pytest.warns(DeprecationWarning, match=match) as caught:
        found = importlib.import_module(path).Task
    assert found is TrainingTask
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = importlib.import_module(path).nothing


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


@renamed(z="x2", length="size")
@checked
def added(x1: float, x2: float = 1.0, size: int = 0) -> float:
    return x1 + x2 + size


class Ruler:
    length = OldName("size")

    @renamed(length="size")
    def __init__(self, size: int) -> None:
        self.size = size


def test_an_argument_has_its_old_name_too_and_signatures_show_the_new():
    for form in (Ruler, renamed(length="size")(type("Plain", (), {"__init__": take_size}))):
        with pytest.warns(DeprecationWarning, match=r"\(length=...\)` is now .*\(size") as caught:
            assert form(length=3).size == 3
        assert caught[0].filename == __file__
        assert list(inspect.signature(form).parameters) == ["size"]
    with pytest.warns(DeprecationWarning, match="now `added") as caught:
        assert added(1.0, z=2.0, length=4) == 7.0
    words = [str(warning.message) for warning in caught]
    assert words == [
        f"`added({old}=...)` is now `added({new}=...)`; the old form works until 0.3."
        for old, new in (("z", "x2"), ("length", "size"))
    ]
    assert added(1.0, 2.0, size=4) == 7.0  # without a word
    assert list(inspect.signature(added).parameters) == ["x1", "x2", "size"]


def take_size(self, size: int) -> None:
    self.size = size


def test_the_old_name_is_checked_like_the_new_and_both_together_are_refused():
    with (
        pytest.warns(DeprecationWarning, match="now `added"),
        pytest.raises(TypeError, match=r"^`added\(x2=...\)` expected a finite number, got 'a'"),
    ):
        added(1.0, z="a")
    refused = r"^`added\(x2=...\)` expected one value, got another as z=..., .* its old name"
    with pytest.raises(OverparamError, match=refused):
        added(1.0, x2=1.0, z=2.0)


def test_an_attribute_has_its_old_name_too():
    ruler = Ruler(3)
    with pytest.warns(DeprecationWarning, match=r"^`Ruler.length` is now `Ruler.size`; ") as caught:
        assert ruler.length == 3
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="Ruler.size") as caught:
        ruler.length = 4
    assert caught[0].filename == __file__
    assert vars(ruler) == {"size": 4}
    assert isinstance(Ruler.length, OldName)


class Slotted(Ruler):
    __slots__ = ("unit",)


@pytest.mark.parametrize("kind", [Ruler, Slotted])
def test_a_pickle_that_has_an_attribute_under_its_old_name_is_read(kind):
    ruler = kind(3)
    del ruler.size
    vars(ruler)["length"] = 5  # as it was kept
    if kind is Slotted:
        ruler.unit = "cm"
    read = pickle.loads(pickle.dumps(ruler))
    assert read.size == 5
    assert vars(read) == {"size": 5}
    assert getattr(read, "unit", "cm") == "cm"
    again = pickle.loads(pickle.dumps(read))
    assert vars(again) == {"size": 5}


def test_an_operator_that_was_pickled_under_the_old_name_computes():
    operator = tangents.NTKOperator(torch.nn.Linear(2, 1), torch.ones(3, 2))
    read = pickle.loads(pickle.dumps(operator))
    vars(operator)["params"] = vars(operator).pop("names")
    old = pickle.loads(pickle.dumps(operator))
    assert torch.equal(old @ torch.ones(3), read @ torch.ones(3))


@pytest.mark.parametrize(
    "line",
    [
        "from overparam.studies import Study",
        "from overparam.dynamics import agop",
        "from overparam.kernels import agop",
    ],
)
def test_an_import_of_one_name_warns_once(line):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(line, {})
    assert [(w.category, w.filename) for w in caught] == [(DeprecationWarning, "<string>")]


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
