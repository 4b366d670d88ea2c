"""A monitor's steps from inside a tool, whose run they never end."""

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor

from overparam._user_line import user_level
from overparam.dynamics.batch_form import NoBatch
from overparam.dynamics.monitor import Monitor


class Watched:
    """Step a monitor; what goes wrong is said once, and is not tried again.

    Args:
        name: Of the adapter, for warnings.

    Attributes:
        steps: Those the monitor has been told of.
    """

    def __init__(self, name: str) -> None:
        self.name, self.steps = name, 0
        self._blind, self._off = "", False  # why there are no batches; that there is nothing
        self._said: set[str] = set()

    def step(self, monitor: Monitor, loss: Tensor, pair: Callable[[], Any]) -> None:
        """Take a step with the batch that `pair` gives, without one where it cannot."""
        if self._off:
            return
        batch: Any = None
        if not self._blind:
            try:
                batch = pair()
            except Exception as problem:
                self._blind = self._after(problem, "records losses, rates and norms alone")
        if self._blind:
            batch = NoBatch(self._blind)
        try:
            monitor.step(loss, batch=batch)
            self.steps += 1
        except Exception as problem:
            # Whether the step counted is not known, so it is not told again.
            self._off = bool(self._blind)
            alone = "nothing more" if self._off else "losses, rates and norms alone"
            self._blind = self._after(problem, f"records {alone}")

    def _after(self, problem: Exception, words: str) -> str:
        came = f"{type(problem).__name__}: {problem}"
        self.say(f"{words}, after {came}")
        return came

    def say(self, words: str) -> None:
        """Warn, once."""
        if words not in self._said:
            self._said.add(words)
            warnings.warn(f"{self.name} {words}", RuntimeWarning, stacklevel=user_level())
