"""The tangent kernel of finite and infinitely wide networks: entries, spectrum, alignment."""

from overparam.tangents.alignment import (
    AlignmentResult,
    eigen_alignment,
    kernel_target_alignment,
)
from overparam.tangents.angles import (
    input_angles,
    model_gradient_angle,
    relu_embedding_angle,
)
from overparam.tangents.conditioning import ConditioningProfile, conditioning_profile
from overparam.tangents.dual_activations import dual_activation
from overparam.tangents.empirical import empirical_ntk, empirical_ntk_blocks, sum_of_logits_ntk
from overparam.tangents.infinite import infinite_nngp, infinite_ntk
from overparam.tangents.infinite_convolution import infinite_conv_ntk
from overparam.tangents.operator import NTKOperator
from overparam.tangents.spectrum import extreme_eigenvalues, kernel_change

__all__ = [
    "AlignmentResult",
    "ConditioningProfile",
    "NTKOperator",
    "conditioning_profile",
    "dual_activation",
    "eigen_alignment",
    "empirical_ntk",
    "empirical_ntk_blocks",
    "extreme_eigenvalues",
    "infinite_conv_ntk",
    "infinite_nngp",
    "infinite_ntk",
    "input_angles",
    "kernel_change",
    "kernel_target_alignment",
    "model_gradient_angle",
    "relu_embedding_angle",
    "sum_of_logits_ntk",
]
