"""Specifications from files and modules, and what their mistakes look like."""

from pathlib import Path

import pytest
import torch
from torch import nn

from overparam._errors import UsageError
from overparam.diagnosis.spec import load_spec

GOOD = """
from torch import nn
import torch
import beside

def model():
    return nn.Linear(beside.WIDTH, 2)

def data():
    return torch.zeros(4, 3), torch.tensor([0, 1, 0, 1])

loss = nn.CrossEntropyLoss

def optimizer(params):
    return torch.optim.Adam(params, lr=1e-3)
"""


def written(folder: Path, text: str, name: str = "spec.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_file_with_everything(tmp_path: Path) -> None:
    written(tmp_path, "WIDTH = 3", "beside.py")
    spec = load_spec(written(tmp_path, GOOD))
    assert isinstance(spec.model(None), nn.Linear)
    assert len(spec.data()) == 2
    assert isinstance(spec.loss(), nn.CrossEntropyLoss)
    assert spec.optimizer() is not None


def test_a_model_that_asks_for_the_examples_gets_them(tmp_path: Path) -> None:
    text = "from torch import nn\ndef model(examples): return nn.Linear(examples, 1)"
    spec = load_spec(written(tmp_path, text))
    assert spec.model(5).in_features == 5
    assert spec.data() is spec.loss() is spec.optimizer() is None


def test_a_loss_of_two_arguments_is_kept_as_it_is(tmp_path: Path) -> None:
    text = "def model(): ...\ndef loss(f, y): return ((f - y) ** 2).mean()"
    loss = load_spec(written(tmp_path, text)).loss()
    assert float(loss(torch.tensor([3.0]), torch.tensor([1.0]))) == 4


def test_a_module_and_a_name() -> None:
    assert isinstance(load_spec("torch.nn:Identity").model(None), nn.Identity)


def test_a_file_that_raises_keeps_its_own_short_traceback(tmp_path: Path) -> None:
    source = written(tmp_path, "def deep():\n    raise KeyError('weights')\n\ndeep()\n")
    with pytest.raises(UsageError) as caught:
        load_spec(source)
    assert str(caught.value).endswith("got KeyError: 'weights'")
    assert "line 2, in deep" in caught.value.details
    assert "spec.py" in caught.value.details
    assert "overparam/diagnosis" not in caught.value.details


def test_a_model_that_raises_when_it_is_made(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, "def model():\n    return 1 / 0\n"))
    with pytest.raises(UsageError, match="ZeroDivisionError") as caught:
        spec.model(None)
    assert "line 2, in model" in caught.value.details


def test_a_syntax_error_shows_its_line(tmp_path: Path) -> None:
    source = written(tmp_path, "def model(:\n    pass\n")
    with pytest.raises(UsageError, match="SyntaxError") as caught:
        load_spec(source)
    assert "def model(:" in caught.value.details


def test_missing_things(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_spec(str(tmp_path / "absent.py"))
    with pytest.raises(UsageError, match="no such module"):
        load_spec("no_such_module_anywhere:thing")
    with pytest.raises(ValueError, match=r"a function model\(\) that returns a torch module"):
        load_spec(written(tmp_path, "modell = 1"))


def test_a_missing_import_inside_the_file_is_the_files_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No module named 'no_such_thing'"):
        load_spec(written(tmp_path, "import no_such_thing"))
