"""In Flower's environment: the apps without a network, held to the stacked engine.

Messages are Flower's own and go through its client app and its state, from memory to memory.
"""

import json
import time
from types import SimpleNamespace

import torch
from flwr.app import Context, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from sklearn.datasets import load_digits
from torch import nn

from overparam.federated import ClientData, dirichlet_partition, simulate
from overparam.federated.algorithms import (
    FAdamGC,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedCM,
    LocalAdam,
    Scaffold,
)
from overparam.federated.flower import _KEPT as KEPT
from overparam.federated.flower import _tensors as tensors
from overparam.federated.flower import client_app, server_app

CLIENTS, ROUNDS, STEPS, BATCH = 4, 4, 10, 20
ALGORITHMS = {
    "FAdamGC keep": FAdamGC(lr=0.01),
    "FAdamGC reset": FAdamGC(lr=0.01, moments="reset"),
    "FAdamGC average": FAdamGC(lr=0.01, moments="average"),
    "FedAdam": FedAdam(lr=0.1),
    "FedAvg": FedAvg(lr=0.1),
    "FedAvgM": FedAvgM(lr=0.1),
    "FedCM": FedCM(lr=0.1),
    "LocalAdam": LocalAdam(lr=0.01),
    "Scaffold": Scaffold(lr=0.1),
}


class Grid:
    """What a server app sends by: every message to its client's app, and back.

    Args:
        app: Of all clients.
        lost: Answers (round, client) that never arrive; the client has computed them.
    """

    def __init__(self, app, lost=()) -> None:
        self._app, self._lost, self.off = app, lost, 0.0
        self.contexts = [
            Context(1, i + 1, {"partition-id": i}, RecordDict(), {}) for i in range(CLIENTS)
        ]

    def get_node_ids(self):
        """All clients, always."""
        return [context.node_id for context in self.contexts]

    def send_and_receive(self, messages, timeout):
        """What the clients answer, and how far c is off the mean of what they keep."""
        replies = [self._answered(message) for message in messages]
        kept = [tensors(context.state[KEPT])["c"] for context in self.contexts
                if KEPT in context.state and "c" in context.state[KEPT]]  # fmt: skip
        if kept:
            c = tensors(messages[0].content["arrays"])["c"]
            self.off = max(self.off, float((c - sum(kept) / CLIENTS).abs().max()))
        return replies

    def _answered(self, message):
        node = message.metadata.dst_node_id
        TaskIdentity.node_id = node
        reply = self._app(message, self.contexts[node - 1])
        if (int(message.content["config"]["round"]), node - 1) in self._lost:
            reply = Message(Error(code=0, reason="lost"), reply_to=message)
        return reply


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def through_flower(data, algorithm, lost=()):
    """Parameters and rows of a run by Flower's apps, and what the clients keep."""
    found = SimpleNamespace()

    def own(context):
        return data.part(int(context.node_config["partition-id"]))

    def finished(parameters, history, _) -> None:
        found.parameters, found.history = parameters, history

    app = client_app(model, own, algorithm, local_steps=STEPS, batch_size=BATCH)
    grid = Grid(app, lost)
    server = server_app(
        model, algorithm, n_clients=CLIENTS, rounds=ROUNDS, finished=finished, patience=1.0
    )
    server(grid, Context(1, 0, {}, RecordDict(), {}))
    found.grid = grid
    return found


def main() -> None:
    TaskIdentity.task_id = TaskIdentity.run_id = 1
    TaskIdentity.node_id = 0
    pixels, digit = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels / 16).float(), torch.tensor(digit)
    data = ClientData(x, y, dirichlet_partition(y, CLIENTS, alpha=0.5, least=20))
    rows = {}
    for name, algorithm in ALGORITHMS.items():
        run = simulate(
            model(), data, algorithm, rounds=ROUNDS, local_steps=STEPS, batch_size=BATCH,
            progress=False,
        )  # fmt: skip
        began = time.process_time()
        other = through_flower(data, algorithm)
        rows[name] = {
            "difference": max(
                float((other.parameters[key] - part).abs().max())
                for key, part in run.parameters.items()
            ),
            "moved": max(
                float((part - start.detach()).abs().max())
                for part, start in zip(run.parameters.values(), model().parameters(), strict=True)
            ),
            "seconds": (time.process_time() - began) / ROUNDS,
            "reported": [row["reported"] for row in other.history],
        }
    # Answers that are lost although their clients have computed them: c stays the mean.
    torn = through_flower(data, FAdamGC(lr=0.01), lost={(0, 1), (1, 2), (2, 2)})
    assert [row["reported"] for row in torn.history] == [3, 3, 3, 4]
    print(json.dumps({"algorithms": rows, "invariant": torn.grid.off}))


if __name__ == "__main__":
    main()
