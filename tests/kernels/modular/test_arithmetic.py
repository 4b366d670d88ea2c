"""Tasks, tables, and the order in which a product is a sum."""

import pytest
import torch

from overparam.kernels.modular.arithmetic import (
    OPERATIONS,
    discrete_log_order,
    modular_arithmetic,
    operation_table,
)

SMALLEST_GENERATORS = {23: 5, 29: 2, 31: 3, 37: 2, 41: 6, 43: 3, 47: 5, 53: 2, 59: 2, 61: 2, 97: 5}


def result(operation, a, b, p):
    if operation == "div":
        return a * pow(b, -1, p) % p
    return {"add": a + b, "sub": a - b, "mul": a * b}[operation] % p


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_pair_occurs_once_with_its_result(operation):
    p = 7
    task = modular_arithmetic(operation, p, train_fraction=0.6, seed=3)
    x, y = torch.cat([task.x_train, task.x_test]), torch.cat([task.y_train, task.y_test])
    assert x.dtype == torch.float64
    assert x.sum(1).eq(2).all()
    assert y.sum(1).eq(1).all()
    a, b = (x[:, side].argmax(1).tolist() for side in (slice(p), slice(p, 2 * p)))
    pairs = set(zip(a, b, strict=True))
    assert len(pairs) == len(x) == (p * (p - 1) if operation == "div" else p * p)
    assert all(second for _, second in pairs) == (operation == "div")
    expected = [result(operation, i, j, p) for i, j in zip(a, b, strict=True)]
    assert y.argmax(1).tolist() == expected
    assert len(task.x_train) == int(0.6 * len(x))


def test_the_split_follows_from_the_seed_alone():
    state = torch.get_rng_state()
    first, again, other = (modular_arithmetic("add", 11, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.x_train, again.x_train)
    assert not torch.equal(first.x_train, other.x_train)
    from_generator = modular_arithmetic("add", 11, seed=torch.Generator().manual_seed(0))
    assert torch.equal(first.x_test, from_generator.x_test)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_table_is_the_operation(operation):
    p = 11
    table = operation_table(operation, p).tolist()
    for a in range(p):
        for b in range(p):
            defined = operation != "div" or b
            assert table[a][b] == (result(operation, a, b, p) if defined else -1)


def test_sums_need_no_prime():
    assert operation_table("add", 6)[5, 4] == 3
    assert len(modular_arithmetic("sub", 6, train_fraction=0.5).x_train) == 18


@pytest.mark.parametrize(("p", "generator"), SMALLEST_GENERATORS.items())
def test_the_order_is_the_powers_of_the_smallest_generator(p, generator):
    order = discrete_log_order(p).tolist()
    assert order == [pow(generator, k, p) for k in range(p - 1)]
    assert sorted(order) == list(range(1, p))


@pytest.mark.parametrize("p", [2, 3, 13])
def test_in_that_order_a_product_is_a_sum(p):
    order = discrete_log_order(p)
    table = operation_table("mul", p)[order[:, None], order]
    k = torch.arange(p - 1)
    assert torch.equal(table, order[(k[:, None] + k) % (p - 1)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: modular_arithmetic("plus", 7), "expected an operation out of add, div, mul, sub"),
        (lambda: modular_arithmetic("mul", 9), r"modulus=...\)` expected a prime, got 9"),
        (lambda: modular_arithmetic("div", 1), "expected a prime, got 1"),
        (lambda: modular_arithmetic("add", 1), "expected a whole number ≥ 2, got 1"),
        (lambda: modular_arithmetic("add", 7.0), "expected a whole number ≥ 2, got 7.0"),
        (lambda: modular_arithmetic("mul", True), "expected a prime, got True"),
        (lambda: modular_arithmetic("add", 7, train_fraction=1.0), "splits 49 pairs"),
        (lambda: modular_arithmetic("add", 7, train_fraction=0.01), "splits 49 pairs"),
        (lambda: modular_arithmetic("add", 7, train_fraction=float("nan")), "splits 49 pairs"),
        (lambda: discrete_log_order(8), r"discrete_log_order\(modulus=...\)` expected a prime"),
        (lambda: operation_table("pow", 7), "expected an operation out of"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
