from .algorithm import Algorithm
from .fadamgc import FAdamGC, LocalAdam
from .fedadam import FedAdam
from .fedavg import FedAvg, FedAvgM
from .fedcm import FedCM
from .round import RoundOutcome, run_round
from .scaffold import Scaffold

__all__ = [
    "Algorithm",
    "FAdamGC",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedCM",
    "LocalAdam",
    "RoundOutcome",
    "Scaffold",
    "run_round",
]
