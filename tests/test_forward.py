"""`forward=` wherever a model and inputs are taken, and what is said where it is missing."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import overparam as op
from overparam._batch import call
from overparam._forward import Adapted, inside, seen_through
from overparam._model import as_function, trainable, undisturbed
from overparam.curvature import GGNOperator, HessianOperator, hessian_norm
from overparam.diagnosis import loader_constants, mass_for_model, model_constants
from overparam.expansions import linearization_error, quadratization_error
from overparam.optim import stability
from overparam.tangents import (
    agop_diagonal,
    empirical_ntk_blocks,
    gradient_sketch,
    network_alignment,
    pl_certificate,
    pl_estimate,
    pl_trace,
    sum_of_logits_ntk,
)


class Plain(nn.Module):
    """What the others do, with the tensor as it is."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.last = nn.Linear(3, 5), nn.Linear(5, 2)
        for p in self.parameters():
            p.data = torch.randn(p.shape, generator=generator) / 2

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.first(x)))


class InADict(Plain):
    def forward(self, x: Tensor) -> Any:
        return {"loss": torch.zeros(()), "logits": super().forward(x)}


def picked(model: nn.Module, x: Any) -> Tensor:
    return model(x)["logits"]


X = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
Y = torch.randn(6, 2, generator=torch.Generator().manual_seed(2))


def earlier(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() * 0.9 for name, p in model.named_parameters()}


CALLS: dict[str, Callable[..., Any]] = {
    "empirical_ntk": lambda m, **k: op.empirical_ntk(m, X, **k),
    "empirical_ntk_blocks": lambda m, **k: empirical_ntk_blocks(m, X, **k),
    "sum_of_logits_ntk": lambda m, **k: sum_of_logits_ntk(m, X, **k),
    "NTKOperator": lambda m, **k: op.NTKOperator(m, X, **k).dense(),
    "extreme_eigenvalues": lambda m, **k: op.extreme_eigenvalues(m, X, **k).largest,
    "gradient_sketch": lambda m, **k: gradient_sketch(m, X, 8, seed=0, **k).features,
    "network_alignment": lambda m, **k: network_alignment(m, X, Y, **k).labels.projections,
    "agop": lambda m, **k: op.agop(m, X, **k),
    "agop_diagonal": lambda m, **k: agop_diagonal(m, X, **k),
    "pl_trace": lambda m, **k: pl_trace(m, X, Y, {0: earlier(m)}, **k).mu,
    "pl_certificate": lambda m, **k: pl_certificate(m, X, Y, smoothness=1.0, **k).reason,
    "pl_estimate": lambda m, **k: pl_estimate(m, X, Y, directions=1, **k).smallest_mu,
    "GGNOperator": lambda m, **k: GGNOperator(m, X, Y, F.mse_loss, **k).dense(),
    "HessianOperator": lambda m, **k: HessianOperator(m, X, Y, F.mse_loss, **k).dense(),
    "hessian_norm": lambda m, **k: hessian_norm(m, X[:1], **k),
    "linearize": lambda m, **k: op.linearize(m, **k)(X),
    "quadratize": lambda m, **k: op.quadratize(m, **k)(X),
    "linearization_error": lambda m, **k: linearization_error(m, earlier(m), X, **k),
    "quadratization_error": lambda m, **k: quadratization_error(m, earlier(m), X, **k),
    "critical_learning_rate": lambda m, **k: op.critical_learning_rate(m, X, Y, F.mse_loss, **k),
    "stability": lambda m, **k: (
        stability(m, X, Y, F.mse_loss, torch.optim.SGD(m.parameters(), lr=0.1), **k).ratio
    ),
    "model_constants": lambda m, **k: model_constants(m, X, Y, F.mse_loss, **k).largest,
    "loader_constants": lambda m, **k: loader_constants(m, [(X, Y)], F.mse_loss, **k).largest,
    "mass_for_model": lambda m, **k: mass_for_model(
        m, F.mse_loss, [(X, Y)], probe_steps=2, **k
    ).defaults["lr"],
}


@pytest.mark.parametrize("name", CALLS)
def test_what_forward_picks_is_measured_like_a_model_that_returns_it(name: str) -> None:
    wanted, found = CALLS[name](Plain()), CALLS[name](InADict(), forward=picked)
    if isinstance(wanted, str):
        assert found == wanted
        return
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    "name", [name for name in CALLS if name not in ("linearize", "quadratize", "pl_certificate")]
)
def test_without_it_one_line_says_what_to_pass(name: str) -> None:
    with pytest.raises(
        TypeError, match=r"got a dict\.\nHint: pass forward=lambda model, x: model\(x\)\['log"
    ):
        CALLS[name](InADict())


def test_no_function_is_told_so() -> None:
    with pytest.raises(TypeError, match=r"^`empirical_ntk\(forward=...\)` expected a function"):
        op.empirical_ntk(Plain(), X, forward="logits")  # type: ignore[arg-type]


