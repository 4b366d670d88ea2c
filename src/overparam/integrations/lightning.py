"""A monitor as a callback of Lightning's Trainer."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from overparam._types import Loss
from overparam.dynamics.monitor import Monitor
from overparam.dynamics.sinks import Sink, as_function, finite
from overparam.errors import MissingPackage

try:
    from lightning.pytorch import Callback
except ImportError as problem:
    raise MissingPackage(
        "`overparam.integrations.lightning` expected the package lightning, got none.\n"
        "Hint: pip install 'overparam[lightning]'"
    ) from problem


class LightningMonitor(Callback):
    """Watch a Lightning run; numbers go to its loggers under ``dyn/``.

    The monitor is called before every optimizer step, with the gradients unscaled and not yet
    clipped; accumulated batches are one step, whose loss is their mean. With several
    optimizers the first is watched.

    Args:
        loss: `loss(outputs, targets)`, as `training_step` uses it.
        split: Makes (inputs, targets) of a batch of the loader; a pair is taken as it is.
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
        split: Callable[[Any], tuple[Any, Tensor]] = tuple,
        sink: Sink | None = None,
        **options: Any,
    ) -> None:
        self.loss, self.split, self.options = loss, split, options
        self.monitor: Monitor | None = None
        self._also = None if sink is None else as_function(sink)
        self._saved: dict[str, Any] | None = None
        self._losses: list[Tensor] = []
        self._batch: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the monitor, or go on with the one of the checkpoint."""

        def log(numbers: dict[str, float], step: int) -> None:
            named = {f"dyn/{name}": value for name, value in finite(numbers).items()}
            for logger in trainer.loggers:
                logger.log_metrics(named, step=step)
            if self._also is not None:
                self._also(numbers, step)

        self.monitor = Monitor(
            pl_module, self.loss, trainer.optimizers[0], sink=log, **self.options
        )
        if self._saved is not None:
            self.monitor.load_state_dict(self._saved)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the batch until its optimizer step."""
        self._batch = batch

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """Keep the loss, which is divided by the number of accumulated batches here."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Take the step."""
        if self.monitor is None or optimizer is not trainer.optimizers[0] or not self._losses:
            return
        losses, self._losses = self._losses, []
        self.monitor.step(sum(losses[1:], losses[0]), batch=self.split(self._batch))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the epoch."""
        if self.monitor is not None:
            self.monitor.epoch_end()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Complete the record."""
        if self.monitor is not None:
            self.monitor.close()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {} if self.monitor is None else {"monitor": self.monitor.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From a checkpoint, before training begins."""
        self._saved = state_dict.get("monitor")
