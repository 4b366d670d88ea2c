"""Spectra of symmetric operators: from a matrix, or from products with vectors alone."""

from overparam.linalg.lanczos import Eigenpairs, power_iteration, top_eigenpairs
from overparam.linalg.spectra import ExtremeEigenvalues, condition_number, matrix_extremes
from overparam.linalg.traces import TraceEstimate, hutchinson, hutchpp

__all__ = [
    "Eigenpairs",
    "ExtremeEigenvalues",
    "TraceEstimate",
    "condition_number",
    "hutchinson",
    "hutchpp",
    "matrix_extremes",
    "power_iteration",
    "top_eigenpairs",
]
