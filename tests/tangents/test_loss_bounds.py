import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from overparam.tangents import (
    classical_loss_bound,
    generalization_bound,
    linearized_loss,
    spectral_loss_bound,
)

STEPS = [0, 1, 5, 40]


def problem(n: int = 30, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A kernel with eigenvalues i^-2, its vectors and values, and a random residual."""
    draw = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=draw, dtype=torch.float64))
    values = torch.arange(1, n + 1).double() ** -2
    return (q * values) @ q.T, q, values, torch.randn(n, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("lr", [0.3, 1.0, 1.9])
def test_is_the_loss_of_gradient_descent(lr: float) -> None:
    kernel, _, _, r = problem()
    expected, found = [], linearized_loss(kernel, r, lr, STEPS)
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            expected.append(0.5 * r @ r)
        r = r - lr * kernel @ r
    assert_close(found, torch.stack(expected), rtol=1e-10, atol=1e-12)


def test_several_outputs_by_one_kernel_or_the_full_one() -> None:
    kernel, _, _, _ = problem(8)
    r = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).double()
    full = torch.kron(kernel, torch.eye(3).double())  # row i·C + c
    expected = sum(linearized_loss(kernel, r[:, c], 1.0, STEPS) for c in range(3))
    assert_close(linearized_loss(kernel, r, 1.0, STEPS), expected)
    assert_close(linearized_loss(full, r, 1.0, STEPS), expected)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lr", [0.4, 1.9])
def test_the_bounds_that_always_hold(seed: int, lr: float) -> None:
    kernel, _, _, r = problem(seed=seed)
    loss = linearized_loss(kernel, r, lr, STEPS)
    assert bool((spectral_loss_bound(kernel, r, lr, STEPS, "max") >= loss * (1 - 1e-9)).all())
    assert bool((classical_loss_bound(kernel, r, lr, STEPS) >= loss * (1 - 1e-9)).all())


def test_the_trace_is_exact_at_the_start_and_where_residuals_are_aligned() -> None:
    kernel, q, values, r = problem()
    first = spectral_loss_bound(kernel, r, 1.0, [0])
    assert float(first) == pytest.approx(float(r @ r) / 2, rel=1e-9)
    aligned = 3 * q @ values.sqrt()
    for constant in ("trace", "max", 9.0):
        found = spectral_loss_bound(kernel, aligned, 0.7, STEPS, constant)
        assert_close(found, linearized_loss(kernel, aligned, 0.7, STEPS), rtol=1e-6, atol=1e-9)
    # The trace form itself: (C/2) tr[(1 − ηK)^{2t} K].
    shrink = torch.linalg.matrix_power(torch.eye(30).double() - 0.7 * kernel, 2 * 40)
    expected = 4.5 * float((shrink @ kernel).trace())
    assert float(spectral_loss_bound(kernel, r, 0.7, [40], 9.0)) == pytest.approx(expected)


def test_unaligned_residuals_break_the_trace_and_not_the_maximum() -> None:
    kernel, _, _, r = problem()
    loss = linearized_loss(kernel, r, 1.0, [40])
    assert float(spectral_loss_bound(kernel, r, 1.0, [40])) < float(loss)
    assert float(spectral_loss_bound(kernel, r, 1.0, [40], "max")) >= float(loss)


@pytest.mark.parametrize("constant", ["trace", "max"])
def test_the_top_can_be_taken_exactly(constant: str) -> None:
    kernel, q, values, r = problem()
    aligned = q @ values.sqrt() + 7 * q[:, 0]  # but for the first eigenvector
    loss = linearized_loss(kernel, aligned, 0.7, STEPS)
    assert_close(
        spectral_loss_bound(kernel, aligned, 0.7, STEPS, constant, exact_top=1),
        loss, rtol=1e-6, atol=1e-9,
    )  # fmt: skip
    assert float(spectral_loss_bound(kernel, aligned, 0.7, [5], constant)[0]) > 2 * float(loss[2])
    start = spectral_loss_bound(kernel, r, 0.7, [0], exact_top=5)
    assert float(start) == pytest.approx(float(r @ r) / 2, rel=1e-9)


def test_float_noise_neither_decays_nor_decides() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(20, 3, generator=draw)
    r = torch.randn(20, generator=draw)
    kernel, lr = x @ x.T, 0.01
    basis, _ = torch.linalg.qr(x.double())
    outside = r.double() - basis @ (basis.T @ r.double())
    stuck = float(outside @ outside) / 2
    far = [10**6]
    assert float(linearized_loss(kernel, r, lr, far)) == pytest.approx(stuck, rel=1e-5)
    assert float(spectral_loss_bound(kernel, r, lr, far, "max")) == pytest.approx(stuck, rel=1e-5)
    assert float(spectral_loss_bound(kernel, r, lr, far)) < 1e-12
    classical = float(classical_loss_bound(kernel, r, lr, far))
    assert classical == pytest.approx(float(r @ r) / 2, rel=1e-5)


def test_the_classical_bound_is_the_slowest_direction() -> None:
    kernel, _, values, r = problem()
    start = float(r @ r) / 2
    slow = float(classical_loss_bound(kernel, r, 1.0, [40]))
    assert slow == pytest.approx(start * (1 - float(values[-1])) ** 80, rel=1e-9)
    # Beyond 2/(λ_min + λ_max) it is the largest eigenvalue that decays slowest.
    edge = float(classical_loss_bound(kernel, r, 1.9999, [40]))
    assert edge == pytest.approx(start * 0.9999**80, rel=1e-9)


def test_generalisation_against_the_inverse() -> None:
    kernel, q, values, r = problem(12)
    bound = generalization_bound(kernel, r)
    expected = math.sqrt(2 * float(r @ torch.linalg.solve(kernel, r)) / 12)
    assert bound.classical == pytest.approx(expected, rel=1e-8)
    assert bound.classical <= bound.trace_upper * (1 + 1e-9)
    assert bound.trace_per_example == pytest.approx(float(kernel.trace()) / 12)
    assert bound.left_out == 0
    aligned = generalization_bound(kernel, q @ values)
    assert aligned.trace == pytest.approx(aligned.classical, rel=1e-8)
    assert aligned.trace_upper == pytest.approx(aligned.classical, rel=1e-6)
    # ‖y‖² = n: C = n/‖K‖_F².
    y = torch.where(r > 0, 1.0, -1.0).double()
    by_hand = math.sqrt(2 * float(kernel.trace()) / float(kernel.square().sum()))
    assert generalization_bound(kernel, y).trace == pytest.approx(by_hand, rel=1e-8)


def test_generalisation_says_what_it_leaves_out() -> None:
    x = torch.eye(4)[:, :2]
    bound = generalization_bound(x @ x.T, torch.tensor([1.0, 0.0, 1.0, 1.0]))
    assert bound.left_out == pytest.approx(2 / 3)
    assert bound.classical == pytest.approx(math.sqrt(2 * 1 / 4))


BOUNDS = [linearized_loss, spectral_loss_bound, classical_loss_bound]


@pytest.mark.parametrize("function", BOUNDS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("argument", "change"),
    [("lr", {"lr": 2.0}), ("lr", {"lr": 0.0}), ("lr", {"lr": math.nan}), ("lr", {"lr": "0.1"}),
     ("steps", {"steps": []}), ("steps", {"steps": [-1]}), ("steps", {"steps": [0.5]}),
     ("steps", {"steps": 10}), ("steps", {"steps": [math.nan]}),
     ("kernel", {"kernel": torch.ones(2, 3)}), ("kernel", {"kernel": torch.zeros(2, 2)}),
     ("kernel", {"kernel": torch.full((2, 2), torch.nan)}),
     ("kernel", {"kernel": torch.diag(torch.tensor([1.0, -1.0]))}),
     ("r0", {"r0": torch.ones(3)}), ("r0", {"r0": torch.tensor([1.0, torch.inf])})],
)  # fmt: skip
def test_bad_input(function, argument: str, change: dict) -> None:
    given = {"kernel": torch.eye(2), "r0": torch.ones(2), "lr": 0.1, "steps": [1], **change}
    with pytest.raises(ValueError, match=rf"`{function.__name__}\({argument}=...\)` expected"):
        function(**given)


def test_more_bad_input() -> None:
    eye, ones = torch.eye(2), torch.ones(2)
    for constant in (-1.0, math.inf, math.nan, None):
        with pytest.raises(ValueError, match=r"`spectral_loss_bound\(constant=...\)` expected a p"):
            spectral_loss_bound(eye, ones, 0.1, [1], constant)
    for top in (-1, 2, 0.5):
        with pytest.raises(ValueError, match=r"`spectral_loss_bound\(exact_top=...\)` expected"):
            spectral_loss_bound(eye, ones, 0.1, [1], exact_top=top)
    with pytest.raises(ValueError, match="did you mean 'trace'"):
        spectral_loss_bound(eye, ones, 0.1, [1], "trase")
    with pytest.raises(TypeError, match=r"`linearized_loss\(r0=...\)` expected a tensor"):
        linearized_loss(eye, [1.0, 1.0], 0.1, [1])
    with pytest.raises(ValueError, match=r"`generalization_bound\(y=...\)` expected labels"):
        generalization_bound(eye, torch.zeros(2))
    with pytest.raises(ValueError, match=r"`generalization_bound\(kernel=...\)` expected"):
        generalization_bound(torch.zeros(2, 2), ones)
