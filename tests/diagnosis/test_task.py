"""What may be diagnosed, and what is told to those who bring something else."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from overparam.datasets.named import load
from overparam.diagnosis.examples import as_examples, batch_size_of
from overparam.diagnosis.task import build_task, squared_error_of_labels, with_details
from overparam.diagnosis.training import evaluate

X, Y = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2


def test_forms_of_data_are_the_same_data() -> None:
    lent = X.numpy().astype(np.float64)
    lent.flags.writeable = False  # as pandas lends it
    arrays = as_examples((lent, Y.numpy().astype(np.int32)))
    tensors = as_examples((X, Y))
    pairs = as_examples(torch.utils.data.TensorDataset(X, Y))
    loader = as_examples(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y)))
    for other in (arrays, pairs, loader):
        for name in ("x", "y", "x_test", "y_test"):
            torch.testing.assert_close(getattr(other, name), getattr(tensors, name))
    assert (len(tensors.y), len(tensors.y_test)) == (16, 4)
    assert tensors.class_names == ("0", "1")


def test_a_given_split_is_kept() -> None:
    found = as_examples((X, Y, X[:3], Y[:3]))
    assert (len(found.y), len(found.y_test)) == (20, 3)


def test_named_sets_and_files(tmp_path: Path) -> None:
    digits = as_examples("digits")
    assert digits.image_shape == (1, 8, 8)
    assert len(digits.class_names) == 10
    table = tmp_path / "t.csv"
    rows = "\n".join(f"{i},{i % 7},{i * 0.37:.2f}" for i in range(60))
    table.write_text("a,b,price\n" + rows)
    found = as_examples(f"{table}:price")
    assert found.class_names == ()
    assert found.y.shape == (48, 1)
    assert len(found.column_names) == 2
    assert as_examples(load("iris")).x.shape == (120, 4)


def test_several_inputs() -> None:
    found = as_examples(({"a": X, "b": X}, Y))
    assert isinstance(found.x, dict)
    assert len(found.x["a"]) == 16
    pair = as_examples(((X, X), Y))
    assert isinstance(pair.x, tuple)


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        ((X, Y, X), TypeError, "a tuple of 2 or 4 arrays, got tuple of length 3"),
        (7, TypeError, "expected a name, a file"),
        ((X * np.nan, Y), ValueError, r"data=x\)` expected finite numbers"),
        ((X, Y[:3]), ValueError, "expected 20 examples, got 3"),
        ((X[:0], Y[:0]), ValueError, "at least one example"),
        ((X[:3], Y[:3]), ValueError, "at least 5 rows"),
        (torch.utils.data.TensorDataset(X), TypeError, "a data set of pairs"),
        ("diggits", ValueError, "did you mean 'digits'"),
    ],
)
def test_bad_data(data: object, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        as_examples(data)


def test_copies_leave_the_originals_alone() -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    task = build_task(model, as_examples((X, Y)), None, optimizer, 4)
    assert task.model is not model
    assert task.optimizer is not optimizer
    own = {id(p) for p in task.model.parameters()}
    assert {id(p) for g in task.optimizer.param_groups for p in g["params"]} == own
    assert task.rate_given
    assert task.optimizer.param_groups[0]["lr"] == 0.3


def test_lazy_layers_take_their_sizes_from_the_data() -> None:
    model = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(2))
    task = build_task(model, as_examples((X, Y)), None, None, 4)
    assert sum(p.numel() for p in task.model.parameters()) == 3 * 5 + 5 + 5 * 2 + 2
    assert nn.parameter.is_lazy(model[0].weight)


def test_defaults_follow_the_data() -> None:
    task = build_task(None, as_examples((X, Y)), None, None, None)
    assert task.loss_name == "CrossEntropyLoss"
    assert task.n_classes == 2
    assert (task.batch_size, task.rate_given) == (16, False)
    real = build_task(None, as_examples((X, X[:, :1])), None, None, 8)
    assert real.loss_name == "MSELoss"
    assert real.n_classes is None


def test_squared_error_on_labels_is_on_their_one_hot_form() -> None:
    outputs = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert float(squared_error_of_labels(outputs, torch.tensor([0, 1]))) == 0.5
    task = build_task(None, as_examples((X, Y)), nn.MSELoss(), None, None)
    assert task.loss is squared_error_of_labels


class Mixes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x - x.mean(0))


class ReturnsDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(x)}


def broken() -> nn.Module:
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, torch.nan)
    return model


@pytest.mark.parametrize(
    ("model", "options", "error", "sentence"),
    [
        (Mixes(), {}, ValueError, "does not depend on the others"),
        (ReturnsDict(), {}, TypeError, "a model that returns one tensor, got a dict"),
        (nn.Linear(3, 2).requires_grad_(False), {}, ValueError, "one trainable parameter"),
        (nn.Linear(5, 2), {}, ValueError, r"takes a batch of shape \(4, 3\)"),
        (nn.Linear(3, 1), {}, ValueError, r"of bounds\.+\nHint: give the last layer"),
        (nn.Linear(3, 2), {"loss": nn.CrossEntropyLoss}, TypeError, r"add brackets: CrossEntropyL"),
        (nn.Linear(3, 1), {"loss": nn.BCEWithLogitsLoss()}, ValueError, r"targets as y\[:, None\]"),
        (nn.Linear(3, 1), {"loss": nn.L1Loss()}, ValueError, r"targets as y\[:, None\]"),
        (broken(), {}, ValueError, "finite outputs at the start"),
        ("model", {}, TypeError, "a torch module, got str"),
        (nn.Linear(3, 2), {"loss": "huber"}, ValueError, "'mse', 'cross_entropy' or a function"),
        (nn.Linear(3, 2), {"loss": nn.CrossEntropyLoss(reduction="none")}, ValueError,
         "one number for a batch"),
        (nn.Linear(3, 2), {"loss": nn.BCELoss()}, ValueError, r"loss=...\)` expected a loss that"),
        (nn.Linear(3, 2), {"optimizer": lambda params: params}, TypeError, "makes one of"),
        (nn.Linear(3, 2), {"batch_size": 99}, ValueError, "a size from 1 to 16"),
    ],
)  # fmt: skip
def test_bad_tasks(model: object, options: dict, error: type[Exception], sentence: str) -> None:
    given = {"loss": None, "optimizer": None, "batch_size": None, **options}
    with pytest.raises(error, match=sentence):
        build_task(model, as_examples((X, Y)), **given)  # type: ignore[arg-type]


def test_one_logit_for_two_classes_is_what_the_loss_makes_of_it() -> None:
    def loss(outputs, labels):
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], labels.float())

    task = build_task(nn.Linear(3, 1), as_examples((X, Y)), loss, None, None)
    assert task.n_classes is None
    assert torch.isfinite(task.loss(task.model(X), Y))


def test_of_a_loader_the_batch_size_counts_as_well() -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=5)
    assert batch_size_of(loader) == 5
    assert batch_size_of((X, Y)) is None


@pytest.mark.parametrize(
    ("details", "error", "words"),
    [((7, None, 1), TypeError, r"schedule=...\)` expected a function"),
     ((None, -1.0, 1), ValueError, r"clip_norm=...\)` expected a positive norm"),
     ((None, "a", 1), TypeError, r"clip_norm=...\)` expected a positive norm"),
     ((None, None, 0), ValueError, r"accumulate=...\)` expected a number of batches"),
     ((None, None, 1.5), TypeError, r"accumulate=...\)` expected a number of batches")],
)  # fmt: skip
def test_details_that_are_none(details: tuple, error: type[Exception], words: str) -> None:
    task = build_task(nn.Linear(3, 2), as_examples((X, Y)), None, None, None)
    with pytest.raises(error, match=words):
        with_details(task, *details)


THREE = torch.arange(20) % 3


class Draws(nn.Linear):
    """One that samples whatever its mode, as a variational network does."""

    def forward(self, x):
        return super().forward(x) + 0.1 * torch.randn(len(x), 3)


def test_a_network_that_samples_is_trained_and_its_outputs_are_not_measured():
    task = build_task(Draws(3, 3), as_examples((X, THREE)), None, None, 8)
    assert task.unmeasured.startswith("the outputs are others at every call")


@pytest.mark.parametrize("left_out", [-100, -1, 255])
def test_labels_that_a_loss_leaves_out_are_the_loss_functions_business(left_out):
    y = torch.where(torch.arange(20) % 4 == 0, left_out, THREE)
    loss = nn.CrossEntropyLoss(ignore_index=left_out)
    task = build_task(nn.Linear(3, 3), as_examples((X, y)), loss, None, 8)
    assert task.n_classes is None
    _, error = evaluate(task, task.examples.x, task.examples.y)
    assert math.isnan(error)
    with pytest.raises(ValueError, match=f"labels from 0 to 2, .* got labels from .*{left_out}"):
        build_task(nn.Linear(3, 3), as_examples((X, y)), nn.CrossEntropyLoss(ignore_index=7), None,
                   8)  # fmt: skip


def test_missing_targets_need_a_loss_that_leaves_them_out():
    y = torch.where(torch.arange(len(X)) % 3 == 0, math.nan, X[:, 0])[:, None]
    loss = lambda f, y: ((f - y.nan_to_num())[~y.isnan()] ** 2).mean()  # noqa: E731
    task = build_task(nn.Linear(3, 1), as_examples((X, y), masked=True), loss, None, 8)
    assert "targets are missing" in task.unmeasured
    for masked, found in ((True, nn.MSELoss()), (False, None)):
        with pytest.raises(ValueError, match=r"data=y\)` expected finite numbers, got \d+ of"):
            build_task(nn.Linear(3, 1), as_examples((X, y), masked=masked), found, None, 8)


def test_classes_are_those_that_outputs_score():
    more = build_task(nn.Linear(3, 5), as_examples((X, THREE)), None, None, 8)
    assert more.n_classes == 5  # two that no example has
    alike = lambda f, y: nn.functional.cross_entropy(f @ f.T, torch.arange(len(f)))  # noqa: E731
    none = build_task(nn.Linear(3, 3), as_examples((X, THREE)), alike, None, 8)
    assert none.n_classes is None
