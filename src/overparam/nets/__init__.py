"""Networks whose width means something."""

from overparam.nets.assembly import AssemblyModel, dominance
from overparam.nets.cnn import ntk_cnn
from overparam.nets.conv import NTKConv2d
from overparam.nets.dag import DAGNetwork
from overparam.nets.graphs import (
    dense_dag,
    erdos_renyi_dag,
    layered_dag,
    log_uniform_dag,
    oriented_dag,
    watts_strogatz_dag,
)
from overparam.nets.linear import NTKLinear
from overparam.nets.mlp import ntk_mlp
from overparam.nets.resnet import ResidualBlock, ntk_resnet

__all__ = [
    "AssemblyModel",
    "DAGNetwork",
    "NTKConv2d",
    "NTKLinear",
    "ResidualBlock",
    "dense_dag",
    "dominance",
    "erdos_renyi_dag",
    "layered_dag",
    "log_uniform_dag",
    "ntk_cnn",
    "ntk_mlp",
    "ntk_resnet",
    "oriented_dag",
    "watts_strogatz_dag",
]
