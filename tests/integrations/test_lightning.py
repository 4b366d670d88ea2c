"""A monitor in a run of Lightning."""

import math
import warnings

import pandas as pd
import pytest
import torch
from torch import nn

lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
from lightning.pytorch.loggers import CSVLogger  # noqa: E402

from overparam.integrations.lightning import LightningMonitor, LightningRateFinder  # noqa: E402

MSE = nn.functional.mse_loss
pytestmark = pytest.mark.filterwarnings("ignore")


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        value = MSE(self(batch[0]), batch[1])
        self.log("train_loss", value)
        return value

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, callbacks, *, epochs=2, accumulate=2, checkpoint=None):
    lightning.seed_everything(0, verbose=False)
    data = torch.utils.data.TensorDataset(torch.randn(32, 6), torch.randn(32, 1))
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=CSVLogger(folder), callbacks=callbacks,
        accumulate_grad_batches=accumulate, log_every_n_steps=1, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=0.5,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, loader, ckpt_path=checkpoint)
    return module, trainer


def test_numbers_are_in_the_logger_s_file_and_nothing_else_changes(tmp_path):
    callback = LightningMonitor(MSE, max_overhead=math.inf)
    plain, _ = fit(tmp_path / "plain", [])
    watched, trainer = fit(tmp_path / "watched", [callback])
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
    written = pd.read_csv(f"{trainer.logger.log_dir}/metrics.csv")
    rows = written.dropna(subset="dyn/sharpness")
    history = callback.monitor.history
    assert len(history) == 8  # two epochs of eight batches, two of them a step
    assert rows["step"].tolist() == list(range(8))
    assert rows["dyn/sharpness"].tolist() == pytest.approx(history["sharpness"].tolist())
    assert "train_loss" in written


def test_the_loss_of_accumulated_batches_is_their_mean(tmp_path):
    callback = LightningMonitor(MSE, max_overhead=math.inf)
    fit(tmp_path, [callback], epochs=1, accumulate=8)
    lightning.seed_everything(0, verbose=False)
    x, y = torch.randn(32, 6), torch.randn(32, 1)
    fresh = Module().train()
    losses = [MSE(fresh(a), b) for a, b in zip(x.split(4), y.split(4), strict=True)]
    assert callback.monitor.history["loss"][0] == pytest.approx(
        float(torch.stack(losses).mean()),
        rel=0.2,  # dropout draws differently
    )


def test_a_checkpoint_carries_the_history_on(tmp_path):
    first = LightningMonitor(MSE, max_overhead=math.inf)
    _, trainer = fit(tmp_path / "first", [first], epochs=1)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    second = LightningMonitor(MSE, max_overhead=math.inf)
    fit(tmp_path / "second", [second], epochs=2, checkpoint=tmp_path / "run.ckpt")
    assert len(second.monitor.history) == 8
    assert second.monitor.history["sharpness"].notna().all()


class Chosen(lightning.Callback):
    """Keeps the rate and the weights that training starts with."""

    def on_train_start(self, trainer, pl_module) -> None:
        self.rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.weights = {name: value.clone() for name, value in pl_module.state_dict().items()}


def test_a_rate_is_found_and_set_before_training_begins(tmp_path):
    finder, chosen, plain = LightningRateFinder(budget="10m", progress=False), Chosen(), Chosen()
    fit(tmp_path / "plain", [plain], epochs=8)
    fit(tmp_path / "found", [finder, chosen], epochs=8)
    assert finder.found.planned_steps == finder.found.steps == 8 * 4
    assert chosen.rate == finder.found.rate
    assert all(torch.equal(v, plain.weights[k]) for k, v in chosen.weights.items())


def test_a_scheduler_of_the_module_s_starts_from_the_rate_that_is_set(tmp_path):
    class Scheduled(Module):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    data = torch.utils.data.TensorDataset(torch.randn(32, 6), torch.randn(32, 1))
    finder = LightningRateFinder(budget="10m", progress=False)
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, callbacks=[finder],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Scheduled(), torch.utils.data.DataLoader(data, batch_size=4))
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == pytest.approx(finder.found.rate / 8, rel=1e-12)


def one_cycle(optimizer):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=24, pct_start=0.5)


def first_half_then_whole(optimizer):
    low = torch.optim.lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=100)
    whole = torch.optim.lr_scheduler.ExponentialLR(optimizer, 1.0)
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [low, whole], milestones=[12])


@pytest.mark.parametrize(("schedule", "last"), [(one_cycle, 4e-6), (first_half_then_whole, 1.0)])
def test_a_scheduler_that_keeps_rates_of_its_own_goes_up_to_the_one_that_is_set(
    tmp_path, schedule, last
):
    class Scheduled(Module):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            return [optimizer], [{"scheduler": schedule(optimizer), "interval": "step"}]

    class Rates(lightning.Callback):
        def __init__(self) -> None:
            self.seen = []

        def on_before_optimizer_step(self, trainer, module, optimizer):
            self.seen.append(optimizer.param_groups[0]["lr"])

    data = torch.utils.data.TensorDataset(torch.randn(32, 6), torch.randn(32, 1))
    finder, rates = LightningRateFinder(budget="10m", progress=False), Rates()
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, callbacks=[finder, rates],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Scheduled(), torch.utils.data.DataLoader(data, batch_size=4))
    # What was written down is judged, and not where the schedule begins.
    assert "rate in use, 0.1" in finder.found.summary()
    assert max(rates.seen) == pytest.approx(finder.found.rate, rel=1e-9)
    assert rates.seen[-1] == pytest.approx(last * finder.found.rate, rel=1e-2)


def test_parts_that_are_frozen_stay_so_and_an_interrupted_race_is_told(tmp_path):
    seen, said = [], []

    class Frozen(Module):
        def __init__(self) -> None:
            super().__init__()
            self.net[2].eval()

        def training_step(self, batch, index):
            seen.append((self.training, self.net[2].training))
            if len(seen) == 5:
                raise KeyboardInterrupt
            return super().training_step(batch, index)

    data = torch.utils.data.TensorDataset(torch.randn(32, 6), torch.randn(32, 1))
    finder, module = LightningRateFinder(budget="10m", progress=False), Frozen()
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, callbacks=[finder],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("overparam.integrations.lightning.rank_zero_info", said.append)
        trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=4))
    assert finder.found.stopped == "interrupted"
    assert "there is no rate. Training begins" in said[0]
    assert trainer.global_step == 16
    assert set(seen) == {(True, False)}
    assert not module.net[2].training


def test_a_module_that_steps_by_itself_is_refused(tmp_path):
    class Own(Module):
        automatic_optimization = False

    data = torch.utils.data.TensorDataset(torch.randn(32, 6), torch.randn(32, 1))
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, callbacks=[LightningRateFinder()],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match="`LightningRateFinder` expected one optimizer"):
        trainer.fit(Own(), torch.utils.data.DataLoader(data, batch_size=4))
