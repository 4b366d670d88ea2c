"""What clients and server agree on: the model, the algorithm, and who has which digits."""

import torch
from overparam.federated import ClientData, dirichlet_partition
from overparam.federated.algorithms import FAdamGC
from sklearn.datasets import load_digits
from torch import Tensor, nn

CLIENTS, ROUNDS, STEPS, BATCH = 2, 3, 10, 20
ALGORITHM = FAdamGC(lr=0.01)


def model() -> nn.Module:
    """The same start for everyone."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def everything(clients: int = CLIENTS) -> ClientData:
    """All digits, shared out. A real client has its own and no others."""
    pixels, digit = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels / 16).float(), torch.tensor(digit)
    return ClientData(x, y, dirichlet_partition(y, clients, alpha=0.5, least=20))


def own(context) -> tuple[Tensor, Tensor]:
    """The digits of the client whose app this is."""
    clients = int(context.node_config.get("num-partitions", CLIENTS))
    return everything(clients).part(int(context.node_config["partition-id"]))
