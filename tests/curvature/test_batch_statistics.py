"""Curvature of networks whose examples are tied together: that of the network that is trained."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from overparam.curvature import GGNOperator, HessianOperator
from overparam.optim import critical_learning_rate, stability

CE = nn.CrossEntropyLoss()


class OwnNorm(nn.Module):
    """Batch norm as one writes it: no class of torch's to know it by."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean = x.mean(0)
            with torch.no_grad():
                self.mean.lerp_(mean, 0.1)
        else:
            mean = self.mean
        return (x - mean) * self.gain


NORMS = {"batch norm": nn.BatchNorm1d, "own": OwnNorm}


def network(norm: str = "batch norm", *, bias: bool = True, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6, bias=bias), NORMS[norm](6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 3)
    ).double()


def data(n: int = 10) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = 3 + torch.randn(n, 4, dtype=torch.float64, generator=generator)
    return x, torch.randint(3, (n,), generator=generator)


def of_training(flat: Tensor, model: nn.Module, x: Tensor) -> Tensor:
    """Outputs in training mode at other parameters, written out, so that autograd sees all."""
    parts = flat.split([p.numel() for p in model.parameters()])
    values = {n: v.view_as(p) for v, (n, p) in zip(parts, model.named_parameters(), strict=True)}
    h = x @ values["0.weight"].T + values["0.bias"]
    centred = h - h.mean(0)
    if "1.weight" in values:
        scale = (h.var(0, unbiased=False) + 1e-5).sqrt()
        h = centred / scale * values["1.weight"] + values["1.bias"]
    else:
        h = centred * values["1.gain"]
    return h.tanh() @ values["4.weight"].T + values["4.bias"]


@pytest.mark.parametrize("norm", NORMS)
def test_products_are_those_of_training_mode(norm: str) -> None:
    model, (x, y) = network(norm).train(), data()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    jacobian = torch.func.jacrev(of_training)(flat, model, x).reshape(30, -1)
    outputs = of_training(flat, model, x)
    inner = torch.func.hessian(lambda f: CE(f, y))(outputs).reshape(30, 30)
    whole = torch.func.hessian(lambda w: CE(of_training(w, model, x), y))(flat)
    v = torch.randn(len(flat), dtype=torch.float64)
    ggn, hessian = GGNOperator(model, x, y, CE), HessianOperator(model, x, y, CE)
    torch.testing.assert_close(ggn.matvec(v), jacobian.T @ (inner @ (jacobian @ v)))
    torch.testing.assert_close(hessian.matvec(v), whole @ v)
    # In reverse mode too, where forward mode is missing.
    ggn._forward_mode = False
    torch.testing.assert_close(ggn.matvec(v), jacobian.T @ (inner @ (jacobian @ v)))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert model.training


def test_a_tied_batch_is_not_cut() -> None:
    model, (x, y) = network().train(), data()
    with pytest.raises(ValueError, match=r"`GGNOperator\(model=...\)` .*BatchNorm1d '1'"):
        GGNOperator(model, x, y, CE, chunk_size=5)
    GGNOperator(model, x, y, CE, chunk_size=10)


@pytest.mark.parametrize("norm", NORMS)
def test_the_limit_is_that_of_training_in_whatever_mode_the_model_comes(norm: str) -> None:
    """Evaluation mode has the statistics of a network that has seen nothing, or too much."""
    model, (x, y) = network(norm), data()
    trained = critical_learning_rate(model.train(), x, y, CE)
    assert critical_learning_rate(model.eval(), x, y, CE) == trained
    model.train()
    for _ in range(100):
        model(3 * x + 7)
    assert critical_learning_rate(model, x, y, CE) == trained
    assert critical_learning_rate(model.eval(), x, y, CE) == trained
    operator = GGNOperator(model, x, y, CE)
    evaluated = 2 / float(operator.eigenpairs(tolerance=1e-3).values[0])
    assert not 0.8 < evaluated / trained < 1.25


def test_layers_frozen_in_evaluation_mode_stay_so() -> None:
    model, (x, y) = network(), data()
    model(x)
    frozen = GGNOperator(model.eval(), x, y, CE)
    expected = 2 / float(frozen.eigenpairs(tolerance=1e-3).values[0])
    model.train()
    model[1].eval()
    assert critical_learning_rate(model, x, y, CE) == pytest.approx(expected, rel=2e-3)


def test_without_tied_layers_evaluation_mode_is_measured_as_it_is() -> None:
    x, y = data()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3)).double()
    operator = GGNOperator(model.eval(), x, y, CE)
    expected = 2 / float(operator.eigenpairs(tolerance=1e-3).values[0])
    assert critical_learning_rate(model, x, y, CE) == pytest.approx(expected, rel=2e-3)


def test_random_layers_draw_one_mask() -> None:
    model, (x, y) = network(dropout=0.5).train(), data()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = critical_learning_rate(model, x, y, CE)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert critical_learning_rate(model, x, y, CE) == first
    dense = GGNOperator(model, x, y, CE).dense()
    torch.testing.assert_close(dense, dense.T)


@pytest.mark.parametrize("decay", [0.0, 5e-3])
def test_a_bias_before_batch_norm_is_not_part_of_an_adaptive_limit(decay: float) -> None:
    """Training does not move it, so that its second moment is rounding, or its decay's."""
    x, y = data(32)
    found = []
    weights = network().state_dict()
    for bias in (True, False):
        model = network(bias=bias).train()
        model.load_state_dict({n: v for n, v in weights.items() if bias or n != "0.bias"})
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=decay)
        for _ in range(20):
            optimizer.zero_grad()
            CE(model(x), y).backward()
            optimizer.step()
        found.append(critical_learning_rate(model, x, y, CE, optimizer))
        assert found[-1] == pytest.approx(
            critical_learning_rate(model.eval(), x, y, CE, optimizer), rel=1e-6
        )
    assert found[0] == pytest.approx(found[1], rel=1e-2)
    assert math.isfinite(found[0])


class Checkpointed(nn.Module):
    """As packages do it: activations are computed again in the backward pass of training."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)
        self.held = partial(checkpoint, use_reentrant=reentrant)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.second(self.held(lambda h: self.first(h).tanh(), x))
        return self.second(self.first(x).tanh())


@pytest.mark.parametrize("reentrant", [True, False])
def test_activations_that_training_computes_again_are_kept(reentrant: bool) -> None:
    torch.manual_seed(0)
    model, (x, y) = Checkpointed(reentrant).double(), data()
    v = torch.randn(sum(p.numel() for p in model.parameters()), dtype=torch.float64)
    for kind in (GGNOperator, HessianOperator):
        expected = kind(model.eval(), x, y, CE).matvec(v)
        torch.testing.assert_close(kind(model.train(), x, y, CE).matvec(v), expected)
    # Outside a measurement they are computed again.
    seen = []
    model.first.register_forward_hook(lambda *_: seen.append(1))
    CE(model(x.clone().requires_grad_()), y).backward()
    assert len(seen) == 2


def test_a_direction_is_of_the_size_of_the_parameters() -> None:
    model, (x, y) = network(), data()
    unknown = torch.optim.Rprop(model.parameters())
    with pytest.warns(UserWarning, match="no known limit"):
        measured = stability(model, x, y, CE, unknown)
    assert measured.vector.shape == (sum(p.numel() for p in model.parameters()),)
