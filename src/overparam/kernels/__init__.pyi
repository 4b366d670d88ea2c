from .agop_tree import AGOPTreeClassifier, AGOPTreeRegressor, Split
from .circulant import (
    circulant,
    circulant_deviation,
    circulant_kind,
    enforce_circulance,
    nearest_circulant,
    operand_block,
    operand_order,
    random_circulant_features,
)
from .codes import ClassCodes
from .custom import Custom
from .eigenpro import EigenProSolver, fit_eigenpro
from .encoding import Encoding
from .feature_matrix import KernelPredictor, agop, agop_diagonal
from .fourier_multiplication import fourier_multiplication
from .functions import (
    DotExponential,
    Gaussian,
    Kernel,
    Laplace,
    PairKernel,
    Quadratic,
)
from .importance import bootstrap_interval
from .irkm import IRKMClassifier, IRKMRegressor
from .leave_one_out import leave_one_out_ridge
from .lpq import Lpq
from .modular_arithmetic import (
    ModularTask,
    discrete_log_order,
    modular_arithmetic,
    operation_table,
)
from .powers import matrix_power_psd
from .quadratic_network import (
    QuadraticNetwork,
    quadratic_agop,
    quadratic_agop_trace,
)
from .recursion import Iterate, feature_recursion
from .rfm import RFMClassifier, RFMRegressor
from .ridge import fit_ridge

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
