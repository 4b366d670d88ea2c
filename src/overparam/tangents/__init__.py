"""The tangent kernel of a finite network: entries, operator, spectrum, alignment."""

from overparam.tangents.alignment import (
    AlignmentResult,
    eigen_alignment,
    kernel_target_alignment,
)
from overparam.tangents.empirical import empirical_ntk, empirical_ntk_blocks, sum_of_logits_ntk
from overparam.tangents.operator import NTKOperator
from overparam.tangents.spectrum import extreme_eigenvalues, kernel_change

__all__ = [
    "AlignmentResult",
    "NTKOperator",
    "eigen_alignment",
    "empirical_ntk",
    "empirical_ntk_blocks",
    "extreme_eigenvalues",
    "kernel_change",
    "kernel_target_alignment",
    "sum_of_logits_ntk",
]
