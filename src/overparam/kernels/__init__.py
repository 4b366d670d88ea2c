"""Kernel machines that learn features: kernels with a feature matrix, and what updates it.

What serves learning arithmetic modulo a prime is in `overparam.kernels.modular`.
"""

from overparam._lazy import attach

_MOVED: dict[str, str] = dict.fromkeys((
    "ModularTask", "QuadraticNetwork", "circulant", "circulant_deviation", "circulant_kind",
    "discrete_log_order", "enforce_circulance", "fourier_multiplication", "modular_arithmetic",
    "nearest_circulant", "operand_block", "operand_order", "operation_table", "quadratic_agop",
    "quadratic_agop_trace", "random_circulant_features",
), "overparam.kernels.modular")  # fmt: skip
__getattr__, __dir__, __all__ = attach(
    __name__,
    __file__,
    moved=_MOVED,
    renamed={"agop": "predictor_agop", "agop_diagonal": "predictor_agop_diagonal"},
)
