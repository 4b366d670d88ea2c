from .agop_tree import AGOPTreeClassifier, AGOPTreeRegressor
from .codes import ClassCodes
from .custom import Custom
from .eigenpro import EigenProSolver, fit_eigenpro
from .encoding import Encoding
from .ensemble import KernelEnsembleClassifier, KernelEnsembleRegressor
from .feature_matrix import KernelPredictor, predictor_agop, predictor_agop_diagonal
from .functions import DotExponential, Gaussian, Kernel, Laplace, PairKernel, Quadratic
from .importance import bootstrap_interval
from .irkm import IRKMClassifier, IRKMRegressor
from .leave_one_out import leave_one_out_ridge
from .lpq import Lpq
from .powers import matrix_power_psd
from .recursion import Iterate, feature_recursion
from .rfm import RFMClassifier, RFMRegressor
from .ridge import fit_ridge
from .tree_splits import Split

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
    "KernelEnsembleClassifier",
    "KernelEnsembleRegressor",
    "KernelPredictor",
    "Laplace",
    "Lpq",
    "PairKernel",
    "Quadratic",
    "RFMClassifier",
    "RFMRegressor",
    "Split",
    "bootstrap_interval",
    "feature_recursion",
    "fit_eigenpro",
    "fit_ridge",
    "leave_one_out_ridge",
    "matrix_power_psd",
    "predictor_agop",
    "predictor_agop_diagonal",
]
