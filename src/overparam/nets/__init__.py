"""Networks whose width means something."""

from overparam.nets.linear import NTKLinear
from overparam.nets.mlp import ntk_mlp

__all__ = ["NTKLinear", "ntk_mlp"]
