"""Independent computations on the workers of Dask or Ray, through joblib."""

from overparam.cluster.backend import ClusterLost
from overparam.cluster.connect import on_cluster

__all__ = ["ClusterLost", "on_cluster"]
