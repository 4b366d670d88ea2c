"""A monitor's numbers in a run of Weights & Biases."""

from typing import Any

from overparam.dynamics.sinks import finite
from overparam.errors import MissingPackage

try:
    import wandb as _wandb  # noqa: F401
except ImportError as problem:
    raise MissingPackage(
        "`overparam.integrations.wandb` expected the package wandb, got none.\n"
        "Hint: pip install 'overparam[wandb]'"
    ) from problem


class WandbSink:
    """Numbers into a run, named ``dyn/…`` and drawn over ``dyn/step``.

    Nothing is hooked into the model: `run.watch`, whose hooks break compiled graphs, is not
    needed beside it.

    Args:
        run: What `wandb.init` returned; offline runs too.
        commit: Log at once, which moves the run's own step on. With `False` numbers wait for
            your next `run.log`: needed if you pass `step=` to that.

    Example:
        ::

            monitor = Monitor(model, loss, optimizer, sink=WandbSink(wandb.init(mode="offline")))
    """

    def __init__(self, run: Any, *, commit: bool = True) -> None:
        self.run, self.commit = run, commit
        run.define_metric("dyn/step")
        run.define_metric("dyn/*", step_metric="dyn/step")

    def __call__(self, numbers: dict[str, float], step: int) -> None:
        """Log what is finite."""
        named = {f"dyn/{name}": value for name, value in finite(numbers).items()}
        self.run.log({**named, "dyn/step": step}, commit=self.commit)
