"""The same algorithms between machines, by Flower: an app for clients and one for their server.

Flower carries messages, authenticates and encrypts; what clients and server compute are the
functions of `overparam.federated.algorithms`, and the batches are those of `simulate` with the same
seed. It is imported when an app is made, from an environment of its own: its pins and ours exclude
each other. ``x.py flower`` makes one.

A client cannot know whether its answer arrived. It keeps the state of before until the server's
next message says that the answer was in the sums, so that c stays the mean of the c_i whoever is
lost on the way.
"""

import importlib
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from overparam._checked import checked
from overparam._errors import complaint, expect
from overparam._types import Count, Loss, Natural, Positive
from overparam.federated.algorithms.algorithm import Algorithm, State
from overparam.federated.algorithms.round import Report, concluded
from overparam.federated.clients import ClientData
from overparam.federated.engine.choice import chosen_engine, expect_no_batch_norm
from overparam.federated.engine.flat_parameters import FlatParameters
from overparam.federated.participation import Some, round_half_up
from overparam.federated.streams import below, uniform

_KEPT, _AFTER, _NUMBERS = "overparam.kept", "overparam.after", "overparam.numbers"
_NEVER = -1


@checked
def client_app(
    model: Callable[[], nn.Module],
    data: Callable[..., tuple[Tensor, Tensor]],
    algorithm: Algorithm,
    *,
    loss: Loss = cross_entropy,
    local_steps: Count = 10,
    batch_size: Count = 20,
    seed: Natural = 0,
) -> Any:
    """What a client runs: `flwr.clientapp.ClientApp`.

    Its number is ``partition-id`` of its node's configuration; batches depend on it, on the seed,
    the round and the step. What the algorithm keeps stays in the node's state from round to round.
    An answer with numbers that are not finite is not sent, and changes nothing.

    Args:
        model: Makes the module; its parameters are replaced by the server's.
        data: `data(context)` gives this client's examples and targets, and nobody else's.
        algorithm: As the server's.
        loss: `loss(outputs, targets)` of a batch, its mean.
        local_steps: In a round.
        batch_size: Examples of a step, drawn with replacement.
        seed: As that of `simulate`.

    Raises:
        ImportError: Without Flower.
        ValueError: In the client, for a model with batch norm, or no examples.
    """
    flwr = _flower("client_app(...)")
    app = flwr.ClientApp()

    @app.train()
    def train(message: Any, context: Any) -> Any:
        module = model()
        expect_no_batch_norm(module, "client_app(model=...)")
        x, y = data(context)
        # Tells of lengths that do not fit and of numbers that are not finite.
        pool = ClientData(x, y, [range(len(x))])
        flat = FlatParameters(module, "client_app(model=...)")
        engine = chosen_engine("auto", flat, loss, pool.x[:2], pool.y[:2], "client_app(model=...)")
        told = message.content["config"]
        number, client = int(told["round"]), int(context.node_config.get("partition-id", 0))
        server = _tensors(message.content["arrays"])
        before = _state(context, algorithm, server["x"], int(told["counted"]))
        seen: list[Tensor] = []

        def gradient(w: Tensor, step: int) -> Tensor:
            rows = torch.from_numpy(
                below(seed, "batches", len(x), number, client, step, np.arange(batch_size))
            )
            found, gradients = engine(w, pool.x[rows][None], pool.y[rows][None])
            seen.append(found)
            return gradients

        sent, after = algorithm.local(server, before, gradient, torch.tensor([local_steps]))
        finite = all(bool(torch.isfinite(rows).all()) for rows in (*sent.values(), *after.values()))
        metrics = {
            "num-examples": len(x), "client": client, "kept": int(finite),
            "loss": float(torch.stack(seen).mean()) if finite else 0.0,
        }  # fmt: skip
        content = flwr.RecordDict({"metrics": flwr.MetricRecord(metrics)})
        if finite:
            content["arrays"] = _record(flwr, {name: rows[0] for name, rows in sent.items()})
            context.state[_AFTER] = _record(flwr, {name: rows[0] for name, rows in after.items()})
            context.state[_NUMBERS] = flwr.ConfigRecord({"round": number})
        return flwr.Message(content=content, reply_to=message)

    return app


@checked
def server_app(
    model: Callable[[], nn.Module],
    algorithm: Algorithm,
    *,
    n_clients: Count,
    rounds: Count,
    share: Some = 1.0,
    weighting: Literal["uniform", "examples"] = "uniform",
    finished: Callable[[dict[str, Tensor], list[dict[str, Any]], Any], Any] | None = None,
    patience: Positive = 600.0,
    timeout: Positive = 3600.0,
    seed: Natural = 0,
) -> Any:
    """What the server runs: `flwr.serverapp.ServerApp`.

    Args:
        model: Makes the module where training starts.
        algorithm: What clients and server compute.
        n_clients: N, all that are registered: c is a mean over them. It waits until so many nodes
            are there.
        rounds: How many.
        share: Of the nodes that a round asks, drawn anew.
        weighting: As in `simulate`.
        finished: Called in the end with the parameters by name, a row for each round (`round`,
            `asked`, `reported`, `not_finite` and `loss`) and Flower's context.
        patience: Seconds to wait for nodes.
        timeout: Seconds to wait for the answers of a round; who is later is lost to it.
        seed: Of who is asked.

    Raises:
        ImportError: Without Flower.
        TimeoutError: In the server, if there are not enough nodes.
    """
    flwr = _flower("server_app(...)")
    app = flwr.ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        flat = FlatParameters(model(), "server_app(model=...)")
        rows = _Rounds(flwr, algorithm, n_clients, share, weighting, patience, seed)
        rows.server = algorithm.server_state(flat.start())
        for number in range(rounds):
            rows.one(grid, number, timeout)
        if finished is not None:
            finished(flat.as_state(rows.server["x"]), rows.history, context)

    return app


