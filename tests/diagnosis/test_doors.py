"""Every door as a stranger comes to it: kinds of models, of data and of optimizers."""

import copy
import json
import math
import random
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, TensorDataset

from overparam import Diagnosis, diagnose, suggest_lr
from overparam._random_numbers import states
from overparam.cli import main
from overparam.diagnosis import mass_for_model
from overparam.diagnosis.race.drawn import Drawn
from overparam.report.page import render

N = 96
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
IDS = torch.randint(0, 11, (24, 5), generator=torch.Generator().manual_seed(0))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


class Items(Dataset):
    """Examples in some form, each with noise that is drawn anew by three generators."""

    def __init__(self, form: str = "pair", n: int = N) -> None:
        self.form, self.n, self.seen = form, n, []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        noise = torch.randn(4) + np.random.randn() + random.random()  # noqa: NPY002
        x, y = X[i] + 0.01 * noise, Y[i]
        self.seen.append((i, float(x[0])))
        if self.form == "dict":
            return {"pixels": x, "label": y, "id": i}
        if self.form == "keywords":
            return {"a": x, "b": x, "labels": y, "id": i}
        if self.form == "two":
            return x, x, y
        return (x, y, i) if self.form == "triple" else (x, y)


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(X[i], Y[i]) for i in range(N)])


class Tupled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x: Tensor) -> Any:
        return self.net(x), x


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.net(a) + self.net(b)


class Language(nn.Module):
    """A causal language model that shifts its labels itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.last = nn.Embedding(11, 6), nn.Linear(6, 11)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None, **_: Any) -> Any:
        logits = self.last(torch.tanh(self.embed(input_ids)))
        if labels is None:
            return {"logits": logits}
        shifted = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        return {"loss": nn.functional.cross_entropy(*shifted), "logits": logits}


class Hidden(Language):
    """One whose loss no usual loss of its logits gives."""

    def forward(self, input_ids: Tensor, labels: Tensor | None = None, **_: Any) -> Any:
        found = super().forward(input_ids, labels)
        if labels is not None:
            found["loss"] = found["loss"] + 1e-2 * self.embed.weight.square().sum()
        return found


class Stepped(nn.Module):
    """A module in the manner of Lightning."""

    def __init__(self, optimizers: int = 1) -> None:
        super().__init__()
        self.net, self.count = net(), optimizers

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        return {"loss": nn.functional.cross_entropy(self(x), y)}

    def configure_optimizers(self) -> Any:
        made = [Adam(self.parameters(), lr=1e-3) for _ in range(self.count)]
        if self.count > 1:
            return made
        return {"optimizer": made[0], "lr_scheduler": LambdaLR(made[0], lambda step: 1.0)}


class DataModule:
    def __init__(self) -> None:
        self.ready = False

    def setup(self, stage: str) -> None:
        self.ready = stage == "fit"

    def train_dataloader(self) -> DataLoader:
        assert self.ready
        return DataLoader(Items(), batch_size=16, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Items(), batch_size=16)


class GraphData:
    def __init__(self, **held: Any) -> None:
        vars(self).update(held)

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


class GraphNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, data: Any) -> Tensor:
        source, target = data.edge_index
        return self.net(data.x.index_add(0, target, data.x[source]))


@dataclass
class Batch:
    inputs: Tensor
    y: Tensor


def graphs() -> list[Any]:
    edges = torch.randint(0, 12, (2, 30), generator=torch.Generator().manual_seed(0))
    return [GraphData(x=X[i : i + 12], edge_index=edges, y=Y[i : i + 12]) for i in (0, 12, 24)]


class Graphs:
    def __iter__(self):
        return iter(graphs())

    def __len__(self) -> int:
        return 3


def tokens() -> list[dict[str, Tensor]]:
    return [{"input_ids": part, "attention_mask": torch.ones_like(part), "labels": part}
            for part in IDS.split(8)]  # fmt: skip


def loader(form: str = "pair", **options: Any) -> DataLoader:
    return DataLoader(Items(form), **{"batch_size": 16, "shuffle": True, **options})


class Named(NamedTuple):
    image: Tensor
    label: Tensor


@dataclass
class Held:
    image: Tensor
    label: Tensor
    at: list[int]


def held(batch: list[Any]) -> Held:
    """A collation into a class of one's own."""
    images, labels = zip(*batch, strict=True)
    return Held(torch.stack(images), torch.stack(labels), list(range(len(batch))))


