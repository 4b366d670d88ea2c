from .gauss_newton import GGNOperator
from .hessian import HessianOperator
from .output_hessian import OutputHessian, hessian_norm

__all__ = ["GGNOperator", "HessianOperator", "OutputHessian", "hessian_norm"]
