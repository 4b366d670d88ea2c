"""Arithmetic modulo a prime as a learning task, and the order in which a product is a sum."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam.nets.seeding import generator

OPERATIONS = ("add", "sub", "mul", "div")


@dataclass(frozen=True)
class ModularTask:
    """Every pair of residues with the result of an operation, split into two sets.

    Attributes:
        operation: "add", "sub", "mul" or "div".
        modulus: p, the number of residues.
        x_train: Inputs e_a ⊕ e_b in {0, 1}^{2p}: the first operand, then the second.
        y_train: Targets e_{a∘b} in {0, 1}^p, not centred.
        x_test: Inputs of the other pairs.
        y_test: Their targets.
    """

    operation: str
    modulus: int
    x_train: Float[Tensor, "n_train d"]
    y_train: Float[Tensor, "n_train p"]
    x_test: Float[Tensor, "n_test d"]
    y_test: Float[Tensor, "n_test p"]


@checked
def modular_arithmetic(
    operation: str,
    modulus: int,
    *,
    train_fraction: float = 0.5,
    seed: int | torch.Generator = 0,
    dtype: torch.dtype = torch.float64,
) -> ModularTask:
    """An operation on residues modulo p, one-hot, with a random subset of the pairs to learn from.

        (e_a ⊕ e_b) ↦ e_{(a + b) mod p},   and likewise a − b, a·b, a·b⁻¹

    All p² pairs; for "div" the p(p − 1) whose second operand is not 0. The training set is a
    uniformly random subset of ⌊r N⌋ of the N pairs; the others are the test set.

    Args:
        operation: "add", "sub", "mul" or "div".
        modulus: p ≥ 2; a prime for "mul" and "div".
        train_fraction: r, strictly between 0 and 1.
        seed: Of the split: a number, or a generator on the CPU.
        dtype: Of the one-hot vectors.

    Raises:
        ValueError: For an unknown operation, a modulus that is too small or not prime, or a
            fraction that leaves one of the sets empty.

    Cost:
        3 p³ numbers.

    Example:
        >>> task = modular_arithmetic("sub", 5, train_fraction=0.8)
        >>> task.x_train.shape, task.x_test.shape
        (torch.Size([20, 10]), torch.Size([5, 10]))
        >>> a, b = task.x_test[:, :5].argmax(1), task.x_test[:, 5:].argmax(1)
        >>> bool(((a - b) % 5 == task.y_test.argmax(1)).all())
        True

    References:
        Power, Burda, Edwards, Babuschkin, Misra (2022), arXiv:2201.02177: the tasks, for
        Transformers. Mallinar et al. (2025), arXiv:2407.20199: this encoding.
    """
    table = operation_table(operation, modulus)
    pairs = torch.nonzero(table >= 0)
    labels = table[pairs[:, 0], pairs[:, 1]]
    expect(
        0 < train_fraction < 1 and 1 <= math.floor(train_fraction * len(pairs)) < len(pairs),
        "modular_arithmetic(train_fraction=...)",
        f"a fraction that splits {len(pairs)} pairs into two sets that are not empty",
        train_fraction,
    )
    order = torch.randperm(len(pairs), generator=generator(seed))
    x = torch.cat([_one_hot(pairs[:, side], modulus, dtype) for side in (0, 1)], dim=1)[order]
    y = _one_hot(labels, modulus, dtype)[order]
    n = math.floor(train_fraction * len(pairs))
    return ModularTask(operation, modulus, x[:n], y[:n], x[n:], y[n:])


@checked
def operation_table(operation: str, modulus: int) -> Int[Tensor, "p p"]:
    """Results of an operation modulo p: row a, column b; −1 where it is not defined.

    Args:
        operation: "add", "sub", "mul" or "div".
        modulus: p ≥ 2; a prime for "mul" and "div".

    Raises:
        ValueError: For an unknown operation, or a modulus that is too small or not prime.

    Cost:
        p² numbers.

    Example:
        >>> operation_table("div", 3)
        tensor([[-1,  0,  0],
                [-1,  1,  2],
                [-1,  2,  1]])
    """
    expect_operation(operation, modulus, "operation_table")
    a, b = torch.arange(modulus)[:, None], torch.arange(modulus)
    if operation == "add":
        return (a + b) % modulus
    if operation == "sub":
        return (a - b) % modulus
    if operation == "mul":
        return (a * b) % modulus
    table = torch.full((modulus, modulus), -1)
    for quotient in range(modulus):
        table[(quotient * b[1:]) % modulus, b[1:]] = quotient
    return table


@checked
def discrete_log_order(modulus: int) -> Int[Tensor, "m"]:
    """The residues g⁰, g¹, …, g^{p−2} modulo p, for the smallest generator g.

    In this order of the operands, multiplication of residues is addition of positions modulo
    p − 1, and division is subtraction. 0 has no place in it.

    Args:
        modulus: p, a prime.

    Raises:
        ValueError: If p is not prime.

    Cost:
        At most p² multiplications.

    Example:
        3 is the smallest generator modulo 7, since 2³ = 1:

        >>> discrete_log_order(7)
        tensor([1, 3, 2, 6, 4, 5])
    """
    expect_prime(modulus, "discrete_log_order(modulus=...)")
    for base in range(1, modulus):
        powers = [1]
        while (power := powers[-1] * base % modulus) != 1:
            powers.append(power)
        if len(powers) == modulus - 1:
            return torch.tensor(powers)
    raise AssertionError("a prime has a generator")


def expect_operation(operation: str, modulus: int, where: str) -> None:
    """Complain unless the operation is known and defined modulo `modulus`."""
    if operation not in OPERATIONS:
        unknown(f"{where}(operation=...)", "an operation", str(operation), OPERATIONS)
    where = f"{where}(modulus=...)"
    if operation in ("mul", "div"):
        expect_prime(modulus, where)
    expect(_whole(modulus) and modulus >= 2, where, "a whole number ≥ 2", repr(modulus))


def expect_prime(modulus: int, where: str) -> None:
    """Complain unless `modulus` is a prime."""
    prime = _whole(modulus) and modulus >= 2
    prime = prime and all(modulus % factor for factor in range(2, math.isqrt(modulus) + 1))
    expect(
        prime,
        where,
        "a prime",
        repr(modulus),
        hint="residues that share a factor with the modulus have no inverse.",
    )


def _whole(value: object) -> bool:
    """Whether it is an integer and not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def _one_hot(residues: Tensor, modulus: int, dtype: torch.dtype) -> Tensor:
    """A row e_a for every residue a."""
    return torch.nn.functional.one_hot(residues, modulus).to(dtype)
