"""Spectra of symmetric operators: from a matrix, or from products with vectors alone."""

from overparam.linalg.lanczos import Eigenpairs, power_iteration, top_eigenpairs
from overparam.linalg.spectra import ExtremeEigenvalues, condition_number, matrix_extremes

__all__ = [
    "Eigenpairs",
    "ExtremeEigenvalues",
    "condition_number",
    "matrix_extremes",
    "power_iteration",
    "top_eigenpairs",
]
