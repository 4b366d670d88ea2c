"""A monitor, and a finder of learning rates, as callbacks of Lightning's Trainer."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from overparam._errors import expect
from overparam._extras import absent
from overparam._progress import Progress
from overparam._switches import quietly
from overparam._types import Loss
from overparam.diagnosis.budget import parse_budget
from overparam.diagnosis.race.recipe import recipe_of_loader
from overparam.diagnosis.race.run import Clock
from overparam.diagnosis.scheduled import peak_rates, rescale
from overparam.diagnosis.suggested_rate import SuggestedRate, find_rate
from overparam.diagnosis.task import Schedule
from overparam.dynamics.monitor import Monitor
from overparam.dynamics.sinks import Sink, as_function, finite
from overparam.integrations.accumulated import Accumulated, depends_on, divisor
from overparam.integrations.watched import Watched

try:
    from lightning.pytorch import Callback
    from lightning.pytorch.utilities import rank_zero_info
except ImportError as problem:
    raise absent("overparam.integrations.lightning", "lightning", "lightning") from problem


_NOTHING = (
    "was told of no loss in this run, and records nothing: in manual optimization call "
    "self.manual_backward(loss) instead of loss.backward(), and step what self.optimizers() gives"
)


class LightningMonitor(Callback):
    """Watch a Lightning run; numbers go to its loggers under ``dyn/``.

    The monitor is called before every optimizer step, with the gradients not yet clipped;
    accumulated batches are one step, whose loss is their mean. Loss and gradient norm are
    recorded without the loss scale of mixed precision. With several optimizers the first is
    watched, with the losses whose backward passes come to its parameters. In manual optimization
    it needs `self.manual_backward(loss)` and the optimizers of `self.optimizers()`: Lightning
    tells of nothing else.

    Args:
        loss: `loss(outputs, targets)`, as `training_step` uses it.
        split: ``split(batch)`` makes (inputs, targets) of a batch of the loader; a pair is taken
            as it is. Without either there are no measurements that need data, and one warning.
        sink: Where numbers go besides the loggers.
        options: Everything else that `Monitor` takes.

    Attributes:
        monitor: The monitor, once training has begun.

    Example:
        ::

            trainer = Trainer(callbacks=[LightningMonitor(nn.functional.mse_loss)])
    """

    def __init__(
        self,
        loss: Loss,
        *,
        split: Callable[[Any], tuple[Any, Any]] | None = None,
        sink: Sink | None = None,
        **options: Any,
    ) -> None:
        self.loss, self.split, self.options = loss, split, options
        self.monitor: Monitor | None = None
        self._also = None if sink is None else as_function(sink)
        self._saved: dict[str, Any] | None = None
        self._losses = Accumulated()
        self._batch: Any = None
        self._watched = Watched("LightningMonitor")
        self._begun = 0  # steps of the run before

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the monitor, or go on with the one of the checkpoint."""

        def log(numbers: dict[str, float], step: int) -> None:
            named = {f"dyn/{name}": value for name, value in finite(numbers).items()}
            for logger in trainer.loggers:
                logger.log_metrics(named, step=step)
            if self._also is not None:
                self._also(numbers, step)

        self._losses, self._watched = Accumulated(), Watched("LightningMonitor")
        self._begun = trainer.global_step
        options = {"grad_scale": _scaler(trainer), **self.options}
        self.monitor = Monitor(pl_module, self.loss, trainer.optimizers[0], sink=log, **options)
        saved, self._saved = self._saved, None
        if saved is not None:
            self.monitor.load_state_dict(saved)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the batch until its optimizer step."""
        self._batch = batch

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """Keep the loss."""
        value, scaler = loss.detach(), _scaler(trainer)
        if scaler is not None:
            value = value / scaler.scale(torch.ones_like(value))
        if pl_module.automatic_optimization:
            # Divided by the number of batches in a whole group, also in one that is cut short.
            self._losses.add(value * trainer.accumulate_grad_batches)
            return
        groups = trainer.optimizers[0].param_groups
        if all(p.grad is None for group in groups for p in group["params"]):
            self._losses.clear()
        several = len(trainer.optimizers) > 1
        self._losses.add(
            value,
            divisor=divisor(loss, scaled=scaler is not None),
            own=not several or depends_on(loss, (p for g in groups for p in g["params"])),
        )

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Take the step."""
        if self.monitor is None:
            return
        if optimizer is not trainer.optimizers[0]:
            self._losses.other_stepped()
            return
        value = self._losses.mean()
        if value is not None:
            self._watched.step(self.monitor, value, lambda: self._pair(self._batch))
        elif not pl_module.automatic_optimization:
            self._watched.say(_NOTHING)

    def _pair(self, batch: Any) -> tuple[Any, Any]:
        """Inputs and targets of a batch."""
        if self.split is not None:
            return self.split(batch)
        pair = isinstance(batch, (tuple, list)) and len(batch) == 2
        known = f" with {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else ""
        expect(
            pair, "LightningMonitor(split=None)", "batches that are pairs (inputs, targets)",
            f"a {type(batch).__name__}{known}", "pass split=lambda batch: (inputs, targets).",
            error=TypeError,
        )  # fmt: skip
        return batch[0], batch[1]

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the epoch."""
        if self.monitor is not None:
            self.monitor.epoch_end()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Complete the record."""
        trained = trainer.global_step > self._begun
        if self.monitor is not None and not self._watched.steps and trained:
            self._watched.say(_NOTHING)
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Complete the record of a run that was broken off."""
        self._close()

    def _close(self) -> None:
        self._losses, self._batch = Accumulated(), None
        if self.monitor is not None:
            self.monitor.close()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {} if self.monitor is None else {"monitor": self.monitor.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From a checkpoint, before training begins."""
        self._saved = state_dict.get("monitor")


