"""Circulant and Hankel matrices: projections, deviations, features that have them."""

import math

import pytest
import torch

from overparam.kernels.functions import Gaussian, Quadratic
from overparam.kernels.modular.arithmetic import OPERATIONS, modular_arithmetic
from overparam.kernels.modular.circulance import (
    KINDS,
    circulant,
    circulant_deviation,
    circulant_kind,
    nearest_circulant,
)
from overparam.kernels.modular.operand_features import (
    KERNEL_KINDS,
    enforce_circulance,
    operand_block,
    operand_order,
    random_circulant_features,
)
from overparam.kernels.ridge import fit_ridge


@pytest.fixture
def matrix():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(7, 7, generator=draw, dtype=torch.float64)


def basis(m, kind):
    """Orthonormal basis of the circulant matrices: indicators of the wrapped diagonals."""
    vectors = torch.eye(m, dtype=torch.float64)
    return torch.stack([circulant(vector, kind=kind).flatten() for vector in vectors]) / m**0.5


@pytest.mark.parametrize("kind", KINDS)
def test_entries_depend_on_the_difference_or_the_sum(kind):
    c = torch.arange(5.0)
    for i in range(5):
        for j in range(5):
            place = i - j if kind == "circulant" else i + j
            assert circulant(c, kind=kind)[i, j] == c[place % 5]
    assert torch.equal(circulant(c, kind=kind)[:, 0], c)


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_circulant_is_the_orthogonal_projection(matrix, kind):
    rows = basis(7, kind)
    expected = (rows.T @ (rows @ matrix.flatten())).reshape(7, 7)
    nearest = nearest_circulant(matrix, kind=kind)
    torch.testing.assert_close(nearest, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(nearest_circulant(nearest, kind=kind), nearest)


@pytest.mark.parametrize("kind", KINDS)
def test_the_deviation_is_what_the_projection_misses(matrix, kind):
    rows = basis(7, kind)
    held = (rows @ matrix.flatten()).square().sum() / matrix.square().sum()
    assert circulant_deviation(matrix, kind=kind) == pytest.approx(1 - float(held))
    assert circulant_deviation(3 * matrix, kind=kind) == pytest.approx(1 - float(held))
    vector = torch.arange(7.0)
    assert circulant_deviation(circulant(vector, kind=kind), kind=kind) == pytest.approx(0)
    assert circulant_kind(circulant(vector, kind=kind)) == kind


def test_auto_is_the_smaller_deviation(matrix):
    both = [circulant_deviation(matrix, kind=kind) for kind in KINDS]
    assert circulant_deviation(matrix) == min(both)
    assert circulant_deviation(torch.zeros(3, 3)) == 0  # which is circulant


def test_independent_entries_deviate_by_all_but_one_part_in_m():
    draw = torch.Generator().manual_seed(1)
    samples = torch.randn(200, 9, 9, generator=draw, dtype=torch.float64)
    deviations = [circulant_deviation(sample, kind="hankel") for sample in samples]
    assert sum(deviations) / 200 == pytest.approx(1 - 1 / 9, abs=0.01)


def test_the_block_couples_the_operands_in_the_order_of_logarithms():
    p = 7
    features = torch.arange(4.0 * p * p).reshape(2 * p, 2 * p)
    assert torch.equal(operand_block(features, "sub"), features[p:, :p])
    order = operand_order("div", p).tolist()
    block = operand_block(features, "div")
    assert block[2, 4] == features[p + order[2], order[4]]
    assert block.shape == (p - 1, p - 1)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_features_have_the_structure_before_the_root(operation):
    p = 7
    features = random_circulant_features(operation, p, seed=2)
    torch.testing.assert_close(features, features.T)
    assert torch.linalg.eigvalsh(features).min() > -1e-12
    # Positive parts and roots commute with the shifts that a circulant matrix commutes with.
    block = operand_block(features, operation)
    assert circulant_deviation(block, kind=KERNEL_KINDS[operation]) < 1e-12
    assert circulant_kind(block) == KERNEL_KINDS[operation]
    assert torch.equal(features, random_circulant_features(operation, p, seed=2))
    assert not torch.equal(features, random_circulant_features(operation, p, seed=3))


@pytest.mark.parametrize("operation", ["add", "div"])
@pytest.mark.parametrize("kernel", [Quadratic(), Gaussian.from_gamma(0.08)])
def test_random_features_solve_the_task_and_controls_do_not(operation, kernel):
    p = 31
    task = modular_arithmetic(operation, p, train_fraction=0.7, seed=0)

    def accuracy(kind):
        features = random_circulant_features(operation, p, kind=kind, seed=1)
        dual = fit_ridge(kernel, task.x_train, task.y_train, ridge=0.0, feature_matrix=features)
        outputs = kernel.matrix(task.x_test, task.x_train, features) @ dual
        return float((outputs.argmax(1) == task.y_test.argmax(1)).double().mean())

    wrong = {"circulant": "hankel", "hankel": "circulant"}[KERNEL_KINDS[operation]]
    assert accuracy("auto") == accuracy(KERNEL_KINDS[operation]) > 0.97
    assert accuracy(wrong) < 0.1
    assert accuracy("unstructured") < 0.1


@pytest.mark.parametrize("operation", OPERATIONS)
def test_enforcing_gives_a_metric_of_the_right_kind(operation):
    p, draw = 7, torch.Generator().manual_seed(0)
    root = torch.randn(2 * p, 2 * p, generator=draw, dtype=torch.float64)
    learned = root @ root.T
    before = learned.clone()
    made = enforce_circulance(learned, operation)
    assert torch.equal(learned, before)
    torch.testing.assert_close(made, made.T)
    assert torch.linalg.eigvalsh(made).min() > -1e-12
    block = operand_block(made, operation)
    assert circulant_deviation(block, kind=KERNEL_KINDS[operation]) < 1e-12
    # The scale of the operands' coordinates drops out.
    scale = torch.rand(2 * p, generator=draw, dtype=torch.float64) + 0.5
    rescaled = enforce_circulance(scale[:, None] * learned * scale, operation)
    torch.testing.assert_close(rescaled, made)


def test_enforcing_keeps_the_first_column_where_nothing_is_cut_off():
    p = 5
    first = torch.tensor([0.1, 0.02, -0.05, 0.01, 0.03], dtype=torch.float64)
    first = first - first.mean()
    inner = torch.eye(p, dtype=torch.float64) - 1 / p
    block = circulant(first)
    learned = torch.cat([torch.cat([inner, block.T], 1), torch.cat([block, inner], 1)])
    made = enforce_circulance(learned, "add")
    torch.testing.assert_close(made[:p, :p], inner)
    torch.testing.assert_close(made[p:, :p], block / (1 - 1 / p))


SQUARE = torch.eye(10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: circulant_deviation(torch.zeros(2, 3)), "expected a square matrix"),
        (lambda: circulant_deviation(torch.zeros(0, 0)), "expected a square matrix"),
        (lambda: circulant_deviation([[1.0]]), "got list"),
        (lambda: circulant_deviation(torch.eye(3, dtype=torch.int64)), "floating-point"),
        (lambda: circulant_deviation(torch.full((2, 2), math.nan)), "4 that are NaN or infinite"),
        (lambda: circulant_deviation(SQUARE, kind="toeplitz"), "a kind out of circulant, hankel"),
        (lambda: nearest_circulant(SQUARE, kind="auto"), "a kind out of circulant, hankel"),
        (lambda: circulant(torch.zeros(2, 2)), r"circulant\(vector=...\)` expected a vector"),
        (lambda: circulant(torch.zeros(0)), "a vector that is not empty"),
        (lambda: operand_block(torch.eye(3), "add"), "an even number of rows, 2p, got 3"),
        (lambda: operand_block(torch.eye(8), "mul"), "expected a prime, got 4"),
        (lambda: operand_block(SQUARE, "and"), "an operation out of"),
        (lambda: random_circulant_features("add", 5, kind="none"), "a kind out of auto"),
        (lambda: random_circulant_features("div", 6), "expected a prime, got 6"),
        (lambda: enforce_circulance(torch.zeros(10, 10), "add"), "a positive diagonal"),
        (lambda: enforce_circulance(SQUARE * math.inf, "add"), "finite numbers"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
