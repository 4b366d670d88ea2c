"""The curvature of a loss, or of one output, as operators that are never formed."""

from overparam.curvature.gauss_newton import GGNOperator
from overparam.curvature.hessian import HessianOperator
from overparam.curvature.output_hessian import OutputHessian, hessian_norm

__all__ = ["GGNOperator", "HessianOperator", "OutputHessian", "hessian_norm"]
