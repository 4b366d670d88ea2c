"""The nearest interpolating solution, where it is known, and the constants of a squared loss."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from overparam.errors import NumericalError
from overparam.optim.interpolation import (
    flat_outputs,
    project_to_interpolation,
    square_loss_constants,
)


def circle(v):
    return v.square().sum(-1, keepdim=True)


def test_the_nearest_point_of_a_circle():
    one = torch.ones(1, dtype=torch.float64)
    start = torch.tensor([-1.0, 0.1], dtype=torch.float64)
    for w in ([3.0, 4.0], [0.1, -0.2], [-5.0, 0.0]):
        w = torch.tensor(w, dtype=torch.float64)
        found = project_to_interpolation(circle, w, one, start, max_iterations=200)
        assert_close(found.point, w / w.norm(), rtol=0, atol=1e-5)
        assert found.distance == pytest.approx(abs(float(w.norm()) - 1), abs=1e-8)
        assert found.tangential <= 1e-5
        assert found.infeasibility <= 1e-12


def test_a_linear_problem_takes_one_step(generator):
    x = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    y, w, start = (torch.randn(k, generator=generator, dtype=torch.float64) for k in (3, 7, 7))
    found = project_to_interpolation(lambda v: x @ v, w, y, start)
    assert_close(found.point, w + torch.linalg.pinv(x) @ (y - x @ w))
    assert found.iterations <= 1


def test_a_network_is_projected_to_a_local_minimum_of_the_distance(generator):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 40), nn.Tanh(), nn.Linear(40, 1)).double()
    x = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    y = torch.randn(4, generator=generator, dtype=torch.float64)
    f, w = flat_outputs(model, x)
    assert_close(f(w), model(x).flatten().detach())
    near = project_to_interpolation(f, w, y, w, max_iterations=0)
    found = project_to_interpolation(f, w, y, near.point, max_iterations=300, tolerance=1e-7)
    assert found.tangential <= 1e-5
    assert found.distance <= near.distance
    for _ in range(20):  # other solutions close by are further away
        step = torch.randn(len(w), generator=generator, dtype=torch.float64)
        other = project_to_interpolation(f, w, y, found.point + 0.05 * step, max_iterations=0)
        assert other.distance >= found.distance * (1 - 1e-9)


def test_constants_of_a_linear_model(generator):
    x = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    w, y = (
        torch.randn(7, generator=generator).double(),
        torch.randn(3, generator=generator).double(),
    )
    found = square_loss_constants(lambda v: x @ v, w, y)
    residual = x @ w - y
    values = torch.linalg.eigvalsh(x @ x.T / 3)
    assert found.loss == pytest.approx(float(residual.square().sum() / 6))
    assert found.beta == pytest.approx(float(x.square().sum(1).max()))
    assert found.beta_full == pytest.approx(float(values[-1]))
    assert found.pl_bound == pytest.approx(float(values[0]))
    gradient = x.T @ residual / 3
    assert found.pl == pytest.approx(float(gradient.square().sum()) / (2 * found.loss))
    # E‖∇ℓᵢ‖² ≤ 2βL for single examples and for batches.
    squares = residual.square() * x.square().sum(1)
    assert float(squares.mean()) <= 2 * found.beta * found.loss
    assert found.batch_beta(1) == found.beta
    assert found.batch_beta(10**9) == pytest.approx(found.beta_full)


def test_a_start_out_of_reach():
    bounded = lambda v: torch.tanh(v[:1])  # noqa: E731
    w = torch.zeros(2, dtype=torch.float64)
    with pytest.raises(NumericalError, match=r"project_to_interpolation\(start=...\)"):
        project_to_interpolation(bounded, w, torch.tensor([2.0]).double(), w)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda w: project_to_interpolation(circle, w, w, w), "y"),
        (lambda w: project_to_interpolation(circle, w, w[:1], w[:1]), "start"),
        (lambda w: square_loss_constants(circle, w, w), "y"),
        (lambda w: flat_outputs(nn.ReLU(), w), "model"),
    ],
)
def test_bad_arguments(call, where):
    with pytest.raises(ValueError, match=rf"\({where}=...\)` expected"):
        call(torch.ones(2, dtype=torch.float64))


def test_a_point_of_the_set_is_its_own_projection():
    w = torch.tensor([0.6, 0.8], dtype=torch.float64)
    found = project_to_interpolation(circle, w, torch.ones(1).double(), w)
    assert found.distance == pytest.approx(0, abs=1e-9)
    assert math.isfinite(found.tangential)


def by_hand(model, x):
    """The outputs of flat parameters without the care that `flat_outputs` takes."""
    shapes = {name: p.shape for name, p in model.named_parameters()}

    def outputs(w):
        parts = w.split([shape.numel() for shape in shapes.values()])
        values = {
            name: part.view(shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }
        return torch.func.functional_call(model, values, (x,)).flatten()

    return outputs, torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("outputs_of", [flat_outputs, by_hand])
@pytest.mark.parametrize(
    "call",
    [
        lambda f, w, y: square_loss_constants(f, w, y),
        lambda f, w, y: project_to_interpolation(f, w, y, w),
    ],
    ids=["constants", "projection"],
)
def test_a_batch_norm_in_training_mode_is_refused_and_keeps_its_statistics(call, outputs_of):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).double().train()
    x = torch.arange(8.0).double().reshape(4, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"^`.*expected"):
        call(*outputs_of(model, x), torch.zeros(4).double())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
