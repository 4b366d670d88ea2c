"""Quadratic models: the recursions against brute-force gradient descent on the weights."""

import math

import pytest
import torch
from torch import nn

from overparam.expansions import QuadraticModel, quadratic_step
from overparam.tangents import empirical_ntk


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def symmetric(n, p, seed=1):
    raw = normal(n, p, p, seed=seed)
    return raw + raw.mT


def descend(n=4, p=6, gamma=0.3, lr=0.02, steps=5):
    """A model, and what it looks like after every step on half the sum of squares."""
    matrices, features, y = symmetric(n, p), normal(n, p, seed=2), normal(n, seed=3)
    model = QuadraticModel(lambda x: features, lambda x: matrices, gamma, weights=normal(p, seed=4))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    x, seen = torch.zeros(n, 1, dtype=torch.float64), []
    for _ in range(steps + 1):
        outputs = model(x)[:, 0]
        jacobian = torch.stack(
            [torch.autograd.grad(f, model.weights, retain_graph=True)[0] for f in outputs]
        )
        seen.append(((outputs - y).detach(), jacobian))
        optimizer.zero_grad()
        ((outputs - y).square().sum() / 2).backward()
        optimizer.step()
    return gamma * matrices, seen


def test_steps_are_those_of_gradient_descent():
    hessians, seen = descend()
    residual, jacobian = seen[0]
    for expected_residual, expected_jacobian in seen[1:]:
        residual, kernel, jacobian = quadratic_step(residual, jacobian, hessians, 0.02)
        torch.testing.assert_close(residual, expected_residual, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(jacobian, expected_jacobian, rtol=1e-12, atol=1e-13)
        expected = expected_jacobian @ expected_jacobian.T
        torch.testing.assert_close(kernel, expected, rtol=1e-12, atol=1e-12)


def test_the_printed_recursion_of_the_kernel_is_not_that_of_gradient_descent():
    hessians, ((residual, jacobian), (_, after)) = descend(steps=1)
    change = torch.einsum("p,npq->nq", residual @ jacobian, hessians)
    kernel, cross = jacobian @ jacobian.T, change @ jacobian.T
    printed = kernel - (4 * 0.02 * cross - 0.02**2 * change @ change.T) / 4
    ours = quadratic_step(residual, jacobian, hessians, 0.02).kernel
    exact = after @ after.T
    assert (ours - exact).norm() < 1e-12
    assert (printed - exact).norm() > 1e-2


def test_one_quadratic_example_as_a_recursion_of_two_numbers():
    # φ = 0, Σ² = ‖x‖² I, target 0; the proposition with γ², and η in the second equation.
    p, gamma, lr, scale = 8, 0.05, 0.4, 1.7
    signs = 2.0 * (torch.arange(p) % 2) - 1
    model = QuadraticModel(
        lambda x: torch.zeros(len(x), p, dtype=torch.float64),
        lambda x: scale * torch.diag(signs).double(),
        gamma,
        weights=normal(p),
    )
    x = torch.ones(1, 1, dtype=torch.float64)
    g, curvature = model(x).item(), empirical_ntk(model, x).item()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(4):
        optimizer.zero_grad()
        (model(x).square().sum() / 2).backward()
        optimizer.step()
        size = gamma**2 * scale**2
        g, curvature = (
            (1 - lr * curvature + size * lr**2 * g**2) * g,
            curvature - lr * size * g**2 * (4 - lr * curvature),
        )
        assert model(x).item() == pytest.approx(g, rel=1e-12)
        assert empirical_ntk(model, x).item() == pytest.approx(curvature, rel=1e-12)


def test_one_matrix_for_all_and_any_optimizer():
    model = QuadraticModel(lambda x: x, lambda x: torch.eye(3), 0.5, weights=torch.ones(3))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(x), x.sum(1, keepdim=True) + 0.75)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), torch.zeros(5, 1))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"gamma": math.nan}, "gamma"),
        ({"weights": torch.zeros(2, 2)}, "weights"),
        ({"weights": torch.tensor([math.inf])}, "weights"),
        ({"weights": torch.ones(3, dtype=torch.int64)}, "weights"),
        ({"phi": lambda x: x[:, :2]}, "phi"),
        ({"sigma": lambda x: torch.eye(2)}, "sigma"),
    ],
)
def test_a_bad_model(change, where):
    given = {"phi": lambda x: x, "sigma": lambda x: torch.eye(3), "gamma": 1.0}
    given |= {"weights": torch.ones(3)} | change
    with pytest.raises(ValueError, match=rf"`QuadraticModel\({where}=\.\.\.\)` expected"):
        QuadraticModel(**given)(torch.ones(1, 3))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"residual": torch.ones(3)}, "residual"),
        ({"residual": torch.full((2,), math.nan)}, "residual"),
        ({"jacobian": torch.ones(2)}, "jacobian"),
        ({"hessians": torch.ones(2, 3, 2)}, "hessians"),
        ({"hessians": torch.full((2, 3, 3), math.inf)}, "hessians"),
        ({"lr": 0.0}, "lr"),
        ({"lr": math.nan}, "lr"),
    ],
)
def test_a_bad_step(change, where):
    given = {"residual": torch.ones(2), "jacobian": torch.ones(2, 3)}
    given |= {"hessians": torch.ones(2, 3, 3), "lr": 0.1} | change
    with pytest.raises(ValueError, match=rf"`quadratic_step\({where}=\.\.\.\)` expected"):
        quadratic_step(**given)