class _Rounds:
    """The server's state, and whose answer was last in the sums."""

    def __init__(
        self, flwr: Any, algorithm: Algorithm, n_clients: int, share: float, weighting: str,
        patience: float, seed: int,
    ) -> None:  # fmt: skip
        self._flwr, self._algorithm, self._n = flwr, algorithm, n_clients
        self._share, self._weighting, self._patience = share, weighting, patience
        self._seed = seed
        self.server: State = {}
        self.history: list[dict[str, Any]] = []
        self._counted: dict[int, int] = {}

    def one(self, grid: Any, number: int, timeout: float) -> None:
        """A round: ask, wait, add up what came."""
        nodes = self._asked(self._nodes(grid), number)
        replies = grid.send_and_receive(self._messages(nodes, number), timeout=timeout)
        answers, lost = [], 0
        for reply in replies:
            if reply.has_error():
                continue
            metrics = reply.content["metrics"]
            sent = _tensors(reply.content["arrays"]) if int(metrics["kept"]) else {}
            # Held to once more: what a client says of itself is no proof.
            if not sent or not all(bool(torch.isfinite(part).all()) for part in sent.values()):
                lost += 1
                continue
            answers.append((int(metrics["client"]), reply.metadata.src_node_id, metrics, sent))
        # In the order of the clients, not of arrival: sums round the same.
        answers.sort(key=lambda answer: answer[:2])
        if answers:
            self.server = concluded(self._algorithm, self.server, [self._report(answers)], self._n)
        for _, node, _, _ in answers:
            self._counted[node] = number
        losses = [float(metrics["loss"]) for _, _, metrics, _ in answers]
        self.history.append({
            "round": number + 1, "asked": len(nodes), "reported": len(answers),
            "not_finite": lost, "loss": float(np.mean(losses)) if losses else float("nan"),
        })  # fmt: skip

    def _nodes(self, grid: Any) -> list[int]:
        """All nodes, once there are as many as clients are registered."""
        began = time.monotonic()
        while len(nodes := sorted(grid.get_node_ids())) < self._n:
            late = time.monotonic() - began > self._patience
            expect(not late, "server_app(patience=...)", f"{self._n} nodes within "
                   f"{self._patience:g} s", len(nodes), "start more, or ask why they stay away.",
                   TimeoutError)  # fmt: skip
            time.sleep(min(0.2, self._patience))
        expect(len(nodes) <= self._n, "server_app(n_clients=...)",
               f"all registered clients, {len(nodes)} or more", self._n)  # fmt: skip
        return nodes

    def _asked(self, nodes: list[int], number: int) -> list[int]:
        count = max(1, round_half_up(self._share * len(nodes)))
        order = np.argsort(uniform(self._seed, "clients", number, np.arange(len(nodes))),
                           kind="stable")  # fmt: skip
        return [nodes[i] for i in sorted(order[:count])]

    def _messages(self, nodes: Iterable[int], number: int) -> list[Any]:
        flwr = self._flwr
        arrays = self._algorithm.broadcast(self.server)
        return [
            flwr.Message(
                content=flwr.RecordDict({
                    "arrays": _record(flwr, arrays),
                    "config": flwr.ConfigRecord(
                        {"round": number, "counted": self._counted.get(node, _NEVER)}
                    ),
                }),
                message_type="train", dst_node_id=node,
            )
            for node in nodes
        ]  # fmt: skip

    def _report(self, answers: list[Any]) -> Report:
        """Sums of what came, as those of the engine."""
        x = self.server["x"]
        sizes = [float(metrics["num-examples"]) for _, _, metrics, _ in answers]
        weights = torch.tensor(sizes if self._weighting == "examples" else [1.0] * len(sizes))
        weights = weights.to(x.dtype)
        total = {}
        for name in answers[0][3]:
            rows = torch.stack([sent[name] for *_, sent in answers])
            summed = name in self._algorithm.SUMMED
            total[name] = rows.sum(0) if summed else weights @ rows
        return Report(total, float(weights.sum()), {}, torch.tensor([True] * len(sizes)), x)


def _state(context: Any, algorithm: Algorithm, x: Tensor, counted: int) -> State:
    """What the client keeps: of its last answer only if that was in the sums."""
    kept = context.state
    if _AFTER in kept and int(kept[_NUMBERS]["round"]) == counted:
        kept[_KEPT] = kept[_AFTER]
    if _AFTER in kept:
        del kept[_AFTER]
    if _KEPT in kept:
        return {name: row[None] for name, row in _tensors(kept[_KEPT]).items()}
    return algorithm.client_state(1, x)


def _record(flwr: Any, state: State) -> Any:
    """Tensors as what Flower carries."""
    return flwr.ArrayRecord({
        name: flwr.Array(part.detach().cpu().contiguous().numpy()) for name, part in state.items()
    })  # fmt: skip


def _tensors(record: Any) -> State:
    """What Flower carried as tensors of their own."""
    return {name: torch.from_numpy(np.array(array.numpy())) for name, array in record.items()}


def _flower(where: str) -> SimpleNamespace:
    """The names of Flower that are needed, or an error that says where it is to be had."""
    try:
        found = {
            **vars(importlib.import_module("flwr.app")),
            "ClientApp": importlib.import_module("flwr.clientapp").ClientApp,
            "ServerApp": importlib.import_module("flwr.serverapp").ServerApp,
        }
    except ImportError as problem:
        hint = "python3 x.py flower makes an environment for it, which cannot be this one."
        raise complaint(where, "the package flwr, 1.42", "none", hint, ImportError) from problem
    return SimpleNamespace(**{name: part for name, part in found.items() if name[0] != "_"})
