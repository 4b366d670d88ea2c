"""Arithmetic modulo a prime: the task, and what machines that learn it come to know.

A table of residues (`arithmetic`), the algorithm that does it in one product of transforms
(`fourier`), feature matrices that do it (`operand_features`) and how circulant they are
(`circulance`), and a network whose average gradient outer product has a closed form
(`quadratic_network`).
"""

from overparam.kernels.modular.arithmetic import (
    ModularTask,
    discrete_log_order,
    modular_arithmetic,
    operation_table,
)
from overparam.kernels.modular.circulance import (
    circulant,
    circulant_deviation,
    circulant_kind,
    nearest_circulant,
)
from overparam.kernels.modular.fourier import fourier_multiplication
from overparam.kernels.modular.operand_features import (
    enforce_circulance,
    operand_block,
    operand_order,
    random_circulant_features,
)
from overparam.kernels.modular.quadratic_network import (
    QuadraticNetwork,
    quadratic_agop,
    quadratic_agop_trace,
)

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
