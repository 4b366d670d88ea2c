"""The table of loops: what Lightning trains, and how."""

import math
import warnings

import pytest
import torch
from torch import nn

lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
from lightning.pytorch.plugins import MixedPrecision  # noqa: E402
from loops import EARLY, TIED, check, watched_and_not  # noqa: E402

from overparam.dynamics.probes import Norms  # noqa: E402
from overparam.integrations.lightning import LightningMonitor  # noqa: E402

MSE = nn.functional.mse_loss
pytestmark = pytest.mark.filterwarnings("ignore")
GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(20, 6, generator=GENERATOR), torch.randn(20, 1, generator=GENERATOR)
BATCHES = torch.utils.data.TensorDataset(X, Y)
NONE = ("sharpness", "batch", "split", "kernel", "inputs")


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return {"features": X[i], "target": Y[i]}


class Module(lightning.LightningModule):
    """What most have; the losses that were trained on are kept beside it."""

    def __init__(self, **options) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
        self.options, self.seen, self.scales = options, [], []

    def forward(self, x):
        return self.net(x)

    def value(self, batch):
        x, y = (batch["features"], batch["target"]) if isinstance(batch, dict) else batch
        value = MSE(self(x).float(), y)
        self.seen.append(float(value))
        return value

    def training_step(self, batch, index):
        return self.value(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, **self.options)


class Convolutional(Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Dropout(0.2), nn.Flatten(), nn.Linear(48, 1),
        )  # fmt: skip

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9)]


class Tuples(Module):
    def forward(self, x):
        return self.net(x), x

    def value(self, batch):
        value = MSE(self(batch[0])[0], batch[1])
        self.seen.append(float(value))
        return value


class Manual(Module):
    """Accumulates by hand, three batches a step; `divide` as one should."""

    divide = True

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, index):
        optimizer = self.optimizers()
        value = self.value(batch)
        self.manual_backward(value / 3 if self.divide else value)
        if index % 3 == 2 or self.trainer.is_last_batch:
            optimizer.step()
            optimizer.zero_grad()


class Undivided(Manual):
    divide = False


class Silent(Manual):
    """Goes round Lightning, which then tells nobody."""

    def training_step(self, batch, index):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.value(batch).backward()
        optimizer.step()


class Adversarial(Manual):
    """Two optimizers that take turns; the second one's loss comes to the first one's weights."""

    first = True  # whether the generator comes first

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Linear(1, 1)

    def generate(self, batch, optimizer):
        optimizer.zero_grad()
        value = MSE(self.critic(self(batch[0])), batch[1])
        self.seen.append(float(value))
        self.manual_backward(value)
        optimizer.step()

    def criticise(self, batch, optimizer):
        optimizer.zero_grad()
        fake = self(batch[0]) if self.first else self(batch[0]).detach()
        self.manual_backward((MSE(self.critic(fake), batch[1]) + 100) / 2)
        optimizer.step()

    def training_step(self, batch, index):
        of_net, of_critic = self.optimizers()
        turns = [(self.generate, of_net), (self.criticise, of_critic)]
        for turn, optimizer in turns if self.first else turns[::-1]:
            turn(batch, optimizer)

    def configure_optimizers(self):
        return [torch.optim.SGD(m.parameters(), lr=0.1) for m in (self.net, self.critic)]


class CriticFirst(Adversarial):
    first = False


def half(scale=2.0**16, **options):
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, **options)
    return {"plugins": [MixedPrecision("16-mixed", "cpu", scaler=scaler)]}


def fit(module, callbacks, *, data=BATCHES, limit=2, epochs=1, checkpoint=None, **options):
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, callbacks=callbacks,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        limit_train_batches=limit, **options,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    trainer.fit(module, loader, ckpt_path=checkpoint)
    return trainer


def loop(make, given=None, **options):
    def run(watch):
        torch.manual_seed(0)
        module = make()
        callback = LightningMonitor(MSE, max_overhead=math.inf, **(given or {}))
        made = {name: v() if callable(v) else v for name, v in options.items()}
        plugins = made.pop("precision_plugin", {})
        fit(module, [callback] * watch, **made, **plugins)
        run.module = module
        return module.state_dict(), callback.monitor

    return run


def split(batch):
    return batch["features"], batch["target"]


