from .backend import ClusterLost
from .connect import on_cluster

__all__ = ["ClusterLost", "on_cluster"]
