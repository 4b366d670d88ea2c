"""Symmetric operators and their spectra: from a matrix, or from products with vectors alone."""

from overparam.linalg.lanczos import Eigenpairs, power_iteration, top_eigenpairs
from overparam.linalg.operator import (
    DiagonalOperator,
    FunctionOperator,
    MatrixOperator,
    SymmetricOperator,
)
from overparam.linalg.product import OperatorProduct
from overparam.linalg.spectra import ExtremeEigenvalues, condition_number, matrix_extremes
from overparam.linalg.traces import TraceEstimate, hutchinson, hutchpp

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
