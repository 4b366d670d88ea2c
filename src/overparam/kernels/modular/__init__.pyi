from .arithmetic import ModularTask, discrete_log_order, modular_arithmetic, operation_table
from .circulance import circulant, circulant_deviation, circulant_kind, nearest_circulant
from .fourier import fourier_multiplication
from .operand_features import (
    enforce_circulance,
    operand_block,
    operand_order,
    random_circulant_features,
)
from .quadratic_network import QuadraticNetwork, quadratic_agop, quadratic_agop_trace

__all__ = [
    "ModularTask",
    "QuadraticNetwork",
    "circulant",
    "circulant_deviation",
    "circulant_kind",
    "discrete_log_order",
    "enforce_circulance",
    "fourier_multiplication",
    "modular_arithmetic",
    "nearest_circulant",
    "operand_block",
    "operand_order",
    "operation_table",
    "quadratic_agop",
    "quadratic_agop_trace",
    "random_circulant_features",
]
