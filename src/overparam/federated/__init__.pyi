from .clients import ClientData
from .decentralised import DecentralisedRun, simulate_decentralised
from .participation import Participation
from .partitions import dirichlet_partition, iid_partition, pathological_partition
from .running import FederatedRun
from .simulation import simulate

__all__ = [
    "ClientData",
    "DecentralisedRun",
    "FederatedRun",
    "Participation",
    "dirichlet_partition",
    "iid_partition",
    "pathological_partition",
    "simulate",
    "simulate_decentralised",
]
