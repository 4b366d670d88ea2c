from .lanczos import Eigenpairs, power_iteration, top_eigenpairs
from .operator import DiagonalOperator, FunctionOperator, MatrixOperator, SymmetricOperator
from .product import OperatorProduct
from .spectra import ExtremeEigenvalues, condition_number, matrix_extremes
from .traces import TraceEstimate, hutchinson, hutchpp

__all__ = [
    "DiagonalOperator",
    "Eigenpairs",
    "ExtremeEigenvalues",
    "FunctionOperator",
    "MatrixOperator",
    "OperatorProduct",
    "SymmetricOperator",
    "TraceEstimate",
    "condition_number",
    "hutchinson",
    "hutchpp",
    "matrix_extremes",
    "power_iteration",
    "top_eigenpairs",
]
