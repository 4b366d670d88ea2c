"""A network, or its loss, as its first or second Taylor polynomial in the parameters."""

from overparam.expansions.curvature import GGNOperator, HessianOperator
from overparam.expansions.hessian import hessian_norm
from overparam.expansions.linearized import LinearizedModel, linearization_error, linearize

__all__ = [
    "GGNOperator",
    "HessianOperator",
    "LinearizedModel",
    "hessian_norm",
    "linearization_error",
    "linearize",
]
