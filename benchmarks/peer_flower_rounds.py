"""In Flower's environment: rounds of its simulation, and ours of the same clients, both warm.

What a client does is what Flower's examples do: a module and an optimizer of torch, the weights as
a record of arrays, and Flower's own FedAvg on the server. Batches are those of the stacked engine,
so that both end with the same weights. Flower takes all processors it is given, ours one thread of
this process. Processor time of Flower is that of this process and of all that it started.
"""

import functools
import json
import logging
import os
import sys
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import psutil
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import nn
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).parent))
from measuring import measure

from overparam.federated import ClientData, iid_partition
from overparam.federated.algorithms import FedAvg as OurFedAvg
from overparam.federated.algorithms import run_round
from overparam.federated.local_training import LocalTraining

CLIENTS, STEPS, BATCH, RATE, WARM = 100, 10, 20, 0.1, 5


@functools.cache
def clients() -> ClientData:
    """The clients' data, once for each process."""
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(100 * CLIENTS, 32, generator=draw)
    y = torch.randint(10, (len(x),), generator=draw)
    return ClientData(x, y, iid_partition(len(x), CLIENTS))


def network() -> nn.Sequential:
    """The same start for everyone."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))


client = ClientApp()


@client.train()
def train(message, context):
    """Ten steps from the weights that came."""
    data, model = clients(), network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    number = int(message.content["config"]["server-round"]) - 1
    own = np.array([int(context.node_config["partition-id"])])
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    for step in range(STEPS):
        rows = data.batch_rows(0, number, own, step, BATCH)[0]
        optimizer.zero_grad()
        cross_entropy(model(data.x[rows]), data.y[rows]).backward()
        optimizer.step()
    answer = RecordDict({
        "arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord({"num-examples": 100}),
    })  # fmt: skip
    return Message(content=answer, reply_to=message)


class Timed(FedAvg):
    """Flower's FedAvg, and the clock at both ends of a round."""

    stamps: list

    def configure_train(self, server_round, arrays, config, grid):
        """The messages of a round, whose time begins here."""
        self.stamps.append(now())
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):
        """Their mean, which ends it."""
        found = super().aggregate_train(server_round, replies)
        self.stamps.append(now())
        return found


def now() -> tuple[float, float, int]:
    """Seconds by the clock and by the processors, of this process and its descendants."""
    busy, family = 0.0, [psutil.Process(), *psutil.Process().children(recursive=True)]
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        busy += times.user + times.system
    return time.perf_counter(), busy, len(family)


def by_flower() -> dict:
    """Times of warm rounds, the first one's, and the weights after all of them."""
    strategy = Timed(fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=CLIENTS,
                     min_available_nodes=CLIENTS)  # fmt: skip
    strategy.stamps, found = [], {}
    server = ServerApp()

    @server.main()
    def main(grid, context) -> None:
        start = ArrayRecord(network().state_dict())
        done = strategy.start(grid, start, num_rounds=WARM + 1)
        found["weights"] = done.arrays.to_torch_state_dict()

    cores = len(os.sched_getaffinity(0))
    backend = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0},
               "init_args": {"num_cpus": cores, "include_dashboard": False}}  # fmt: skip
    run_simulation(server, client, CLIENTS, backend_config=backend)
    ends = np.array(strategy.stamps)
    seconds, busy = (ends[1::2, i] - ends[::2, i] for i in (0, 1))
    return {
        "minimum": float(seconds[1:].min()), "median": float(np.median(seconds[1:])),
        # A mean: the kernel counts it in hundredths of a second, too coarse for a least.
        "cpu": float(busy[1:].mean()), "first": float(seconds[0]),
        "processes": int(ends[-1, 2]), "weights": found["weights"],
    }  # fmt: skip


def by_stacking() -> dict:
    """Times of rounds of the stacked engine, and the weights after as many as Flower's."""
    data, model = clients(), network()
    training = LocalTraining(model, data, cross_entropy, BATCH, 0, "stacked", "bench")
    ids, steps = np.arange(CLIENTS), torch.full((CLIENTS,), STEPS)
    algorithm, start = OurFedAvg(lr=RATE), training.flat.start()

    def one(x: torch.Tensor, number: int) -> torch.Tensor:
        gradient = training.gradient(number, ids, [])
        return run_round(algorithm, {"x": x}, {}, gradient, steps, CLIENTS).server["x"]

    found = measure(lambda: one(start, 0), 20)
    x = start
    for number in range(WARM + 1):
        x = one(x, number)
    return {**found, "weights": training.flat.as_state(x)}


def main() -> None:
    logging.disable(logging.WARNING)
    ours, theirs = by_stacking(), by_flower()
    weights = OrderedDict(ours.pop("weights")), theirs.pop("weights")
    difference = max(float((weights[0][k] - weights[1][k]).abs().max()) for k in weights[0])
    print(json.dumps({"stacked": ours, "flower": theirs, "difference": difference}))


if __name__ == "__main__":
    # Under its own name, by which the simulation's processes find the app of the clients.
    import peer_flower_rounds

    peer_flower_rounds.main()
