"""Kernel machines that learn features: kernels with a feature matrix, and what updates it.

What serves learning arithmetic modulo a prime is in `overparam.kernels.modular`.
"""

from overparam._deprecated import moved
from overparam.kernels.agop_tree import AGOPTreeClassifier, AGOPTreeRegressor
from overparam.kernels.codes import ClassCodes
from overparam.kernels.custom import Custom
from overparam.kernels.eigenpro import EigenProSolver, fit_eigenpro
from overparam.kernels.encoding import Encoding
from overparam.kernels.feature_matrix import KernelPredictor, agop, agop_diagonal
from overparam.kernels.functions import (
    DotExponential,
    Gaussian,
    Kernel,
    Laplace,
    PairKernel,
    Quadratic,
)
from overparam.kernels.importance import bootstrap_interval
from overparam.kernels.irkm import IRKMClassifier, IRKMRegressor
from overparam.kernels.leave_one_out import leave_one_out_ridge
from overparam.kernels.lpq import Lpq
from overparam.kernels.powers import matrix_power_psd
from overparam.kernels.recursion import Iterate, feature_recursion
from overparam.kernels.rfm import RFMClassifier, RFMRegressor
from overparam.kernels.ridge import fit_ridge
from overparam.kernels.tree_splits import Split

__all__ = [
    "AGOPTreeClassifier",
    "AGOPTreeRegressor",
    "ClassCodes",
    "Custom",
    "DotExponential",
    "EigenProSolver",
    "Encoding",
    "Gaussian",
    "IRKMClassifier",
    "IRKMRegressor",
    "Iterate",
    "Kernel",
    "KernelPredictor",
    "Laplace",
    "Lpq",
    "PairKernel",
    "Quadratic",
    "RFMClassifier",
    "RFMRegressor",
    "Split",
    "agop",
    "agop_diagonal",
    "bootstrap_interval",
    "feature_recursion",
    "fit_eigenpro",
    "fit_ridge",
    "leave_one_out_ridge",
    "matrix_power_psd",
]

_MOVED = (
    "ModularTask", "QuadraticNetwork", "circulant", "circulant_deviation", "circulant_kind",
    "discrete_log_order", "enforce_circulance", "fourier_multiplication", "modular_arithmetic",
    "nearest_circulant", "operand_block", "operand_order", "operation_table", "quadratic_agop",
    "quadratic_agop_trace", "random_circulant_features",
)  # fmt: skip
__getattr__ = moved(__name__, dict.fromkeys(_MOVED, "overparam.kernels.modular"))
