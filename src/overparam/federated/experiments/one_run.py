"""A run of a spec as plain data: its curves, and what it does for each client."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from overparam._progress import Progress
from overparam._random_numbers import own_random_numbers
from overparam.federated.algorithms.algorithm import Algorithm
from overparam.federated.clients import ClientData
from overparam.federated.decentralised import simulate_decentralised
from overparam.federated.experiments.building import Pool, chain, model_of, parts_of
from overparam.federated.experiments.kept import KeptRuns
from overparam.federated.experiments.spec_file import (
    LOCAL,
    VERTICAL,
    Spec,
    algorithm_of,
    dpzv_of,
    participation_of,
    topology_of,
)
from overparam.federated.simulation import simulate
from overparam.federated.vertical.training import (
    VerticalData,
    each_cross_entropy,
    train_vertical,
)

# A run is kept about so many times while it goes on.
_KEPT = 20
_AT_ONCE = 4096
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Runner:
    """Runs of one spec on one pool.

    Attributes:
        spec: What is simulated.
        pool: Examples.
        kept: Where runs are kept.
        device: Where it is computed.
        where: The call as the user would type it.
        progress: As everywhere.
    """

    spec: Spec
    pool: Pool
    kept: KeptRuns
    device: str
    where: str
    progress: Progress

    def run(self, name: str, settings: Mapping[str, Any], seed: int) -> Row:
        """A run, computed or kept; the seed draws the partition, the model and all batches.

        Args:
            name: Of an algorithm.
            settings: Of it.
            seed: Of all that is random.
        """
        model = model_of(self.spec, self.pool, seed, self.where).to(self.device)
        spec = replace(self.spec, algorithm={"name": name, **settings})
        key = (
            "federate 1", sorted(asdict(spec).items()), seed, self.device, torch.__version__,
            self.pool.digest(), repr(model), list(model.state_dict().values()),
        )  # fmt: skip
        if (found := self.kept.result(*key)) is not None:
            return found
        way = {LOCAL: self._without_server, VERTICAL: self._vertical}.get(name, self._with_server)
        checkpoint = str(self.kept.checkpoint(*key))
        found = {"algorithm": name, "seed": seed, **way(spec, model, seed, checkpoint)}
        self.kept.put(found, *key)
        return self.kept.result(*key) or found

    def clients(self, seed: int) -> ClientData:
        """Who has what."""
        return ClientData(
            self.pool.x, self.pool.y, parts_of(self.spec, self.pool, seed, self.where)
        )

    def _with_server(self, spec: Spec, model: nn.Module, seed: int, checkpoint: str) -> Row:
        algorithm = algorithm_of(spec.name, spec.settings, self.where)
        clients = self.clients(seed)
        done = simulate(
            model, clients, algorithm, rounds=spec.rounds, loss=self.pool.loss,
            local_steps=spec.local_steps, batch_size=spec.batch_size,
            participation=participation_of(spec, self.where),
            weighting=spec.weighting,  # type: ignore[arg-type]
            test=self.pool.test, test_every=spec.test_every, checkpoint=checkpoint,
            checkpoint_every=max(1, spec.rounds // _KEPT), progress=self.progress, seed=seed,
        )  # fmt: skip
        table = done.history
        return {
            **_told(algorithm, done.engine, done.parameters),
            "curve": {
                **_columns(
                    table, "test_accuracy", "test_loss", "loss", "drift", "reported", "not_finite"
                ),
                "floats": (table["floats_up"] + table["floats_down"]).tolist(),
            },
            "client_accuracy": self._by_client(model, done.parameters, clients),
        }

    def _without_server(self, spec: Spec, model: nn.Module, seed: int, checkpoint: str) -> Row:
        topology = topology_of(spec, self.where)
        done = simulate_decentralised(
            model, self.clients(seed), topology, rounds=spec.rounds, loss=self.pool.loss,
            local_steps=spec.local_steps, batch_size=spec.batch_size, test=self.pool.test,
            test_every=spec.test_every, checkpoint=checkpoint,
            checkpoint_every=max(1, spec.rounds // _KEPT), progress=self.progress, seed=seed,
            **spec.settings,
        )  # fmt: skip
        table = done.history
        return {
            "settings": {**spec.settings, "topology": repr(topology)},
            "engine": done.engine,
            "parameters": done.models.shape[1],
            "topology": {
                "edges": int(topology.edges()),
                "factor": topology.consensus_factor(),
                "error": topology.consensus_error(),
            },
            "curve": {
                **_columns(
                    table,
                    "test_accuracy",
                    "test_accuracy_least",
                    "loss",
                    "spread_before",
                    "spread",
                    "not_finite",
                ),
                "floats": table["floats_sent"].tolist(),
            },
            "client_accuracy": [self._accuracy(model, row, *self.pool.test) for row in done.models],
        }

    def _vertical(self, spec: Spec, model: nn.Module, seed: int, checkpoint: str) -> Row:
        method, columns = dpzv_of(spec, self.where), self._split()
        y, (_, y_test) = self.pool.y.to(self.device), self.pool.test
        train = VerticalData([part.to(self.device) for part in columns[0]], y)
        test = VerticalData([part.to(self.device) for part in columns[1]], y_test.to(self.device))
        parties, head = self._parties(columns[0], seed)
        done = train_vertical(
            parties, head, train, method, epochs=spec.rounds, batch_size=spec.batch_size,
            test=test, progress=self.progress, seed=seed,
            loss=each_cross_entropy if self.pool.names else _each_squared,
        )  # fmt: skip
        table = done.history
        return {
            "settings": asdict(method),
            "engine": "forward",
            "parameters": sum(p.numel() for part in done.parties for p in part.values())
            + sum(p.numel() for p in done.head.values()),
            "noise": None if done.plan is None else asdict(done.plan),
            "curve": {
                **_columns(table, "test_accuracy", "test_loss", "epsilon", "releases"),
                "floats": (table["floats_up"] + table["floats_down"]).tolist(),
            },
        }

    def _split(self) -> tuple[list[Tensor], list[Tensor]]:
        """Columns of each party, of the training and of the test examples."""
        flat = [x.flatten(1).float() for x in (self.pool.x, self.pool.test[0])]
        parts = [list(x.tensor_split(self.spec.clients, dim=1)) for x in flat]
        return parts[0], parts[1]

    def _parties(self, columns: list[Tensor], seed: int) -> tuple[list[nn.Module], nn.Module]:
        """A network for each party and a linear head."""
        size = self.spec.vertical.get("embedding", 4)
        with own_random_numbers():
            torch.manual_seed(seed)
            parties = [
                nn.Sequential(chain(part.shape[1], self.spec.model, size), nn.Tanh())
                for part in columns
            ]
            head = nn.Linear(size * len(columns), self.pool.outputs)
        return [party.to(self.device) for party in parties], head.to(self.device)

    def _by_client(
        self, model: nn.Module, parameters: Mapping[str, Tensor], clients: ClientData
    ) -> list[float] | None:
        """Accuracy of one model on each client's own examples."""
        if not self.pool.names:
            return None
        right = self._right(model, parameters, self.pool.x, self.pool.y)
        return [float(right[part].mean()) for part in clients.parts()]

    def _accuracy(self, model: nn.Module, row: Tensor, x: Tensor, y: Tensor) -> float:
        """Of a model whose parameters are one vector."""
        own = [p for p in model.parameters() if p.requires_grad]
        names = [name for name, p in model.named_parameters() if p.requires_grad]
        parts = row.split([p.numel() for p in own])
        views = {n: part.view_as(p) for n, part, p in zip(names, parts, own, strict=True)}
        return float(self._right(model, views, x, y).mean())

    @torch.no_grad()
    def _right(
        self, model: nn.Module, parameters: Mapping[str, Tensor], x: Tensor, y: Tensor
    ) -> np.ndarray:
        """Of each example whether its class is found, as 0 and 1."""
        found = [
            torch.func.functional_call(model, dict(parameters), (part.to(self.device),)).argmax(1)
            for part in x.split(_AT_ONCE)
        ]
        return (torch.cat(found).cpu() == y).double().numpy()


def _told(algorithm: Algorithm, engine: str, parameters: Mapping[str, Tensor]) -> Row:
    return {
        "settings": asdict(algorithm),
        "engine": engine,
        "parameters": sum(p.numel() for p in parameters.values()),
        "traffic": list(algorithm.traffic),
    }


def _columns(table: Any, *names: str) -> dict[str, list]:
    """The columns that a history has, with the rounds."""
    return {"round": table.index.tolist()} | {
        name: table[name].tolist() for name in names if name in table
    }


def _each_squared(outputs: Tensor, y: Tensor) -> Tensor:
    """The squared error of each example."""
    return (outputs - y).square().flatten(1).mean(1)
