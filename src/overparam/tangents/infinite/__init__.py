"""The kernels of infinitely wide networks: dense, convolutional, and as a Gaussian process."""

from overparam.tangents.infinite.angles import (
    input_angles,
    model_gradient_angle,
    relu_embedding_angle,
)
from overparam.tangents.infinite.convolution import infinite_conv_ntk
from overparam.tangents.infinite.dense import infinite_nngp, infinite_ntk
from overparam.tangents.infinite.dual_activations import dual_activation

__all__ = [
    "dual_activation",
    "infinite_conv_ntk",
    "infinite_nngp",
    "infinite_ntk",
    "input_angles",
    "model_gradient_angle",
    "relu_embedding_angle",
]
