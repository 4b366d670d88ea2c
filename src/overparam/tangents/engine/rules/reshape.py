"""The same numbers in another shape."""

from torch import Tensor

from overparam.tangents.engine.operation import Operation
from overparam.tangents.engine.step import Step


class Reshape(Operation):
    """Y = X, in the same order."""

    activations = {  # noqa: RUF012
        "ViewBackward0": (0,), "UnsafeViewBackward0": (0,), "ReshapeAliasBackward0": (0,),
    }  # fmt: skip

    @classmethod
    def passed(cls, step: Step) -> Tensor:
        """The same numbers in the input's shape."""
        return step.gradient.reshape(len(step.gradient), *step.shape)