class LightningRateFinder(Callback):
    """Find the learning rate before training starts, by a race, and set it.

    Copies of the module train with its own `training_step`, optimizer, batches, accumulation and
    clipping, and in the modes that its parts are in, as Lightning trains them. Schedulers of
    `configure_optimizers` are not raced with, since nothing says how they are to be laid out for a
    shorter training; give `schedule` for that. Ctrl+C ends the race: the best rate so far is set, a
    line says so, and training begins; once more ends that.

    Args:
        budget: Time for everything.
        schedule: `schedule(optimizer, steps)` makes a scheduler that is stepped every step.
        longest: Steps of the longest trainings that are compared.
        update: Whether to set the rate; groups keep their proportions.
        seed: Of batches and random layers.
        progress: As everywhere.

    Attributes:
        found: The `SuggestedRate`, once training has begun.

    Example:
        ::

            finder = LightningRateFinder(budget="2m")
            Trainer(max_epochs=10, callbacks=[finder]).fit(module, loader)
            print(finder.found.summary())
    """

    def __init__(
        self,
        *,
        budget: str | float = "60s",
        schedule: Schedule | None = None,
        longest: int | None = None,
        update: bool = True,
        seed: int = 0,
        progress: Progress = True,
    ) -> None:
        self.seconds = parse_budget(budget, "LightningRateFinder")
        self.schedule, self.longest, self.update = schedule, longest, update
        self.seed, self.progress = seed, progress
        self.found: SuggestedRate | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Race, unless training goes on from a checkpoint."""
        if trainer.global_step:
            return
        expect(
            pl_module.automatic_optimization and len(trainer.optimizers) == 1,
            "LightningRateFinder", "one optimizer, stepped by Lightning",
            f"{len(trainer.optimizers)}, automatic_optimization={pl_module.automatic_optimization}",
            hint="use overparam.suggest_lr with a loss.",
        )  # fmt: skip
        clock = Clock()
        trainer.fit_loop.setup_data()
        loader, optimizer = trainer.train_dataloader, trainer.optimizers[0]
        optimizer = getattr(optimizer, "optimizer", optimizer)
        clipped = trainer.gradient_clip_val if trainer.gradient_clip_algorithm != "value" else None
        with quietly():  # a step without a trainer says that it logs nothing
            recipe = recipe_of_loader(
                pl_module, optimizer, partial(_loss_of, trainer), loader, schedule=self.schedule,
                clip_norm=clipped, accumulate=trainer.accumulate_grad_batches,
            )  # fmt: skip
            planned = trainer.estimated_stepping_batches
            self.found = find_rate(
                recipe, int(planned) if math.isfinite(planned) and planned > 0 else None,
                budget=self.seconds, batch_size=getattr(loader, "batch_size", None) or 1,
                given=max(peak_rates(optimizer)), longest=self.longest, seed=self.seed, clock=clock,
                progress=self.progress,
            )  # fmt: skip
        known = math.isfinite(self.found.rate)
        if self.found.stopped == "interrupted":
            best = f"the best rate so far is {self.found.rate:.3g}" if known else "there is no rate"
            rank_zero_info(
                f"LightningRateFinder was interrupted: {best}. Training begins; Ctrl+C once more "
                "ends it."
            )
        if self.update and known:
            schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
            rescale(optimizer, schedulers, self.found.rate)


def _scaler(trainer: Any) -> Any:
    """What scales the losses of mixed precision in half precision; nothing elsewhere."""
    return getattr(trainer.precision_plugin, "scaler", None)


def _loss_of(trainer: Any, module: Any, batch: Any) -> Tensor:
    """What `training_step` gives for a batch, on the module's device."""
    batch = trainer.strategy.batch_to_device(batch, module.device)
    output = module.training_step(batch, 0)
    return output["loss"] if isinstance(output, Mapping) else output
