from .assembly import AssemblyModel, dominance
from .cnn import ntk_cnn
from .conv import NTKConv2d
from .dag import DAGNetwork
from .graphs import (
    dense_dag,
    erdos_renyi_dag,
    layered_dag,
    log_uniform_dag,
    oriented_dag,
    watts_strogatz_dag,
)
from .linear import NTKLinear
from .mlp import ntk_mlp
from .resnet import ResidualBlock, ntk_resnet

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
