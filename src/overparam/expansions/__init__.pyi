from .gate_frozen import Expansion, GateFrozenNetwork, freeze_gates
from .line_network import LineDescent, LineNetwork
from .linearized import LinearizedModel, linearization_error, linearize
from .quadratic_model import FunctionStep, QuadraticModel, quadratic_step
from .quadratized import QuadratizedModel, quadratization_error, quadratize

__all__ = [
    "Expansion",
    "FunctionStep",
    "GateFrozenNetwork",
    "LineDescent",
    "LineNetwork",
    "LinearizedModel",
    "QuadraticModel",
    "QuadratizedModel",
    "freeze_gates",
    "linearization_error",
    "linearize",
    "quadratic_step",
    "quadratization_error",
    "quadratize",
]
