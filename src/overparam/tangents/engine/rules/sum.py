"""Sums and differences."""

from functools import cached_property

from torch import Tensor

from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step, name_of


class Sum(ScaleShift):
    """Y = X ± α Z."""

    parameters = {"AddBackward0": (0, 1), "SubBackward0": (0, 1)}  # noqa: RUF012
    activations = {  # noqa: RUF012
        "AddBackward0": (0, 1), "SubBackward0": (0, 1),
        "AddBackward1": (0,), "SubBackward1": (0,),  # a number
    }  # fmt: skip

    @cached_property
    def factor(self) -> float:
        """1, or ±α."""
        if self.position == 0:
            return 1.0
        return _sign(name_of(self.node)) * float(self.node._saved_alpha)

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """The same, of operands of one shape."""
        if step.result != step.shape:
            return None
        factor = _sign(step.name) * getattr(step.node, "_saved_alpha", 1) if step.position else 1
        return step.gradient if factor == 1 else step.gradient * factor


def _sign(name: str) -> int:
    return -1 if name == "SubBackward0" else 1
