"""Training without a server: every node has a model of its own, and mixes it with others'."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from overparam._checked import checked
from overparam._errors import expect
from overparam._files import Name
from overparam._memory import expect_room
from overparam._model import undisturbed
from overparam._progress import Progress, counted, expect_progress
from overparam._types import Count, Loss, Natural, NonNegative, Params, Positive, Share
from overparam.federated.algorithms.fedavg import FedAvg
from overparam.federated.clients import ClientData
from overparam.federated.engine.choice import Engine
from overparam.federated.kept_run import KeptRun
from overparam.federated.local_training import LocalTraining, digest_of, expect_test, name_of
from overparam.federated.streams import generator_seed, uniform
from overparam.federated.topologies.topology import Topology

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = ("spread_before", "spread", "floats_sent", "gradients", "down", "not_finite")


@dataclass(frozen=True)
class DecentralisedRun:
    """What training without a server ends with.

    Attributes:
        models: (n, P) each node's model as a vector.
        parameters: The mean model's parameters by name.
        history: A row for each round, from 0, the start: `loss`, the mean over the nodes' batches;
            `spread_before` and `spread`, the mean distance of the nodes from their mean before
            and after mixing; `floats_sent`, by all since the start, messages to and from nodes
            that are down among them; `gradients`, of examples, since the start; `down`, nodes that
            were; `not_finite`, nodes whose steps gave numbers that are not; and where it was asked
            for, over the nodes, the mean, least and quartiles of their `test_accuracy`.
        engine: What computed gradients.
    """

    models: Tensor
    parameters: Params
    history: "pd.DataFrame"
    engine: str


@checked
def simulate_decentralised(
    model: nn.Module,
    clients: ClientData,
    topology: Topology,
    *,
    rounds: Count,
    lr: Positive,
    loss: Loss = cross_entropy,
    local_steps: Count = 3,
    batch_size: Count = 16,
    weight_decay: NonNegative = 0.0,
    crashes: Share = 0.0,
    test: tuple[Tensor, Tensor] | None = None,
    test_every: Count = 10,
    engine: Engine = "auto",
    chunk_size: Count | None = None,
    checkpoint: Name | None = None,
    checkpoint_every: Count = 10,
    progress: Progress = True,
    seed: Natural = 0,
) -> DecentralisedRun:
    """Local SGD of every node from *its own* model, then a round of random mixing.

    A node or a hub that is down in a round does nothing in it and keeps what it has; what it was
    to send is missing from the averages of others. So it is with a node whose steps give numbers
    that are not finite: it keeps the model of before.

    Args:
        model: Where every node starts, which averaging needs; left as it was. As in `simulate`.
        clients: Who has what; as many as the topology has nodes.
        topology: Who mixes with whom.
        rounds: Of the whole run, those before a checkpoint included.
        lr: Step size of local SGD.
        loss: `loss(outputs, targets)` of a batch, its mean.
        local_steps: Steps of each node before it mixes.
        batch_size: Examples of a step, drawn with replacement from the node's own.
        weight_decay: Decoupled, per local step.
        crashes: Probability that a node, and a hub, is down in a round.
        test: Examples and classes on which every node is tested.
        test_every: Rounds from one test to the next; the last is tested too.
        engine: As in `simulate`.
        chunk_size: Nodes whose gradients are held at once. Results agree up to rounding.
        checkpoint: As in `simulate`.
        checkpoint_every: Rounds from one writing to the next.
        progress: Whether to show how far it is.
        seed: Of all that is drawn.

    Raises:
        ValueError: As `simulate`, and if there are not as many clients as nodes.
        MemoryError: If the nodes' models do not fit.

    Cost: memory of four times the nodes' models; time of all gradients and P additions an edge.

    Example:
        >>> import torch
        >>> from overparam.federated import ClientData, iid_partition, simulate_decentralised
        >>> from overparam.federated.topologies import HubSpoke
        >>> draw = torch.Generator().manual_seed(0)
        >>> x = torch.randn(400, 5, generator=draw)
        >>> data = ClientData(x, (x[:, 0] > 0).long(), iid_partition(400, 20))
        >>> run = simulate_decentralised(
        ...     nn.Linear(5, 2), data, HubSpoke(20, 4, 5, 2, 1), rounds=30, lr=0.5,
        ...     test=(x, data.y), progress=False,
        ... )
        >>> bool(run.history["test_accuracy"].iloc[-1] > 0.9)
        True
    """
    where = "simulate_decentralised"
    expect_progress(progress, f"{where}(progress=...)")
    expect_test(test, clients, f"{where}(test=...)")
    expect(
        len(clients) == topology.n_nodes, f"{where}(clients=...)",
        f"a client for each of the {topology.n_nodes} nodes of the topology", len(clients),
    )  # fmt: skip
    with undisturbed(model):
        run = _Run(
            LocalTraining(model, clients, loss, batch_size, seed, engine, where), topology,
            FedAvg(lr=lr, weight_decay=weight_decay), local_steps, batch_size, crashes, test,
            test_every, chunk_size, seed,
        )  # fmt: skip
        key = digest_of(
            repr(topology), lr, loss and name_of(loss), local_steps, batch_size, weight_decay,
            crashes, test_every, chunk_size, seed, run.training.engine.name, torch.__version__,
            repr(model), *model.state_dict().values(), clients.x, clients.y, *clients.parts(),
            *(test or ()),
        )  # fmt: skip
        kept = KeptRun(checkpoint, key, f"{where}(checkpoint=...)")
        return run.until(rounds, kept, checkpoint_every, progress)


class _Run:
    """A run and where it stands."""

    def __init__(
        self, training: LocalTraining, topology: Topology, algorithm: FedAvg, local_steps: int,
        batch_size: int, crashes: float, test: tuple[Tensor, Tensor] | None, test_every: int,
        chunk_size: int | None, seed: int,
    ) -> None:  # fmt: skip
        self.training, self._topology, self._algorithm = training, topology, algorithm
        self._steps, self._size, self._crashes, self._seed = local_steps, batch_size, crashes, seed
        self._test, self._test_every = test, test_every
        self._stack, x = training.stack(chunk_size), training.flat.start()
        nodes = topology.n_nodes
        expect_room(
            4.0 * nodes * x.numel() * x.element_size(), x.device,
            "simulate_decentralised(clients=...)", "take fewer nodes or a smaller model.",
            what="the nodes' models",
        )  # fmt: skip
        self.models: Tensor = x.expand(nodes, -1).clone()
        self.hubs: Tensor | None = None
        self.rows: list[dict[str, Any]] = []

    def until(self, rounds: int, kept: KeptRun, every: int, progress: Progress) -> DecentralisedRun:
        import pandas as pd

        found = kept.load(self.training.flat.device)
        if found is not None:
            self.models, self.hubs, self.rows = found["models"], found["hubs"], found["rows"]
        else:
            zero = dict.fromkeys(_COUNTS, 0)
            self.rows.append(self._with_test({"loss": float("nan"), **zero}, test=True))
        done = len(self.rows) - 1
        where = "simulate_decentralised(rounds=...)"
        words = f"{done} or more, which the checkpoint has done"
        expect(done <= rounds, where, words, rounds)
        with counted(progress, "rounds", rounds, done=done, unit="round") as advance:
            for number in range(done, rounds):
                last = number + 1 == rounds
                self.rows.append(self._round(number, last))
                if last or (number + 1) % every == 0:
                    kept.save({"models": self.models, "hubs": self.hubs, "rows": self.rows})
                advance()
        flat, table = self.training.flat, pd.DataFrame(self.rows)
        mean = self.models.mean(0)
        return DecentralisedRun(
            self.models, flat.as_state(mean), table.set_index("round"), self.training.engine.name
        )

    def _round(self, number: int, last: bool) -> dict[str, Any]:
        nodes, hubs = self._topology.n_nodes, self._topology.n_hubs
        up = uniform(self._seed, "drop-outs", number, np.arange(nodes + hubs)) >= self._crashes
        alive = torch.from_numpy(up).to(self.models.device)
        working = np.flatnonzero(up[:nodes])
        losses, broken = self._train(number, working)
        alive[torch.from_numpy(broken).to(alive.device)] = False
        before = self._spread()
        plan = self._topology.sample(generator_seed(self._seed, "mixing", number))
        self.models, self.hubs = plan.apply(
            self.models, self.hubs, alive[:nodes], alive[nodes:] if hubs else None
        )
        size, earlier = self.training.flat.size, self.rows[-1]
        return self._with_test(
            {
                "loss": losses,
                "spread_before": before,
                "spread": self._spread(),
                "floats_sent": earlier["floats_sent"] + int(self._topology.edges()) * size,
                "gradients": earlier["gradients"] + len(working) * self._steps * self._size,
                "down": nodes - len(working),
                "not_finite": len(broken),
            },
            test=last or (number + 1) % self._test_every == 0,
        )

    def _train(self, number: int, ids: np.ndarray) -> tuple[float, np.ndarray]:
        """Local steps of these nodes, in place; the mean loss, and those that were not finite."""
        found, broken = [], [ids[:0]]
        for part in np.split(ids, range(self._stack, len(ids), self._stack)):
            if len(part) == 0:
                continue
            losses: list[Tensor] = []
            rows = torch.from_numpy(part).to(self.models.device)
            steps = torch.full((len(part),), self._steps)
            gradient = self.training.gradient(number, part, losses)
            sent, _ = self._algorithm.local({"x": self.models[rows]}, {}, gradient, steps)
            kept = torch.isfinite(sent["delta"]).all(dim=1)
            self.models.index_add_(0, rows[kept], sent["delta"][kept])
            found.append(torch.stack(losses).mean(0)[kept])
            broken.append(part[~kept.cpu().numpy()])
        mean = float(torch.cat(found).mean()) if found else float("nan")
        return mean, np.concatenate(broken)

    def _spread(self) -> float:
        """Mean distance of the nodes from their mean."""
        return float((self.models - self.models.mean(0)).norm(dim=1).mean())

    def _with_test(self, row: dict[str, Any], *, test: bool) -> dict[str, Any]:
        row = {"round": len(self.rows), **row}
        if self._test is None:
            return row
        names = ("", "_least", "_lower_quartile", "_median", "_upper_quartile")
        if not test:
            return row | dict.fromkeys((f"test_accuracy{name}" for name in names), float("nan"))
        found = [self.training.tested(x, self._test).get("test_accuracy") for x in self.models]
        expect(None not in found, "simulate_decentralised(test=...)", "targets that are classes",
               f"targets of {self._test[1].dtype}")  # fmt: skip
        values = np.array(found, dtype=float)
        numbers = (values.mean(), values.min(), *np.quantile(values, (0.25, 0.5, 0.75)))
        return row | {
            f"test_accuracy{name}": float(v) for name, v in zip(names, numbers, strict=True)
        }
