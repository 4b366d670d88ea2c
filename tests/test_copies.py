"""Copies of models and optimizers, also of those that a deep copy alone loses."""

import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm, weight_norm
from torch.optim.optimizer import Optimizer

import overparam as op
from overparam._copies import copied, copied_model

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))


class Lionlike(Optimizer):
    """A step by signs that reads attributes of its own."""

    def __init__(self, params, lr: float = 0.1) -> None:
        self.beta, self.lock = 0.9, threading.Lock()
        super().__init__(params, {"lr": lr})
        self.first = self.param_groups[0]["params"][0]

    def step(self, closure=None) -> None:
        with self.lock, torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(self.beta * group["lr"] * p.grad.sign())


class Stern(Lionlike):
    """One that wants its attributes while its state is put in."""

    def __setstate__(self, state) -> None:
        super().__setstate__(state)
        self.half = self.beta / 2


@pytest.mark.parametrize("kind", [Lionlike, Stern])
def test_an_optimizer_keeps_attributes_of_its_own_and_trains_the_copy(kind) -> None:
    model = nn.Linear(3, 2)
    optimizer = kind(model.parameters(), lr=0.3)
    torch.optim.lr_scheduler.ConstantLR(optimizer)  # wraps `step`
    before = model.weight.detach().clone()
    twin, made = copied(model, optimizer)
    assert made.first is twin.weight
    twin(X).sum().backward()
    made.step()
    assert torch.equal(model.weight, before)
    assert not torch.equal(twin.weight, before)
    assert made.param_groups[0]["params"][0] is twin.weight


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm])
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`")
def test_weights_computed_by_a_hook_are_copied_measured_and_left_alone(norm) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2)).eval()
    model(X)
    computed = model[0].weight
    assert computed.grad_fn is not None
    twin = copied_model(model)
    torch.testing.assert_close(twin(X), model(X))
    model(X)
    computed = model[0].weight
    torch.testing.assert_close(op.linearize(model)(X), model(X))
    model(X)
    computed = model[0].weight
    assert op.agop(model, X).shape == (3, 3)
    assert op.critical_learning_rate(model, X, Y, nn.functional.mse_loss) > 0
    assert op.empirical_ntk(model, X).shape == (6, 6)
    assert model[0].weight is computed


class Remembers(nn.Module):
    """Keeps what it computed, alone and in containers, and a loss would go on with it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.last: Tensor | None = None
        self.seen: list[dict[str, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.layer(x)
        self.seen.append({"out": self.last * 2})
        return self.last


def test_activations_that_a_module_keeps_are_copied_as_numbers() -> None:
    model = Remembers()
    model(torch.ones(4, 3))
    twin = copied_model(model)
    assert twin.last is not None
    assert model.last is not None
    assert twin.last.grad_fn is None
    torch.testing.assert_close(twin.seen[0]["out"], 2 * model.last.detach())
    assert model.last.grad_fn is not None