def ragged(batch: list[Any]) -> Any:
    """Sequences padded to the longest of their batch."""
    rows = [IDS[i, : 2 + i % 3] for i, _ in batch]
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return {"input_ids": padded, "labels": padded}


# Model, data, further arguments, and whether curvature can be measured.
SCENARIOS: dict[str, tuple[Callable[[], Any], Callable[[], Any], dict[str, Any], bool]] = {
    "a loader that augments": (net, loader, {}, True),
    "a loader of dicts": (net, lambda: loader("dict"), {}, True),
    "a loader of triples": (net, lambda: loader("triple"), {}, True),
    "a loader of keywords": (Two, lambda: loader("keywords"), {}, True),
    "two inputs and a target": (Two, lambda: loader("two"), {}, True),
    "a loader of tensors": (net, lambda: DataLoader(TensorDataset(X, Y), 16, shuffle=True), {},
                            True),
    "loaders to train and to test on": (net, lambda: (loader(), loader()), {}, True),
    "a stream": (net, lambda: DataLoader(Stream(), 16), {}, True),
    "a data set of dicts": (net, lambda: Items("dict"), {}, True),
    "batches in a list": (net, lambda: [(X[:16], Y[:16]), (X[16:32], Y[16:32])], {}, True),
    "batches of a data class": (
        net, lambda: [[Batch(X[:16], Y[:16])]],
        {"split": lambda batch: (batch[0].inputs, batch[0].y)}, True),
    "functions of no argument": (lambda: net, lambda: lambda: loader(), {}, True),
    "a function of the examples": (
        lambda: lambda examples: nn.Linear(examples.x.shape[1], 2), loader, {}, True),
    "a tuple with forward": (Tupled, loader, {"forward": lambda model, x: model(x)[0]}, True),
    "a tuple in memory": (Tupled, lambda: (X, Y), {"forward": lambda model, x: model(x)[0]}, True),
    "a language model": (Language, tokens, {}, True),
    "a language model in memory": (Language, lambda: ({"input_ids": IDS}, IDS), {}, True),
    "a loss of its own kind": (Hidden, tokens, {}, False),
    "a loss of what the model returns": (
        Language, tokens, {"loss": lambda returned: returned["loss"]}, False),
    "padded batches": (Language, lambda: DataLoader(list(enumerate(range(24))), 8,
                                                    collate_fn=ragged), {}, True),
    "batches with names": (
        net, lambda: DataLoader([Named(*item) for item in Items()], 16), {}, True),
    "batches of a data class with names": (
        net, lambda: DataLoader(Items(), 16, collate_fn=held), {}, True),
    "a Lightning module": (Stepped, loader, {}, True),
    "a Lightning module and data module": (Stepped, DataModule, {}, True),
    "a Lightning module with a loss": (Stepped, loader, {"loss": nn.CrossEntropyLoss()}, True),
    "a graph network": (GraphNet, Graphs, {}, False),
    "half precision": (lambda: net().bfloat16(), lambda: (X.bfloat16(), Y), {}, True),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_rate_is_found(name: str) -> None:
    make, data, options, _ = SCENARIOS[name]
    found = suggest_lr(make(), data(), steps=12, budget="10m", **options)
    assert found.verdict != "none"
    assert found.steps == 12


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_diagnosis_ends_and_says_what_it_could_not_measure(name: str) -> None:
    make, data, options, measured = SCENARIOS[name]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = diagnose(make(), data(), steps=12, max_steps=12, budget="10m", **options)
    assert isinstance(found, Diagnosis)
    assert found.data["steps_run"] == 12
    said = [str(one.message) for one in told if "measures no " in str(one.message)]
    assert len(said) == (not measured)
    assert ("spectrum" in found.series) == measured
    assert "<html" in render([found.to_dict()])


def test_the_stable_limit_is_measured_on_graphs_as_a_whole(monkeypatch) -> None:
    monkeypatch.setattr(sys.modules[diagnose.__module__], "_MOST_OVERHEAD", math.inf)
    words = "measures no kernel or outputs: the nodes of a graph"
    with pytest.warns(RuntimeWarning, match=words) as told:
        found = diagnose(GraphNet(), Graphs(), steps=12, max_steps=12, budget="10m")
    assert told[0].filename == __file__
    assert found.series["sharpness"]["value"]
    stability = next(s for s in found.statements if s.name == "stability")
    assert stability.level == "info"


def test_the_loss_of_accumulated_batches_is_their_mean() -> None:
    halves = DataLoader(list(zip(X, Y, strict=True)), N // 2)
    found = diagnose(
        net(), halves, nn.CrossEntropyLoss(), accumulate=2, steps=4, max_steps=4, budget="10m"
    )
    whole = nn.functional.cross_entropy(net()(X), Y).item()
    # Means of halves and of the whole differ by the rounding of sums of 96 numbers.
    assert found.series["loss"]["value"][0] == pytest.approx(whole, rel=N * 1.2e-7)


def test_batches_are_those_of_the_loader() -> None:
    data = Items()
    found = suggest_lr(net(), DataLoader(data, 24, shuffle=True), steps=12, budget="10m")
    assert found.batch_size == 24
    told = diagnose(net(), DataLoader(data, 24, shuffle=True), steps=8, max_steps=8, budget="10m")
    assert (told.data["batch_size"], told.data["train"], told.data["test"]) == (24, N, 0)
    assert len({x for i, x in data.seen if i == 0}) > 1  # drawn anew at every pass


class Backwards(Sampler):
    def __iter__(self):
        return iter(range(N - 1, -1, -1))

    def __len__(self) -> int:
        return N


def test_sampler_collation_and_generators_are_the_loaders_own() -> None:
    generator = torch.Generator().manual_seed(5)
    data = Items()
    mine = DataLoader(data, 16, sampler=Backwards(), generator=generator)
    before = generator.get_state(), torch.get_rng_state(), random.getstate()
    numpys = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    first = [next(iter(Drawn(mine, 3)))[0] for _ in range(2)]
    assert torch.equal(*first)
    assert [i for i, _ in data.seen[:16]] == list(range(N - 1, N - 17, -1))
    assert not torch.equal(next(iter(Drawn(mine, 4)))[0], first[0])
    assert torch.equal(generator.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert random.getstate() == before[2]
    assert (np.random.get_state()[1] == numpys).all()  # type: ignore[index]  # noqa: NPY002


class Holding(Dataset):
    """Augments with generators of its own, one of them in a transform of a transform's."""

    def __init__(self) -> None:
        self.numbers, self.moves = np.random.default_rng(1), [Shift(random.Random(2))]

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        x = X[i] + float(self.numbers.normal())
        for move in self.moves:
            x = move(x)
        return x, Y[i]


class Shift:
    def __init__(self, draw: random.Random) -> None:
        self.draw = draw

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.draw.random()


class Counted(Sampler):
    """Shuffles a list of its own in place, and counts its passes."""

    def __init__(self) -> None:
        self.order, self.epoch = list(range(N)), 0
        self.mine = torch.Generator().manual_seed(3)

    def __iter__(self):
        self.epoch += 1
        self.order = [self.order[i] for i in torch.randperm(N, generator=self.mine)]
        return iter(self.order)

    def __len__(self) -> int:
        return N


def test_generators_of_samplers_and_data_are_left_where_they_stood() -> None:
    data, sampler = Holding(), Counted()
    mine = DataLoader(data, 16, sampler=sampler)

    def stands() -> tuple:
        numbers = data.numbers.bit_generator.state["state"]["state"]
        drawn = data.moves[0].draw.getstate(), sampler.mine.get_state().tolist()
        return numbers, *drawn, list(sampler.order), sampler.epoch

    before = stands()
    first = [next(iter(Drawn(mine, 3)))[0] for _ in range(2)]
    assert torch.equal(*first)
    assert not torch.equal(next(iter(Drawn(mine, 4)))[0], first[0])
    suggest_lr(net(), mine, nn.CrossEntropyLoss(), steps=12, budget="10m")
    suggest_lr(net(), data, nn.CrossEntropyLoss(), steps=12, budget="10m")  # taken into memory
    assert stands() == before


def test_a_sampler_that_can_be_gone_through_once_is_not_gone_through() -> None:
    once = iter(range(N))
    mine = DataLoader(TensorDataset(X, Y), 16, sampler=once)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a sampler that can be gone through again"):
        suggest_lr(net(), mine, nn.CrossEntropyLoss(), steps=12, budget="10m")
    assert next(once) == 0


@pytest.mark.parametrize("find", [suggest_lr, diagnose])
def test_a_network_that_draws_uses_up_no_random_numbers_of_the_program(find: Callable) -> None:
    class Draws(nn.Dropout):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (1 + 1e-3 * random.random() * self.training)

    model = nn.Sequential(Draws(0.2), net())
    before = states()
    find(model, (X, Y), nn.CrossEntropyLoss(), steps=12, budget="10m")
    assert states() == before


class Partly(nn.Module):
    """Notes which parts were in training mode while it trained, of all copies together."""

    modes: ClassVar[set] = set()

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.head = nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.modes.add((self.frozen.training, self.head.training))
        return self.head(self.frozen(x))


def test_a_part_that_is_frozen_is_trained_around() -> None:
    kept = Partly()
    kept.frozen.eval()
    Partly.modes.clear()
    suggest_lr(kept, (X, Y), nn.CrossEntropyLoss(), steps=12, budget="10m")
    assert Partly.modes == {(False, True)}
    diagnose(kept, (X, Y), nn.CrossEntropyLoss(), steps=12, budget="10m")
    assert Partly.modes == {(False, True)}
    assert (kept.training, kept.frozen.training) == (True, False)
    whole = Partly().eval()
    Partly.modes.clear()
    suggest_lr(whole, (X, Y), nn.CrossEntropyLoss(), steps=12, budget="10m")
    assert Partly.modes == {(True, True)}
    assert not whole.training


def test_trainings_in_one_order_share_what_was_loaded() -> None:
    data = Items()
    drawn = Drawn(DataLoader(data, 16), 0)
    for _ in range(3):
        batches = iter(drawn)
        for _ in range(4):
            next(batches)
    assert len(data.seen) == 4 * 16
    without = Drawn(DataLoader(data, 16), 0, keep=False)
    next(iter(without))
    assert len(data.seen) == 5 * 16


def test_workers_that_stay_are_left_to_their_owner() -> None:
    mine = loader(num_workers=1, persistent_workers=True)
    next(iter(Drawn(mine, 0, keep=False)))
    assert mine._iterator is None
    assert mine.persistent_workers


def test_nothing_of_the_users_is_changed() -> None:
    model, data = Stepped().eval(), loader()
    before = copy.deepcopy(model.state_dict())
    suggest_lr(model, data, steps=12, budget="10m")
    assert not model.training
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


def test_progress_is_told_from_the_beginning() -> None:
    told: list[tuple[str, float]] = []
    diagnose(net(), loader(), steps=8, max_steps=8, budget="10m",
             progress=lambda stage, done: told.append((stage, done)))  # fmt: skip
    assert told[0] == ("loading the data", 0.0)
    assert any(stage == "loading the data" and done > 0 for stage, done in told)


class Lionlike(Optimizer):
    """An optimizer with attributes of its own."""

    def __init__(self, params, lr: float = 0.01) -> None:
        self.beta, self.lock = 0.9, threading.Lock()
        super().__init__(params, {"lr": lr})

    def step(self, closure=None) -> None:
        with self.lock, torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(self.beta * group["lr"] * p.grad.sign())


class Sharp(SGD):
    """In the manner of SAM."""

    def first_step(self) -> None: ...

    def second_step(self) -> None: ...


class Closing(SGD):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is not None, "this optimizer requires a closure"


def test_an_optimizer_with_attributes_of_its_own_is_raced() -> None:
    model = net()
    groups = [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[2].parameters()}]
    optimizer = Lionlike(groups, lr=0.02)
    scheduler = LambdaLR(optimizer, lambda step: 1.0)
    found = suggest_lr(model, loader(), None, optimizer, steps=12, budget="10m")
    assert found.optimizer == "Lionlike"
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.02]
    assert scheduler.last_epoch == 0
    told = diagnose(model, loader(), None, optimizer, steps=8, max_steps=8, budget="10m")
    assert told.advice["optimizer"] == "Lionlike"


class Breaks(Items):
    def __getitem__(self, i: int) -> Any:
        if i == 40:
            raise OSError("file 40 is gone")
        return super().__getitem__(i)


def traced() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(net(), X)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "optimizer for loss": (
        lambda: suggest_lr(net(), (X, Y), SGD(net().parameters(), lr=1.0), nn.MSELoss()),
        r"`suggest_lr\(model, data, loss, optimizer\)` expected a loss in third place, got an opt"),
    "loss for optimizer": (
        lambda: diagnose(net(), (X, Y), None, nn.MSELoss()),
        r"expected an optimizer in fourth place, got a loss \(MSELoss\)"),
    "data for model": (lambda: diagnose(loader(), net()), "a model in first place, got data"),
    "loss for model": (lambda: suggest_lr(nn.MSELoss(), (X, Y)), "got a loss"),
    "optimizer for model": (
        lambda: suggest_lr(SGD(net().parameters(), lr=1.0), (X, Y)), "got an optimizer"),
    "data for loss": (
        lambda: suggest_lr(net(), nn.functional.cross_entropy, (X, Y)), "third place, got data"),
    "a loss for data": (
        lambda: diagnose(net(), nn.functional.cross_entropy),
        r"diagnose\(data=...\)` expected a function of no argument, got one that asks for input"),
    "a function of none for an optimizer": (
        lambda: suggest_lr(net(), (X, Y), None, lambda: SGD(net().parameters(), lr=1.0)),
        "that makes one of parameters, got TypeError"),
    "a compiled module": (
        lambda: suggest_lr(traced(), (X, Y)),
        "a module in Python, of which copies are trained"),
    "sparse gradients to clip": (
        lambda: suggest_lr(
            nn.Sequential(nn.Embedding(11, 2, sparse=True), nn.Flatten()), (IDS, IDS[:, 0] % 10),
            None, None, clip_norm=1.0,
        ), "that make a training step of 24 examples, got NotImplementedError"),
    "a closure": (
        lambda: suggest_lr(net(), (X, Y), None, LBFGS(net().parameters())),
        "step\\(\\) needs no closure, got LBFGS"),
    "a closure of another": (
        lambda: suggest_lr(net(), (X, Y), None, lambda p: Closing(p, lr=1.0)),
        "step\\(\\) needs no closure, got AssertionError"),
    "two steps": (
        lambda: diagnose(net(), (X, Y), None, lambda p: Sharp(p, lr=1.0)),
        "takes a step by one gradient, got Sharp, which takes two"),
    "an optimizer of another model": (
        lambda: suggest_lr(net(), (X, Y), None, SGD(net().parameters(), lr=1.0)),
        "over parameters of the model"),
    "a tuple without forward": (
        lambda: suggest_lr(Tupled(), loader()), r"forward=lambda model, x: model\(x\)\[0\]"),
    "a tuple without forward in memory": (
        lambda: diagnose(Tupled(), (X, Y)), r"forward=lambda model, x: model\(x\)\[0\]"),
    "batches of three with weights": (
        lambda: suggest_lr(net(), DataLoader(TensorDataset(X, Y, X[:, 0]), 8)),
        "pass split=lambda batch"),
    "batches without targets": (
        lambda: suggest_lr(net(), DataLoader(X, 8)), r"split=lambda batch: \(inputs, targets\)"),
    "a loader of length 0": (
        lambda: diagnose(net(), DataLoader(Items(), 200, drop_last=True)), "a loader of length 0"),
    "a loader that gives nothing": (
        lambda: suggest_lr(net(), DataLoader(Items(n=0), 8)), "a loader of length 0"),
    "a loader that raises in the middle": (
        lambda: suggest_lr(net(), DataLoader(Breaks(), 16), steps=12),
        "expected a loader that gives batches, got OSError: file 40 is gone"),
    "an iterator": (
        lambda: suggest_lr(net(), iter([(X, Y)]), steps=12), r"list\(batches\) makes one"),
    "epochs of a stream": (
        lambda: suggest_lr(net(), DataLoader(Stream(), 8), epochs=2), "steps= instead"),
    "epochs of a stream, diagnosed": (
        lambda: diagnose(net(), DataLoader(Stream(), 8), epochs=2), "steps= instead"),
    "a batch size beside a loader": (
        lambda: suggest_lr(net(), loader(), batch_size=8), "None, as the loader has its own"),
    "several optimizers of Lightning": (
        lambda: suggest_lr(Stepped(2), loader()), "a module with one optimizer, got 2"),
    "a split that is none": (
        lambda: suggest_lr(net(), loader(), split=7), "expected a function of a batch, got 7"),
    "a split for arrays": (
        lambda: suggest_lr(net(), (X, Y), split=tuple), "splits the batches of a loader"),
    "targets that a loss spreads over outputs": (
        lambda: suggest_lr(
            nn.Linear(4, 1), DataLoader(TensorDataset(X, X[:, 0]), 8), nn.MSELoss()
        ), r"Hint: give both one shape: targets as y\[:, None\]"),
    "a loader without a model": (lambda: suggest_lr(None, loader()), "a model for the batches"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_named_in_a_line(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=words) as raised:
        call()
    assert str(raised.value).startswith(("`suggest_lr(", "`diagnose("))


SPEC = """
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

class Items(Dataset):
    def __len__(self): return 96
    def __getitem__(self, i):
        x = torch.randn(4, generator=torch.Generator().manual_seed(i))
        return {"pixels": x + 0.01 * torch.randn(4), "label": int(x[0] > 0)}

class Tupled(nn.Linear):
    def forward(self, x): return super().forward(x), x

MODEL
def data(): return DataLoader(Items(), batch_size=24, shuffle=True)
def forward(model, x): return model(x)[0]
"""


@pytest.mark.parametrize(
    "made",
    ["def model(): return Tupled(4, 2)", "def model(data): return Tupled(data.x.shape[1], 2)"],
)
def test_the_command_line_takes_the_loader_of_a_specification(made, tmp_path, capsys) -> None:
    path = tmp_path / "spec.py"
    path.write_text(SPEC.replace("MODEL", made))
    for command in ("lr", "diagnose"):
        numbers = tmp_path / f"{command}.json"
        words = [command, str(path), "--budget", "5m", "--steps", "12", "--json", str(numbers)]
        assert main(words) == 0, capsys.readouterr().err
        found = json.loads(numbers.read_text(encoding="utf-8"))
        size = found["batch_size"] if command == "lr" else found["data"]["batch_size"]
        assert size == 24


def test_a_list_of_graphs_is_a_list_of_batches() -> None:
    found = suggest_lr(GraphNet(), graphs()[:2], steps=12, budget="10m")
    assert found.batch_size == 12


def test_settings_of_mass_come_from_batches_of_any_form() -> None:
    batches = [{"a": x, "b": x, "labels": y} for x, y in zip(X.split(48), Y.split(48), strict=True)]
    optimizer = mass_for_model(Two(), nn.functional.cross_entropy, batches, probe_steps=3)
    assert optimizer.defaults["lr"] > 0


def test_a_language_model_of_transformers_brings_its_loss() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, vocab_size=11, n_positions=8, bos_token_id=0, eos_token_id=0
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).eval()
    batches = [transformers.BatchEncoding(batch) for batch in tokens()]
    found = diagnose(model, batches, steps=12, max_steps=12, budget="10m")
    assert found.data["loss"] == "the loss of GPT2LMHeadModel"
    assert found.data["train"] == 24
    assert found.advice["limit_at_initialisation"] > 0
    assert not model.training


def test_a_module_of_lightning_brings_loss_optimizer_and_data() -> None:
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=0.125)
            return [optimizer], [LambdaLR(optimizer, lambda step: 1.0)]

    class Data(lightning.LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return loader()

    found = diagnose(Module(), Data(), steps=12, max_steps=12, budget="10m")
    assert found.data["loss"] == "training_step"
    assert found.advice["optimizer"] == "SGD"
    assert found.advice["limit_at_initialisation"] > 0
    assert set(found.series["lr"]["value"]) == {0.125}  # the run is at the rate in use
