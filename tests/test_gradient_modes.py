"""What differentiates does so wherever it is called: within `no_grad` and `inference_mode` too."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import overparam as op
from overparam.curvature import GGNOperator, HessianOperator
from overparam.diagnosis import mass_for_model
from overparam.dynamics import gradient_alignment, segment_gradients
from overparam.optim import gradient_noise_scale, stability

CE = nn.CrossEntropyLoss()
DRAW = torch.Generator().manual_seed(0)
X, Y = torch.randn(6, 3, generator=DRAW), torch.randint(0, 2, (6,), generator=DRAW)
PARTS = torch.tensor([0, 0, 0, 1, 1, 1])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


def top(operator: type) -> Callable[[nn.Module], Tensor]:
    return lambda model: operator(model, X, Y, CE).eigenpairs().values


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


CALLS: dict[str, Callable[[nn.Module], Tensor | float]] = {
    "critical_learning_rate": lambda model: op.critical_learning_rate(model, X, Y, CE),
    "real steps": lambda m: op.critical_learning_rate(m, X, Y, CE, sgd(m), steps=2),
    "stability": lambda model: stability(model, X, Y, CE, sgd(model)).ratio,
    "GGNOperator": top(GGNOperator),
    "HessianOperator": top(HessianOperator),
    "empirical_ntk": lambda model: op.empirical_ntk(model, X),
    "linearize": lambda model: op.linearize(model)(X),
    "agop": lambda model: op.agop(model, X),
    "gradient_noise_scale": lambda model: gradient_noise_scale(model, X, Y, CE).signal,
    "gradient_alignment": lambda model: gradient_alignment(model, X, Y, CE),
    "segment_gradients": lambda model: segment_gradients(model, X, Y, CE, PARTS).norms,
    "mass_for_model": lambda model: mass_for_model(model, CE, [(X, Y)], probe_steps=2).param_groups[
        0
    ]["lr"],
}


@pytest.mark.parametrize("name", CALLS)
def test_switched_off_gradients_change_nothing(name: str) -> None:
    call, found = CALLS[name], []
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        model = network()
        with warnings.catch_warnings(), mode():
            warnings.simplefilter("ignore")
            found.append(torch.as_tensor(call(model)).detach().clone())
            assert torch.is_grad_enabled() == (mode is torch.enable_grad)
    assert float(found[0].abs().sum()) > 0
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_rate_is_suggested_there(mode: Callable) -> None:
    model = network()
    with mode():
        found = op.suggest_lr(
            model, [(X, Y)] * 2, CE, sgd(model), budget="5s", steps=4, progress=False
        )
    assert found.rate > 0
