"""Kernel machines that learn features: kernels with a feature matrix, and what updates it."""

from overparam.kernels.agop_tree import AGOPTreeClassifier, AGOPTreeRegressor, Split
from overparam.kernels.circulant import (
    circulant,
    circulant_deviation,
    circulant_kind,
    enforce_circulance,
    nearest_circulant,
    operand_block,
    operand_order,
    random_circulant_features,
)
from overparam.kernels.codes import ClassCodes
from overparam.kernels.custom import Custom
from overparam.kernels.eigenpro import EigenProSolver, fit_eigenpro
from overparam.kernels.encoding import Encoding
from overparam.kernels.feature_matrix import KernelPredictor, agop, agop_diagonal
from overparam.kernels.fourier_multiplication import fourier_multiplication
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
from overparam.kernels.modular_arithmetic import (
    ModularTask,
    discrete_log_order,
    modular_arithmetic,
    operation_table,
)
from overparam.kernels.powers import matrix_power_psd
from overparam.kernels.quadratic_network import (
    QuadraticNetwork,
    quadratic_agop,
    quadratic_agop_trace,
)
from overparam.kernels.recursion import Iterate, feature_recursion
from overparam.kernels.rfm import RFMClassifier, RFMRegressor
from overparam.kernels.ridge import fit_ridge

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
    "ModularTask",
    "PairKernel",
    "Quadratic",
    "QuadraticNetwork",
    "RFMClassifier",
    "RFMRegressor",
    "Split",
    "agop",
    "agop_diagonal",
    "bootstrap_interval",
    "circulant",
    "circulant_deviation",
    "circulant_kind",
    "discrete_log_order",
    "enforce_circulance",
    "feature_recursion",
    "fit_eigenpro",
    "fit_ridge",
    "fourier_multiplication",
    "leave_one_out_ridge",
    "matrix_power_psd",
    "modular_arithmetic",
    "nearest_circulant",
    "operand_block",
    "operand_order",
    "operation_table",
    "quadratic_agop",
    "quadratic_agop_trace",
    "random_circulant_features",
]
