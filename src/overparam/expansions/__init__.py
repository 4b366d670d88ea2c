"""A network, or its loss, as its first or second Taylor polynomial in the parameters."""

from overparam._deprecated import moved
from overparam.expansions.gate_frozen import Expansion, GateFrozenNetwork, freeze_gates
from overparam.expansions.line_network import LineDescent, LineNetwork
from overparam.expansions.linearized import LinearizedModel, linearization_error, linearize
from overparam.expansions.quadratic_model import (
    FunctionStep,
    QuadraticModel,
    quadratic_step,
)
from overparam.expansions.quadratized import (
    QuadratizedModel,
    quadratization_error,
    quadratize,
)

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

__getattr__ = moved(
    __name__,
    dict.fromkeys(("GGNOperator", "HessianOperator", "hessian_norm"), "overparam.curvature"),
)
