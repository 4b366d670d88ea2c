from .lanczos import Eigenpairs, power_iteration, top_eigenpairs
from .spectra import ExtremeEigenvalues, condition_number, matrix_extremes
from .traces import TraceEstimate, hutchinson, hutchpp

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
