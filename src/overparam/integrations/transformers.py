"""A monitor as a callback of the Trainer of Hugging Face Transformers."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from overparam._types import Loss
from overparam.dynamics.monitor import Monitor
from overparam.dynamics.sinks import Sink, as_function, finite
from overparam.errors import MissingPackage

try:
    from transformers import TrainerCallback
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
