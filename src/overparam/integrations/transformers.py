"""A monitor, and a finder of learning rates, for the Trainer of Hugging Face Transformers."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from overparam._batch import on_device
from overparam._errors import expect
from overparam._extras import absent
from overparam._own_loss import token_cross_entropy
from overparam._progress import Progress
from overparam._training_mode import put_into_training
from overparam._types import Loss
from overparam.diagnosis.budget import parse_budget
from overparam.diagnosis.race.recipe import recipe_of_loader
from overparam.diagnosis.race.run import Clock
from overparam.diagnosis.suggested_rate import SuggestedRate, find_rate
from overparam.dynamics.monitor import Monitor
from overparam.dynamics.sinks import Sink, as_function, finite
from overparam.integrations.trainer_loss import TrainerLoss, trainer_loss
from overparam.integrations.watched import Watched

try:
    from transformers import TrainerCallback, get_scheduler
except ImportError as problem:
    raise absent("overparam.integrations.transformers", "transformers", "transformers") from problem

__all__ = ["TransformersMonitor", "suggest_trainer_lr", "token_cross_entropy"]

_FILE = "overparam-monitor.pt"
_NOTHING = (
    "was told of no loss in this run, and records nothing: it hears what `training_step` returns "
    "where Trainer.train() calls it; make a Monitor in a loop of your own"
)


class TransformersMonitor(TrainerCallback):
    """Watch a Trainer's run; numbers go to `trainer.state.log_history` under ``dyn/``.

    The loss recorded is the one the Trainer takes the gradient of, whoever computes it: the
    model, label smoothing, a `compute_loss` or `compute_loss_func` of yours. Accumulated batches
    are one step, and their mean is its loss. The monitor is called on `on_pre_optimizer_step`,
    where gradients are already clipped. Nothing is hooked into the model; `training_step` of the
    Trainer is listened to for one call at a time. The state is saved with every checkpoint and
    found again on resuming.

    Curvature and kernels need the loss as a function of outputs and labels. With `loss=None`
    it is the Trainer's own, evaluated without dropout, checked against that on the first batch;
    where it cannot be told, losses, rates and norms are recorded, and one warning says what to
    pass.

    Args:
        loss: `loss(outputs, targets)`; `None` means the Trainer's own.
        labels: Name of the labels in a batch, or names; `None` means those the Trainer knows.
        sink: Where numbers go besides.
        options: Everything else that `Monitor` takes; `forward` picks the logits by default.

    Attributes:
        monitor: The monitor, once training has begun.

    Example:
        ::

            Trainer(model, args, train_dataset=data, callbacks=[TransformersMonitor()])
    """

    def __init__(
        self,
        loss: Loss | None = None,
        *,
        labels: str | Sequence[str] | None = None,
        sink: Sink | None = None,
        **options: Any,
    ) -> None:
        self.loss, self.options = loss, options
        self.labels = (labels,) if isinstance(labels, str) else tuple(labels or ())
        self.monitor: Monitor | None = None
        self._also = None if sink is None else as_function(sink)
        self._watched = Watched("TransformersMonitor")
        self._trainer: Any = None
        self._known: TrainerLoss | None = None
        self._losses: list[Tensor] = []
        self._batch: Any = None
        self._saved: Path | None = None
        self._begun = 0  # steps of the run before

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Make the monitor, or go on with the one of the checkpoint."""
        self._close()  # of a run that was broken off
        self._trainer, checkpoint = _training(self)
        self._watched, self._known = Watched("TransformersMonitor"), None
        self._begun = state.global_step

        def log(numbers: dict[str, float], step: int) -> None:
            named = {f"dyn/{name}": value for name, value in finite(numbers).items()}
            state.log_history.append({**named, "step": step})
            if self._also is not None:
                self._also(numbers, step)

        scaler = getattr(getattr(self._trainer, "accelerator", None), "scaler", None)
        options = {"grad_scale": scaler, **self.options, "forward": self._forward}
        self.monitor = Monitor(given["model"], self._loss, given["optimizer"], sink=log, **options)
        if state.global_step:
            named = Path(args.output_dir, f"checkpoint-{state.global_step}")
            self._saved = Path(checkpoint or named, _FILE)

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Listen to the first batch of a step."""
        self._listen()

    def on_substep_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Listen to the next batch of a step."""
        self._listen()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Take the step."""
        if self.monitor is None:
            return
        losses, self._losses = self._losses, []
        self._resume()
        if losses:
            # Each is divided by what it takes for their sum to be the mean.
            self._watched.step(self.monitor, torch.stack(losses).sum(), self._pair)
        else:
            self._watched.say(_NOTHING)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Close the epoch."""
        if self.monitor is not None:
            self.monitor.epoch_end()

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Put the state into the checkpoint."""
        folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
        if self.monitor is not None and state.is_world_process_zero and folder.is_dir():
            torch.save(self.monitor.state_dict(), folder / _FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Complete the record."""
        if self.monitor is not None and not self._watched.steps and state.global_step > self._begun:
            self._watched.say(_NOTHING)
        self._close()

    def _close(self) -> None:
        if self.monitor is not None:
            self._resume()
            self.monitor.close()
        self._losses, self._batch, self._trainer = [], None, None

    def _resume(self) -> None:
        """Go on from a saved state, if there is one; once batches are known, which are tried."""
        assert self.monitor is not None
        file, self._saved = self._saved, None
        if file is None:
            return
        try:
            self.monitor.load_state_dict(torch.load(file, weights_only=True))
        except (OSError, ValueError) as problem:
            self._watched.say(f"begins its record anew, after {type(problem).__name__}: {problem}")

    def _listen(self) -> None:
        """Note loss and batch of the next call of `training_step`.

        For that call alone: a training that is broken off tells nobody, and nothing may stay.
        """
        trainer = self._trainer
        if trainer is None:
            return
        step, before = trainer.training_step, vars(trainer).get("training_step")

        def heard(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
            if before is None:
                del trainer.training_step
            else:  # someone else has put it there
                trainer.training_step = before
            self._batch = dict(inputs) if isinstance(inputs, Mapping) else inputs
            loss = step(model, inputs, *args, **kwargs)
            self._losses.append(loss.detach())
            return loss

        trainer.training_step = heard

    def _pair(self) -> tuple[Any, Any]:
        """Inputs and targets of the last batch, once it is known what they are."""
        batch = on_device(self._batch, self._trainer.args.device)
        if self._known is None:
            model, pick = self._trainer.model, self.options.get("forward")
            self._known = trainer_loss(self._trainer, model, batch, self.labels, pick, self.loss)
            if self.loss is not None and (words := self._known.differs(batch)):
                self._watched.say(f"was given a loss that is not the one trained on: {words}")
        return self._known.pair(batch)

    def _forward(self, model: nn.Module, x: Any) -> Tensor:
        if self._known is None:  # the state of a run before is tried first
            self._pair()
        assert self._known is not None
        return self._known.forward(model, x)

    def _loss(self, outputs: Tensor, targets: Any) -> Tensor:
        assert self._known is not None
        return self._known.loss(outputs, targets)


def _training(callback: TrainerCallback) -> tuple[Any, Any]:
    """The Trainer that calls a callback, and the checkpoint it goes on from.

    Callbacks are told neither, so the stack is asked.
    """
    from transformers import Trainer

    frame = sys._getframe(1)
    while frame is not None:
        held = frame.f_locals
        if isinstance(held.get("self"), Trainer) and "resume_from_checkpoint" in held:
            return held["self"], held["resume_from_checkpoint"]
        frame = frame.f_back
    return None, None


def suggest_trainer_lr(
    trainer: Any,
    *,
    budget: str | float = "60s",
    longest: int | None = None,
    seed: int = 0,
    progress: Progress = True,
) -> SuggestedRate:
    """The learning rate for a Trainer, by a race; one call before `trainer.train()`.

    The race trains copies with the Trainer's own loss, optimizer, batches, accumulation, clipping
    and scheduler, laid out for each length in the proportions of the planned training. Weights are
    taken as they are, so that this serves fine-tuning as well. Nothing of the Trainer is changed.

    Args:
        trainer: As it is before `train()`.
        budget: Time for everything; whole trainings are compared in that of about four of them.
        longest: Steps of the longest trainings that are compared.
        seed: Of batches and random layers.
        progress: As everywhere.

    Returns:
        `SuggestedRate`.

    Raises:
        ValueError: A budget that is none.

    Example:
        ::

            found = suggest_trainer_lr(trainer, budget="5m")
            trainer.args.learning_rate = found.rate
            trainer.train()
    """
    clock = Clock()
    seconds = parse_budget(budget, "suggest_trainer_lr")
    args, model = trainer.args, trainer.model
    prepared = trainer.get_train_dataloader()
    expect(
        getattr(prepared, "batch_sampler", None) is not None, "suggest_trainer_lr(trainer=...)",
        "a training set of known length", f"a {type(trainer.train_dataset).__name__}",
    )  # fmt: skip
    # Accelerate keeps account of which of its loaders is gone through; this one is nobody's.
    loader = DataLoader(
        prepared.dataset, batch_sampler=prepared.batch_sampler, collate_fn=prepared.collate_fn
    )
    accumulate = args.gradient_accumulation_steps
    epoch = max(len(loader) // accumulate, 1)
    planned = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * epoch)
    warming = args.get_warmup_steps(planned) / planned

    def schedule(optimizer: Optimizer, steps: int) -> LRScheduler:
        return get_scheduler(
            args.lr_scheduler_type, optimizer=optimizer, num_warmup_steps=round(warming * steps),
            num_training_steps=steps, scheduler_specific_kwargs=args.lr_scheduler_kwargs,
        )  # fmt: skip

    def loss_of(model: nn.Module, batch: Any) -> Tensor:
        return trainer.compute_loss(model, on_device(batch, args.device))

    before = trainer.optimizer
    try:
        with put_into_training(model):  # as the Trainer itself does at every step
            recipe = recipe_of_loader(
                model, trainer.create_optimizer(), loss_of, loader, schedule=schedule,
                clip_norm=args.max_grad_norm or None, accumulate=accumulate,
            )  # fmt: skip
            return find_rate(
                recipe, planned, budget=seconds, batch_size=args.train_batch_size * accumulate,
                given=args.learning_rate, longest=longest, seed=seed, clock=clock,
                progress=progress,
            )  # fmt: skip
    finally:
        trainer.optimizer = before
