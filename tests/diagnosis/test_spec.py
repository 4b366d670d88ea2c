"""Specifications from files and modules, and what their mistakes look like."""

from pathlib import Path

import pytest
import torch
from torch import nn

from overparam._errors import UsageError
from overparam.cli import main
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


MODEL = "import sys, torch\nfrom torch import nn\ndef model(): return nn.Linear(3, 2)\n"
DATA = "import torch\ndef data(): return torch.randn(20, 3), torch.arange(20) % 2\n"
WRONG = {
    "exits": ("import sys\nsys.exit(3)\n", "got SystemExit: 3"),
    "exits within": ("import sys\ndef model(): sys.exit('no')\n" + DATA, "got SystemExit: no"),
    "raises its own": ("class Stop(BaseException): ...\nraise Stop('x')\n", "Stop: x"),
    "recurs": ("def f(): f()\nf()\n", "got RecursionError"),
    "is no text": ("\0", "got "),
    "model is no module": ("def model(): return 3\n" + DATA, "a torch module, got int"),
    "model is no function": ("model = 3\n", "a function model()"),
    "model without parameters": ("from torch import nn\nmodel = nn.ReLU\n", "`diagnose"),
    "model of C": ("model = dict\n", "a torch module, got dict"),
    "data is a number": (MODEL + "data = 5\n", "a name, a file"),
    "data is words": (MODEL + "def data(): return ['a', 'b'], ['c', 'd']\n", "arrays of numbers"),
    "data is ragged": (MODEL + "def data(): return [[1], [1, 2]], [0, 1]\n", "arrays of numbers"),
    "data is nothing": (MODEL + "def data(): return None, None\n", "arrays of numbers"),
    "data of two lengths": (
        MODEL + "def data(): return torch.randn(20, 3), torch.arange(7)\n", "`diagnose(data=y)`"),
    "loss is a number": (MODEL + DATA + "loss = 3\n", "a function of outputs and targets"),
    "loss of many": (MODEL + DATA + "def loss(f, y): return f\n", "one number for a batch"),
    "loss is nan": (MODEL + DATA + "def loss(f, y): return f.sum() * float('nan')\n", "a finite"),
    "loss is text": (MODEL + DATA + "def loss(f, y): return 'low'\n", "one number for a batch"),
    "loss raises": (MODEL + DATA + "def loss(f, y): raise KeyError('k')\n", "got KeyError: 'k'"),
    "loss without gradient": (
        MODEL + DATA + "def loss(f, y): return torch.tensor(1.0)\n", "a training step of"),
    "optimizer is a number": (MODEL + DATA + "optimizer = 3\n", "an optimizer, or a function"),
    "optimizer gives none": (
        MODEL + DATA + "def optimizer(params): return None\n", "a function that returns NoneType"),
    "optimizer raises": (
        MODEL + DATA + "def optimizer(params): raise OSError('lost')\n", "got OSError: lost"),
    "training raises": (
        "import torch\nfrom torch import nn\nclass Net(nn.Linear):\n"
        "    def forward(self, x):\n        assert not self.training, 'odd'\n"
        "        return super().forward(x)\ndef model(): return Net(3, 2)\n" + DATA,
        "got AssertionError: odd"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_a_specification_that_is_wrong_is_one_clear_line(text, said, tmp_path, capsys):
    path = tmp_path / "spec.py"
    path.write_text(text)
    assert main(["diagnose", str(path), "--budget", "5s", "--steps", "3"]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("overparam: `diagnose")
    assert said in first


def test_what_the_code_raises_in_the_middle_of_a_run_is_told_as_its_own(tmp_path):
    path = tmp_path / "spec.py"
    path.write_text("def model(): ...\ndef later(): raise KeyError('late')\n")
    spec = load_spec(str(path))
    with pytest.raises(UsageError, match="got KeyError: 'late'") as caught, spec.blamed():
        spec._members.later()
    assert "spec.py" in caught.value.details
    with pytest.raises(KeyError), spec.blamed():
        raise KeyError("ours")


def test_an_interruption_is_none_of_its_mistakes(tmp_path, capsys):
    path = tmp_path / "spec.py"
    path.write_text("raise KeyboardInterrupt\n")
    assert main(["diagnose", str(path)]) == 130
    assert capsys.readouterr().err == "overparam: interrupted.\n"
