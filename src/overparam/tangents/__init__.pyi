from .alignment import (
    AlignmentResult,
    eigen_alignment,
    eigen_alignments,
    kernel_target_alignment,
    kernel_target_alignments,
    pool_alignments,
)
from .conditioning import ConditioningProfile, conditioning_profile
from .empirical import empirical_ntk, empirical_ntk_blocks, sum_of_logits_ntk
from .infinite.angles import input_angles, model_gradient_angle, relu_embedding_angle
from .infinite.convolution import infinite_conv_ntk
from .infinite.dense import infinite_nngp, infinite_ntk
from .infinite.dual_activations import dual_activation
from .input_gradients import agop, agop_alignment, agop_blocks, agop_diagonal
from .loss_bounds import (
    GeneralizationBound,
    classical_loss_bound,
    generalization_bound,
    linearized_loss,
    spectral_loss_bound,
)
from .network_alignment import NetworkAlignment, network_alignment
from .operator import NTKOperator
from .out_of_core import (
    empirical_ntk_blocks_to_file,
    empirical_ntk_to_file,
    sum_of_logits_ntk_to_file,
)
from .pl.certificate import PLCertificate, pl_certificate
from .pl.estimate import PLEstimate, pl_estimate
from .pl.jacobian_smoothness import two_layer_smoothness
from .pl.step_sizes import Schedule, gd_step_size, pl_down_to, sgd_step_size
from .pl.trace import PLTrace, pl_trace
from .power_law import PowerLaw, power_law_fit
from .sketch import GradientSketch, gradient_sketch
from .spectrum import extreme_eigenvalues, kernel_change

__all__ = [
    "AlignmentResult",
    "ConditioningProfile",
    "GeneralizationBound",
    "GradientSketch",
    "NTKOperator",
    "NetworkAlignment",
    "PLCertificate",
    "PLEstimate",
    "PLTrace",
    "PowerLaw",
    "Schedule",
    "agop",
    "agop_alignment",
    "agop_blocks",
    "agop_diagonal",
    "classical_loss_bound",
    "conditioning_profile",
    "dual_activation",
    "eigen_alignment",
    "eigen_alignments",
    "empirical_ntk",
    "empirical_ntk_blocks",
    "empirical_ntk_blocks_to_file",
    "empirical_ntk_to_file",
    "extreme_eigenvalues",
    "gd_step_size",
    "generalization_bound",
    "gradient_sketch",
    "infinite_conv_ntk",
    "infinite_nngp",
    "infinite_ntk",
    "input_angles",
    "kernel_change",
    "kernel_target_alignment",
    "kernel_target_alignments",
    "linearized_loss",
    "model_gradient_angle",
    "network_alignment",
    "pl_certificate",
    "pl_down_to",
    "pl_estimate",
    "pl_trace",
    "pool_alignments",
    "power_law_fit",
    "relu_embedding_angle",
    "sgd_step_size",
    "spectral_loss_bound",
    "sum_of_logits_ntk",
    "sum_of_logits_ntk_to_file",
    "two_layer_smoothness",
]
