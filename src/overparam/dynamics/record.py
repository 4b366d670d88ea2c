"""What was measured along a run: one row per step, filled where something was measured."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


class Record:
    """Numbers by name and step, in the order they came.

    Example:
        >>> record = Record()
        >>> record.add(0, {"loss": 1.0})
        >>> record.add(1, {"loss": 0.5, "sharpness": 8.0})
        >>> record.table()
              loss  sharpness
        step
        0      1.0        NaN
        1      0.5        8.0
    """

    def __init__(self) -> None:
        self._steps: dict[str, list[int]] = {}
        self._values: dict[str, list[float]] = {}

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers measured at a step; a later one for the same step replaces."""
        for name, value in values.items():
            self.put(name, step, value)

    def put(self, name: str, step: int, value: float) -> None:
        """Take one number."""
        if name not in self._steps:
            self._steps[name], self._values[name] = [], []
        self._steps[name].append(step)
        self._values[name].append(value)

    def extend(self, name: str, steps: Sequence[int], values: Sequence[float]) -> None:
        """Take several numbers of one name."""
        self._steps.setdefault(name, []).extend(steps)
        self._values.setdefault(name, []).extend(values)

    def last(self, name: str) -> float:
        """The latest value of a column; `nan` if there is none."""
        values = self._values.get(name)
        return values[-1] if values else math.nan

    def series(self) -> dict[str, dict[str, list]]:
        """Every column as its steps and values, `{"loss": {"step": [...], "value": [...]}}`."""
        return {
            name: {"step": list(steps), "value": list(self._values[name])}
            for name, steps in self._steps.items()
        }

    def table(self) -> "pd.DataFrame":
        """One row per step up to the last recorded; `nan` where a column was not measured."""
        import pandas as pd

        length = 1 + max((steps[-1] for steps in self._steps.values() if steps), default=-1)
        columns = {}
        for name, steps in self._steps.items():
            column = np.full(length, math.nan)
            column[steps] = self._values[name]
            columns[name] = column
        return pd.DataFrame(columns, index=pd.RangeIndex(length, name="step"))

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs."""
        return {"series": self.series()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._steps = {name: list(column["step"]) for name, column in state["series"].items()}
        self._values = {name: list(column["value"]) for name, column in state["series"].items()}
