"""A monitor, and a finder of learning rates, for the Trainer of Hugging Face Transformers."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from overparam._batch import on_device
from overparam._errors import expect
from overparam._progress import Progress
from overparam._types import Loss
from overparam.diagnosis.budget import parse_budget
from overparam.diagnosis.race.recipe import recipe_of_loader
from overparam.diagnosis.race.run import Clock
from overparam.diagnosis.suggested_rate import SuggestedRate, find_rate
from overparam.dynamics.monitor import Monitor
from overparam.dynamics.sinks import Sink, as_function, finite
from overparam.errors import MissingPackage

try:
    from transformers import TrainerCallback, get_scheduler
except ImportError as problem:
    raise MissingPackage(
        "`overparam.integrations.transformers` expected the package transformers, got none.\n"
        "Hint: pip install 'overparam[transformers]'"
    ) from problem

_FILE = "overparam-monitor.pt"


class TransformersMonitor(TrainerCallback):
    """Watch a Trainer's run; numbers go to `trainer.state.log_history` under ``dyn/``.

    The monitor is called on `on_pre_optimizer_step`, where gradients are already clipped.
    Callbacks are told neither the batch nor the loss, so a forward hook reads both while the
    model is in training mode; it is taken off when training ends. Accumulated batches are one
    step. The state is saved with every checkpoint and found again on resuming.

    Args:
        loss: `loss(logits, labels)`; `None` means the mean cross-entropy over the last axis of
            the logits, labels of −100 left out. A causal language model shifts its labels
            inside, so it needs one that does the same.
        labels: Name of the labels in a batch.
        sink: Where numbers go besides.
        options: Everything else that `Monitor` takes; `forward` picks `.logits` by default.

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
        labels: str = "labels",
        sink: Sink | None = None,
        **options: Any,
    ) -> None:
        self.loss, self.labels = loss or token_cross_entropy, labels
        self.options = {"forward": lambda model, x: model(**x).logits, **options}
        self.monitor: Monitor | None = None
        self._also = None if sink is None else as_function(sink)
        self._losses: list[Tensor] = []
        self._batch: dict[str, Tensor] = {}
        self._summed = False
        self._hook: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Make the monitor, or go on with the one of the checkpoint."""
        model, optimizer = given["model"], given["optimizer"]

        def log(numbers: dict[str, float], step: int) -> None:
            named = {f"dyn/{name}": value for name, value in finite(numbers).items()}
            state.log_history.append({**named, "step": step})
            if self._also is not None:
                self._also(numbers, step)

        inner = getattr(optimizer, "optimizer", optimizer)  # inside Accelerate's
        self.monitor = Monitor(model, self.loss, inner, sink=log, **self.options)
        saved = Path(args.output_dir, f"checkpoint-{state.global_step}", _FILE)
        if state.global_step and saved.exists():
            self.monitor.load_state_dict(torch.load(saved, weights_only=True))
        self._hook = model.register_forward_hook(self._seen, with_kwargs=True)

    def _seen(self, module: nn.Module, args: tuple, kwargs: dict, outputs: Any) -> None:
        """Keep batch and loss of a training step; probes evaluate in another mode."""
        if module.training and outputs.get("loss") is not None:
            self._losses.append(outputs["loss"].detach())
            # Then each loss is a sum over the number of items in all accumulated batches.
            self._summed = kwargs.get("num_items_in_batch") is not None
            self._batch = {n: v for n, v in kwargs.items() if isinstance(v, Tensor) and v.ndim}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Take the step."""
        if self.monitor is None or not self._losses:
            return
        losses, self._losses = torch.stack(self._losses), []
        batch = dict(self._batch)
        targets = batch.pop(self.labels)
        value = losses.sum() if self._summed else losses.mean()
        self.monitor.step(value, batch=(batch, targets))

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
        """Complete the record and take the hook off."""
        if self.monitor is not None:
            self.monitor.close()
        if self._hook is not None:
            self._hook.remove()


def token_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the last axis, without labels of −100."""
    return nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())


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

    before, mode = trainer.optimizer, model.training
    model.train()
    try:
        recipe = recipe_of_loader(
            model, trainer.create_optimizer(), loss_of, loader, schedule=schedule,
            clip_norm=args.max_grad_norm or None, accumulate=accumulate,
        )  # fmt: skip
        return find_rate(
            recipe, planned, budget=seconds, batch_size=args.train_batch_size * accumulate,
            given=args.learning_rate, longest=longest, seed=seed, clock=clock, progress=progress,
        )  # fmt: skip
    finally:
        trainer.optimizer = before
        model.train(mode)