SPLIT = {"split": split}
FIRST = {"forward": lambda model, x: model(x)[0]}
TABLE = {
    "plain": (Module, {}, {}, {}),
    "convolutions, batch norm, schedule": (Convolutional, {}, {}, TIED | EARLY),
    "batches by name": (Module, SPLIT, {"data": Rows()}, {}),
    "batches by name, not split": (
        Module, {}, {"data": Rows()},
        dict.fromkeys(NONE, r"dict with features, target.*split=lambda batch"),
    ),
    "outputs in tuples": (Tuples, FIRST, {}, {}),
    "bf16-mixed": (Module, {}, {"precision": "bf16-mixed"}, {}),
    "16-mixed": (Module, {}, {"precision_plugin": half}, {}),
    "16-mixed, fused": (lambda: Module(fused=True), {}, {"precision_plugin": half}, {}),
    "gradients clipped": (Module, {}, {"gradient_clip_val": 0.1}, {}),
    "optimized by hand": (Adversarial, {}, {}, {}),
    "the other optimizer first": (CriticFirst, {}, {}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_the_loss_is_the_one_trained_on_and_nothing_changes(name):
    make, given, options, empty = TABLE[name]
    run = loop(make, given, **options)
    history = check(run, empty)
    assert history["loss"].tolist() == pytest.approx(
        run.module.seen, rel=1e-2 if "16" in name else 1e-6
    )


@pytest.mark.parametrize("fused", [True, False])
def test_neither_loss_nor_gradient_carries_a_scale(fused):
    given = {"probes": [Norms()]}
    plain = loop(lambda: Module(fused=fused), given)
    # It doubles at every step, and stays where nothing overflows.
    scaled = loop(lambda: Module(fused=fused), given,
                  precision_plugin=lambda: half(2.0**6, growth_interval=1))  # fmt: skip
    _, expected = plain(True)
    _, monitor = scaled(True)
    for column in ("loss", "grad_norm"):
        values = monitor.history[column].tolist()
        assert values == pytest.approx(expected.history[column].tolist(), rel=1e-2), column
    assert monitor.events == []


@pytest.mark.parametrize(
    ("make", "options"),
    [(Module, {"accumulate_grad_batches": 3}), (Manual, {}), (Undivided, {})],
)
def test_of_accumulated_batches_the_mean_is_recorded_in_a_short_last_group_too(make, options):
    run = loop(make, {"probes": []}, limit=5, **options)
    monitor, _ = watched_and_not(run)
    seen = run.module.seen
    means = [sum(seen[:3]) / 3, sum(seen[3:]) / 2]
    assert monitor.history["loss"].tolist() == pytest.approx(means, rel=1e-6)


def test_a_run_that_tells_nothing_is_said_to_once():
    monitor, said = watched_and_not(loop(Silent, {"probes": []}))
    assert len(monitor.history) == 0
    assert said.count("was told of no loss in this run") == 1
    assert "self.manual_backward(loss)" in said


class Stops(lightning.Callback):
    def on_train_batch_end(self, *given):
        raise RuntimeError("the disk is full")


def test_the_record_of_a_run_that_is_broken_off_is_complete(tmp_path):
    callback = LightningMonitor(MSE, probes=[], file=tmp_path / "run.jsonl")
    module = Module()
    with pytest.raises(RuntimeError, match="disk is full"):
        fit(module, [callback, Stops()])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert len(callback.monitor.history) == 1
    # The file is free for the next run at once.
    again = LightningMonitor(MSE, probes=[], file=tmp_path / "run.jsonl")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fit(Module(), [again])
    assert len(again.monitor.history) == 2


def test_a_checkpoint_is_gone_on_from_once(tmp_path):
    first = LightningMonitor(MSE, probes=[])
    trainer = fit(Module(), [first])
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    callback = LightningMonitor(MSE, probes=[])
    fit(Module(), [callback], epochs=2, checkpoint=tmp_path / "run.ckpt")
    assert len(callback.monitor.history) == 4
    fit(Module(), [callback])
    assert len(callback.monitor.history) == 2


def test_a_run_with_nothing_left_to_do_is_not_said_to_tell_nothing(tmp_path):
    fit(Module(), [LightningMonitor(MSE, probes=[])]).save_checkpoint(tmp_path / "run.ckpt")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        callback = LightningMonitor(MSE, probes=[])
        fit(Module(), [callback], checkpoint=tmp_path / "run.ckpt")
