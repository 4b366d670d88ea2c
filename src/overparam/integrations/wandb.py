"""A monitor's numbers in a run of Weights & Biases."""

from collections.abc import Callable
from typing import Any

from overparam._extras import absent
from overparam.dynamics.sinks import finite

try:
    import wandb as _wandb  # noqa: F401
except ImportError as problem:
    raise absent("overparam.integrations.wandb", "wandb", "wandb") from problem


class WandbSink:
    """Numbers into a run, named ``dyn/…`` and drawn over ``dyn/step``.

    The run's own step stays yours: numbers join the row that your next `run.log` completes,
    whatever `step=` you pass to that. Of several measurements between two of your rows the last
    one is seen at once; the others become rows when the run is finished, after all of yours.

    Nothing is hooked into the model: `run.watch`, whose hooks break compiled graphs, is not
    needed beside it.

    Args:
        run: What `wandb.init` returned; offline runs too.
        commit: Make every measurement a row at once. That moves the run's own step on, and a
            later `run.log(..., step=...)` with a smaller step is dropped by W&B.

    Example:
        ::

            monitor = Monitor(model, loss, optimizer, sink=WandbSink(wandb.init(mode="offline")))
    """

    def __init__(self, run: Any, *, commit: bool = False) -> None:
        self.run, self.commit = run, commit
        self._row: int | None = None  # the run's own step where the numbers wait for a row
        self._waiting: dict[str, float] = {}
        self._overtaken: list[dict[str, float]] = []
        run.define_metric("dyn/step")
        run.define_metric("dyn/*", step_metric="dyn/step")
        if not commit:
            _before_finish(run, self.flush)

    def __call__(self, numbers: dict[str, float], step: int) -> None:
        """Log what is finite."""
        named = {f"dyn/{name}": value for name, value in finite(numbers).items()}
        named["dyn/step"] = step
        if not self.commit and self._row == self.run.step:  # nobody has logged since
            self._overtaken.append(self._waiting)
        self.run.log(named, commit=self.commit)
        if not self.commit:
            self._row, self._waiting = self.run.step, named

    def flush(self) -> None:
        """Make rows of what has none yet; done by itself when the run is finished."""
        rows, self._overtaken = self._overtaken, []
        if rows:
            self.run.log({}, commit=True)  # completes the row that is open
            for row in rows:
                self.run.log(row, commit=True)
            self.run.summary.update(self._waiting)  # the latest, not the last logged


def _before_finish(run: Any, call: Callable[[], None]) -> None:
    """Let a run call something while it still takes rows; it has no public way to ask for that."""
    try:
        from wandb.sdk.wandb_run import TeardownHook, TeardownStage

        run._teardown_hooks.append(TeardownHook(call, TeardownStage.EARLY))
    except (ImportError, AttributeError):
        pass  # `flush` can be called by hand
