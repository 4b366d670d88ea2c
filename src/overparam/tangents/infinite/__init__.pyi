from .angles import input_angles, model_gradient_angle, relu_embedding_angle
from .convolution import infinite_conv_ntk
from .dense import infinite_nngp, infinite_ntk
from .dual_activations import dual_activation

__all__ = [
    "dual_activation",
    "infinite_conv_ntk",
    "infinite_nngp",
    "infinite_ntk",
    "input_angles",
    "model_gradient_angle",
    "relu_embedding_angle",
]