def test_the_model_inside_is_the_model_itself() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.BatchNorm1d(4))
    model.register_parameter("scale", nn.Parameter(torch.ones(4)))
    model.eval()
    seen = seen_through(model, lambda model, x: model(x["x"]) * model.scale)
    assert isinstance(seen, Adapted)
    assert list(dict(seen.named_parameters())) == list(dict(model.named_parameters()))
    assert not model.training  # making it has changed no mode
    seen.train()
    assert model.training
    assert model[1].training
    with undisturbed(seen, evaluation=True):
        assert not model[2].training
    assert model[2].training
    seen.eval()
    x = {"x": X}
    doubled = {name: 2 * p.detach() for name, p in trainable(seen).items()}
    before = call(seen, x)
    moved = as_function(seen)(doubled, x)
    assert not torch.equal(moved, before)
    assert torch.equal(call(seen, x), before)
    twin = copy.deepcopy(seen)
    with torch.no_grad():
        inside(twin).scale.zero_()
    assert not call(twin, x).any()
    assert torch.equal(call(seen, x), before)


def test_of_a_compiled_model_the_one_inside_is_called() -> None:
    model = InADict()
    torch.testing.assert_close(
        op.empirical_ntk(torch.compile(model, backend="eager"), X, forward=picked),
        op.empirical_ntk(Plain(), X),
    )


@dataclass
class Both:
    a: Tensor
    b: list[Tensor]


class Takes(nn.Module):
    """A model that takes inputs in a form of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Plain()

    def forward(self, x: Any, other: Tensor | None = None) -> Tensor:
        if isinstance(x, Both):
            return self.inner(x.a + x.b[0])
        return self.inner(x if other is None else x + other)


@pytest.mark.parametrize(
    "x", [(X, X), [X, X], {"x": X, "other": X}, Both(X, [X]), {"x": X, "other": None}],
    ids=["tuple", "list", "dict", "dataclass", "none"],
)  # fmt: skip
def test_inputs_of_any_form(x: Any) -> None:
    both = X if isinstance(x, dict) and x["other"] is None else 2 * X
    torch.testing.assert_close(op.empirical_ntk(Takes(), x), op.empirical_ntk(Plain(), both))
    torch.testing.assert_close(
        op.critical_learning_rate(Takes(), x, Y, F.mse_loss),
        op.critical_learning_rate(Plain(), both, Y, F.mse_loss),
    )


def test_targets_of_any_form() -> None:
    def loss(outputs: Tensor, y: dict[str, Tensor]) -> Tensor:
        return F.mse_loss(outputs, y["a"]) + F.mse_loss(outputs, y["b"])

    y: Any = {"a": Y, "b": Y}
    found = op.critical_learning_rate(Plain(), X, y, loss)  # type: ignore[arg-type]
    wanted = op.critical_learning_rate(Plain(), X, Y, lambda f, y: 2 * F.mse_loss(f, y))
    assert found == pytest.approx(wanted, rel=1e-4)


class Graph:
    """What is needed of a graph's data."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @property
    def num_nodes(self) -> int:
        return len(self.x)


class Mixing(nn.Module):
    """A layer of a graph network: sums over neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Plain()

    def forward(self, graph: Any) -> Tensor:
        source, target = graph.edge_index
        return self.inner(graph.x.index_add(0, target, graph.x[source]))


def test_a_graph_has_a_limit_and_no_kernel_of_its_nodes() -> None:
    edges = torch.tensor([[0, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 3]])
    graph: Any = Graph(x=X, edge_index=edges, y=Y)
    mixed = X.index_add(0, edges[1], X[edges[0]])
    found = op.critical_learning_rate(Mixing(), graph, Y, F.mse_loss)
    assert found == pytest.approx(op.critical_learning_rate(Plain(), mixed, Y, F.mse_loss))
    with pytest.raises(ValueError, match=r"inputs that can be taken one by one, got a graph's"):
        op.empirical_ntk(Mixing(), graph)


def test_edges_beside_features_are_named() -> None:
    edges = torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"forward=lambda model, x: model\(x, edges\)"):
        op.critical_learning_rate(Plain(), (X, edges), Y, F.mse_loss)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((Plain(), X, Y, torch.optim.SGD(Plain().parameters(), lr=1.0), nn.MSELoss()),
      r"expected a loss in fourth place, got an optimizer \(SGD\)"),
     ((nn.MSELoss(), X, Y, Plain()), r"expected a model in first place, got a loss \(MSELoss\)"),
     ((X, Plain(), Y, nn.MSELoss()), r"expected a model in first place, got data"),
     ((Plain(), X, nn.MSELoss(), Y), r"expected targets in third place, got a loss \(MSELoss\)")],
)  # fmt: skip
def test_arguments_in_another_order_are_named(arguments: tuple, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        op.critical_learning_rate(*arguments)


class Llama(nn.Module):
    """A model whose only part is called `model`, as that of many language models is."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.adaptor = Plain(), nn.Identity()

    def forward(self, x: Tensor) -> Any:
        return {"logits": self.adaptor(self.model(x))}


def test_no_submodule_is_hidden_by_what_forward_is_kept_in() -> None:
    model = Llama()
    wanted = op.empirical_ntk(model.model, X)
    assert torch.equal(op.empirical_ntk(model, X, forward=picked), wanted)
    seen = seen_through(model, picked)
    assert seen.get_submodule("model") is model.model
    assert seen.adaptor is model.adaptor
