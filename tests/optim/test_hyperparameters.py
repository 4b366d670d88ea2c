"""The constants of a quadratic, against their definitions on matrices."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from overparam.optim.hyperparameters import (
    InterpolationConstants,
    critical_batch_sizes,
    interpolation_constants,
    mass_constants,
    mass_hyperparameters,
)


def features(n: int, d: int, c: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n + 10 * d + 100 * c)
    return torch.randn(n, c, d, dtype=torch.float64, generator=generator)


def gram_of(phi: torch.Tensor) -> torch.Tensor:
    return torch.einsum("iap,jbp->iajb", phi, phi)


def generalised_top(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest c with det(a − c b) = 0, for b positive definite."""
    root = torch.linalg.cholesky(b)
    half = torch.linalg.solve_triangular(root, a, upper=False)
    return float(
        torch.linalg.eigvalsh(torch.linalg.solve_triangular(root, half.mT, upper=False)).max()
    )


def test_independent_examples_have_the_known_constants() -> None:
    phi = features(6, 20)
    found = interpolation_constants(gram_of(phi), torch.ones(6, 1), share=1.0)
    h = phi[:, 0].T @ phi[:, 0] / 6
    assert found.largest == pytest.approx(float(torch.linalg.eigvalsh(h).max()), rel=1e-10)
    assert found.single == pytest.approx(float(phi[:, 0].square().sum(1).max()), rel=1e-10)
    assert found.kappa_t == pytest.approx(6, rel=1e-10)
    assert found.directions == 6


def test_block_constants_bound_their_definitions() -> None:
    # With more rows than parameters the definitions are matrix inequalities in d dimensions.
    phi = features(40, 4, c=2)
    found = interpolation_constants(gram_of(phi), torch.ones(40, 2), share=1.0)
    each = torch.einsum("iap,iaq->ipq", phi, phi)
    h = each.mean(0)
    single = generalised_top((each @ each).mean(0), h)
    kappa = generalised_top((each @ torch.linalg.inv(h) @ each).mean(0), h)
    assert single <= found.single * (1 + 1e-10)
    assert kappa <= found.kappa_t * (1 + 1e-10)
    assert found.directions == 4
    # The bounds are those of the worst example: ‖Φᵢ‖² and the norm of Φᵢ H⁻¹ Φᵢᵀ.
    worst = torch.linalg.matrix_norm(phi, 2).square().max()
    assert found.single == pytest.approx(float(worst), rel=1e-10)
    inner = phi @ torch.linalg.inv(h) @ phi.mT
    assert found.kappa_t == pytest.approx(float(torch.linalg.eigvalsh(inner).max()), rel=1e-9)
    values = torch.linalg.eigvalsh(h)
    ends = (found.smallest, found.largest)
    assert ends == pytest.approx((float(values[0]), float(values[-1])), rel=1e-10)


def test_share_keeps_the_directions_that_hold_the_residual() -> None:
    values = torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)
    gram = torch.diag(values).reshape(4, 1, 4, 1)
    residual = torch.tensor([[3.0], [1.0], [0.0], [0.0]])
    assert interpolation_constants(gram, residual, share=0.9).directions == 1
    assert interpolation_constants(gram, residual, share=0.95).directions == 2
    assert interpolation_constants(gram, residual, share=0.9).smallest == 2.0


def test_large_batches_make_mass_deterministic_nesterov() -> None:
    constants = InterpolationConstants(2.0, 50.0, 0.02, 30.0, 5)
    found = mass_hyperparameters(constants, 10**9)
    assert found.lr == pytest.approx(0.5, rel=1e-6)
    assert found.alpha == pytest.approx(math.sqrt(0.02 / 2.0), rel=1e-6)
    assert found.compensation == pytest.approx(0, abs=1e-6)


