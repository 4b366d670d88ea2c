"""The Flower adapter: what its apps compute, by a stand-in for what Flower carries.

`x.py bench flower` does the same with Flower itself, and between processes with TLS.
"""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from overparam.federated import ClientData, simulate
from overparam.federated.algorithms import FAdamGC, FedAdam, FedCM, Scaffold
from overparam.federated.flower import client_app, server_app

N, ROUNDS, STEPS, BATCH = 3, 4, 3, 4


class Message:
    """A content, and who it is for or from."""

    def __init__(self, content, reply_to=None, dst_node_id=0, message_type="train"):
        self.content = content
        node = reply_to.metadata.dst_node_id if reply_to else dst_node_id
        self.metadata = SimpleNamespace(dst_node_id=dst_node_id, src_node_id=node)

    def has_error(self):
        return self.content is None


class Array:
    """An array by value."""

    def __init__(self, content):
        self._content = content.copy()

    def numpy(self):
        return self._content


class App:
    """Keeps the one function it is given."""

    def train(self):
        return lambda function: setattr(self, "run", function)

    main = train


@pytest.fixture
def carried(monkeypatch):
    """Flower's names, of which each holds what it is given."""
    apart = {
        "flwr.app": {"Array": Array, "Message": Message} | dict.fromkeys(
            ("ArrayRecord", "ConfigRecord", "MetricRecord", "RecordDict"), dict
        ),
        "flwr.clientapp": {"ClientApp": App},
        "flwr.serverapp": {"ServerApp": App},
    }  # fmt: skip
    for name, members in {"flwr": {}, **apart}.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)


class Grid:
    """Hands messages to clients, later ones first, and loses some of the answers."""

    def __init__(self, app, lost=()):
        self.app, self.lost, self.off = app, lost, []
        self.contexts = {
            10 + i: SimpleNamespace(node_config={"partition-id": i}, state={}) for i in range(N)
        }

    def get_node_ids(self):
        return list(self.contexts)[::-1]

    def send_and_receive(self, messages, timeout):
        messages = list(messages)
        replies = []
        for message in reversed(messages):
            node = message.metadata.dst_node_id
            reply = self.app.run(message, self.contexts[node])
            if (message.content["config"]["round"], node - 10) in self.lost:
                reply.content = None
            replies.append(reply)
        arrays = messages[0].content["arrays"]
        if "c" in arrays:
            kept = [
                torch.from_numpy(context.state["overparam.kept"]["c"].numpy())
                for context in self.contexts.values()
                if "overparam.kept" in context.state
            ]
            mean = sum(kept) / N if kept else torch.tensor(0.0)
            self.off.append(float((torch.from_numpy(arrays["c"].numpy()) - mean).abs().max()))
        return replies


def problem():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=draw)
    data = ClientData(x, (x[:, 0] > 0).long(), [range(12), range(12, 20), range(20, 40)])
    torch.manual_seed(0)
    return data, nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def by_flower(data, model, algorithm, *, lost=(), own=None, **more):
    found = SimpleNamespace()

    def finished(parameters, history, _):
        found.parameters, found.history = parameters, history

    client = client_app(
        lambda: model, own or (lambda context: data.part(context.node_config["partition-id"])),
        algorithm, local_steps=STEPS, batch_size=BATCH,
    )  # fmt: skip
    found.grid = Grid(client, lost)
    server = server_app(
        lambda: model, algorithm, n_clients=N, rounds=ROUNDS, finished=finished, **more
    )
    server.run(found.grid, None)
    return found


@pytest.mark.parametrize(
    "algorithm",
    [FAdamGC(lr=0.05), FAdamGC(lr=0.05, moments="average"), FedAdam(), FedCM(), Scaffold()],
    ids=lambda algorithm: type(algorithm).__name__,
)
@pytest.mark.parametrize("weighting", ["uniform", "examples"])
def test_it_is_the_stacked_engine(algorithm, weighting, carried):
    data, model = problem()
    run = simulate(
        model, data, algorithm, rounds=ROUNDS, local_steps=STEPS, batch_size=BATCH,
        weighting=weighting, progress=False,
    )  # fmt: skip
    other = by_flower(data, model, algorithm, weighting=weighting)
    for name, part in run.parameters.items():
        # A sum over clients in another order or with weights that differ by a factor: of some
        # ten roundings a round, of numbers below 1, magnified by what Adam divides by.
        torch.testing.assert_close(other.parameters[name], part, rtol=0, atol=1e-5)
    assert [row["reported"] for row in other.history] == [N] * ROUNDS


def test_what_is_sent_is_what_the_traffic_says(carried):
    data, model = problem()
    size = sum(p.numel() for p in model.parameters())
    for algorithm in (FAdamGC(), FAdamGC(moments="average"), FedAdam(), FedCM(), Scaffold()):
        server = algorithm.server_state(torch.zeros(size))
        down = algorithm.broadcast(server)
        assert sum(part.numel() for part in down.values()) == algorithm.traffic[0] * size
    assert data.sizes.sum() == 40


def test_c_stays_the_mean_of_all_when_answers_are_lost(carried):
    data, model = problem()
    found = by_flower(data, model, FAdamGC(lr=0.05), lost={(0, 1), (1, 2), (2, 2)})
    assert [row["reported"] for row in found.history] == [2, 2, 2, 3]
    assert len(found.grid.off) == ROUNDS
    # Sums of three single-precision numbers below 1.
    assert max(found.grid.off) < 8 * torch.finfo(torch.float32).eps


def test_a_client_whose_numbers_are_not_finite_changes_nothing(carried):
    data, model = problem()

    def own(context):
        x, y = data.part(context.node_config["partition-id"])
        return (x * 3e38 if context.node_config["partition-id"] == 1 else x), y

    data.x.clamp_(-1, 1)
    found = by_flower(data, model, Scaffold(), own=own)
    assert all(bool(torch.isfinite(part).all()) for part in found.parameters.values())
    assert {row["reported"] + row["not_finite"] for row in found.history} == {N}


def test_too_few_nodes_are_waited_for_and_then_told(carried):
    _, model = problem()
    few = server_app(lambda: model, FedAdam(), n_clients=5, rounds=1, patience=0.3)
    with pytest.raises(TimeoutError, match=r"5 nodes within 0.3 s`?.*got 3"):
        few.run(Grid(None), None)
    many = server_app(lambda: model, FedAdam(), n_clients=2, rounds=1)
    with pytest.raises(ValueError, match="all registered clients, 3 or more"):
        many.run(Grid(None), None)


def test_without_flower_both_say_where_it_is_to_be_had(monkeypatch):
    monkeypatch.setitem(sys.modules, "flwr", None)
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    for make in (
        lambda: client_app(nn.Identity, lambda context: None, FedAdam()),
        lambda: server_app(nn.Identity, FedAdam(), n_clients=2, rounds=1),
    ):
        with pytest.raises(ImportError, match=r"flwr, 1.42(.|\n)*x\.py flower"):
            make()