def test_critical_sizes_are_ordered_either_way() -> None:
    assert critical_batch_sizes(InterpolationConstants(1.0, 9.0, 0.1, 4.0, 3)) == (4.0, 9.0)
    assert critical_batch_sizes(InterpolationConstants(1.0, 3.0, 0.1, 4.0, 3)) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("gram", "residual", "share", "sentence"),
    [
        (torch.ones(2, 1, 3, 1), torch.ones(2, 1), 0.9, "expected shape"),
        (torch.full((2, 1, 2, 1), math.nan), torch.ones(2, 1), 0.9, "a finite Gram matrix"),
        (torch.zeros(2, 1, 2, 1), torch.ones(2, 1), 0.9, "that is not zero"),
        (torch.eye(2).reshape(2, 1, 2, 1), torch.ones(2, 1), 0.0, r"a number in \(0, 1\]"),
    ],
)
def test_bad_input(gram, residual, share: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        interpolation_constants(gram, residual, share=share)


def test_batch_size_zero() -> None:
    with pytest.raises(ValueError, match="a positive number, got 0"):
        mass_hyperparameters(InterpolationConstants(1.0, 1.0, 1.0, 1.0, 1), 0)


def smallest_bound(matrix: torch.Tensor, h: torch.Tensor) -> float:
    """Smallest c with matrix ⪯ c·h on the range of h, by the generalized eigenvalues."""
    values, vectors = torch.linalg.eigh(h)
    kept = values > 1e-10 * values[-1]
    half = vectors[:, kept] / values[kept].sqrt()
    return float(torch.linalg.eigvalsh(half.T @ matrix @ half)[-1])


@pytest.mark.parametrize("shape", [(5, 8), (30, 4), (6, 6)])
def test_constants_of_features(generator, shape):
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    n = len(x)
    h = x.T @ x / n
    pinv = torch.linalg.pinv(h, rtol=1e-10)
    found = mass_constants(x)
    norms, leverages = x.square().sum(1), torch.einsum("ni,ij,nj->n", x, pinv, x)
    assert found.single == pytest.approx(smallest_bound(x.T @ (norms[:, None] * x) / n, h))
    assert found.kappa_t == pytest.approx(smallest_bound(x.T @ (leverages[:, None] * x) / n, h))
    values = torch.linalg.eigvalsh(h)
    assert found.largest == pytest.approx(float(values[-1]))
    assert found.smallest == pytest.approx(float(values[values > 1e-10][0]))
    if shape[0] <= shape[1]:  # independent examples
        assert found.kappa_t == pytest.approx(n)
        assert found.single == pytest.approx(float(norms.max()))


def test_both_ways_to_the_constants_agree_on_independent_examples(generator):
    x = torch.randn(6, 9, generator=generator, dtype=torch.float64)
    gram = (x @ x.T)[:, None, :, None]
    other = interpolation_constants(gram, torch.ones(6, 1), share=1.0)
    found = mass_constants(x)
    for name in ("largest", "single", "smallest", "kappa_t", "directions"):
        assert getattr(found, name) == pytest.approx(getattr(other, name), rel=1e-9)


def test_the_settings_are_the_papers():
    constants = InterpolationConstants(2.0, 12.0, 0.5, 20.0, 3)
    for m in (1, 4, 100):
        found = mass_hyperparameters(constants, m)
        smooth, kappa_t = 12 / m + (m - 1) * 2 / m, 20 / m + (m - 1) / m
        root = math.sqrt(smooth / 0.5 * kappa_t)
        assert found.lr == pytest.approx(1 / smooth)
        assert found.alpha == pytest.approx(1 / root)
        assert found.momentum == pytest.approx((root - 1) / (root + 1))
        assert found.compensation == pytest.approx(
            1 / smooth * root / (root + 1) * (1 - 1 / kappa_t)
        )


def test_batches_without_replacement(generator):
    """E[H̃²] over all subsets of five examples is that of the weights used, exactly."""
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    outer = x[:, :, None] * x[:, None, :]
    h, single = outer.mean(0), (outer @ outer).mean(0)
    for m in range(1, 6):
        means = torch.stack([outer[list(s)].mean(0) for s in itertools.combinations(range(5), m)])
        weight = (5 - m) / (m * 4)
        assert_close((means @ means).mean(0), weight * single + (1 - weight) * h @ h)
        found = mass_hyperparameters(InterpolationConstants(2.0, 12.0, 0.5, 20.0, 3), m, examples=5)
        assert found.lr == pytest.approx(1 / (weight * 12 + (1 - weight) * 2))
        assert found.kappa_t == pytest.approx(weight * 20 + 1 - weight)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda c: mass_hyperparameters(c, 0), "batch_size"),
        (lambda c: mass_hyperparameters(c, math.nan), "batch_size"),
        (lambda c: mass_hyperparameters(c, 6, examples=5), "batch_size"),
        (lambda c: mass_constants(torch.zeros(3, 2)), "features"),
        (lambda c: mass_constants(torch.ones(3)), "features"),
        (lambda c: mass_constants(torch.full((3, 2), math.nan)), "features"),
        (lambda c: mass_constants(torch.ones(0, 2)), "features"),
    ],
)
def test_bad_arguments(call, where):
    with pytest.raises(ValueError, match=rf"\({where}=...\)` expected"):
        call(InterpolationConstants(2.0, 8.0, 0.5, 10.0, 3))
