"""What the paper says of machines and networks that grok, and the controls that must not."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import select
from overparam.kernels.modular.operand_features import KERNEL_KINDS

NAMES = {"add": "addition", "sub": "subtraction", "mul": "multiplication", "div": "division"}
OTHER = {"circulant": "hankel", "hankel": "circulant"}


def values(rows: pd.DataFrame, column: str) -> list[np.ndarray]:
    """The list in `column` of every row, as arrays."""
    return [np.atleast_1d(np.asarray(value, dtype=float)) for value in rows[column]]


def highest(column: str, until: int | None = None) -> Callable[[pd.DataFrame], float]:
    """Largest value over all cells and iterations, the first `until` if given."""
    return lambda rows: max_of(value[:until].max() for value in values(rows, column))


def max_of(numbers: Any) -> float:
    """Largest number; NaN if any is."""
    return float(np.max(np.fromiter(numbers, dtype=float)))


def min_of(numbers: Any) -> float:
    """Smallest number; NaN if any is."""
    return float(np.min(np.fromiter(numbers, dtype=float)))


def slowest_best(rows: pd.DataFrame) -> float:
    """The best test accuracy within 20 iterations, of the cell where it is lowest."""
    return min_of(value[:21].max() for value in values(rows, "accuracy"))


def last_deviation(kind: str, choose: Callable) -> Callable[[pd.DataFrame], float]:
    """Deviation of the last matrix from a kind, of the cell that `choose` picks."""
    return lambda rows: choose(value[-1] for value in values(rows, kind))


def change_of_loss(rows: pd.DataFrame) -> float:
    """Largest relative change of the test loss over iterations 0 to 8."""
    return max_of(np.abs(value[:9] / value[0] - 1).max() for value in values(rows, "test_loss"))


def at(column: str, index: int, choose: Callable) -> Callable[[pd.DataFrame], float]:
    """The value at an iteration, of the cell that `choose` picks; NaN where there is none."""

    def statistic(rows: pd.DataFrame) -> float:
        return choose(
            value[index] if index < len(value) else math.nan for value in values(rows, column)
        )

    return statistic


def last_accuracy(rows: pd.DataFrame, regulariser: str) -> float:
    """Test accuracy at the end, mean over seeds."""
    chosen = select(rows, {"regulariser": regulariser})
    return float(np.mean([value[-1] for value in values(chosen, "accuracy")]))


def gain_of_regularisers(rows: pd.DataFrame) -> float:
    """By how much the worse regulariser beats none."""
    plain = last_accuracy(rows, "none")
    return min_of(last_accuracy(rows, name) - plain for name in ("weight decay", "AGOP trace"))


def operation_claims(operation: str) -> list[Claim]:
    """Flat, then all correct; the matrix of the right kind and not of the other."""
    name, kind = NAMES[operation], KERNEL_KINDS[operation]
    where = {"test": "small", "operation": operation}
    source = "figures of accuracy and of progress measures"
    share = "accuracy_without_zero" if operation in ("mul", "div") else "accuracy"
    besides = " without 0" if operation in ("mul", "div") else ""
    return [
        Claim(
            f"{operation}_flat",
            f"For {name}, no more than 2 % of the test pairs{besides} are right up to iteration 5.",
            paper="near 0",
            statistic=highest(share, 6),
            passes=Range(high=0.02),
            tolerance="largest accuracy over both kernels and all seeds; chance is 3 %",
            source=source,
            where=where,
        ),
        *(
            Claim(
                f"{operation}_solved_{kernel.lower()}",
                f"For {name} and the {kernel} kernel, {many} are right by iteration 20.",
                paper=1.0,
                statistic=slowest_best,
                passes=Range(low=least),
                weaker=Range(low=0.99),
                tolerance=f"best iteration of the worst seed: {wrong}",
                source=source,
                where=where | {"kernel": kernel},
            )
            for kernel, least, many, wrong in (
                ("quadratic", 1 - 1 / 230, "all test pairs but one", "one pair in 230 wrong")
                if operation != "add"
                else ("quadratic", 1.0, "all test pairs", "not one pair wrong"),
                ("Gaussian", 1.0, "all test pairs", "not one pair wrong"),
            )
        ),
        Claim(
            f"{operation}_kind",
            f"For {name}, the block that couples the operands becomes {kind}.",
            paper="block-circulant; which kind is not said",
            statistic=last_deviation(kind, max_of),
            passes=Range(high=0.02),
            tolerance="deviation after 25 iterations, worst kernel and seed; random is 0.97",
            source=source,
            where=where,
        ),
        Claim(
            f"{operation}_not_the_other_kind",
            f"For {name}, that block does not become {OTHER[kind]}.",
            paper="theorem 5.1 pairs addition with Hankel, subtraction with circulant",
            statistic=last_deviation(OTHER[kind], min_of),
            passes=Range(low=0.9),
            tolerance="deviation after 25 iterations, smallest over kernels and seeds",
            source=source,
            where=where,
        ),
    ]


def reordering_claim(operation: str) -> Claim:
    """Without discrete logarithms there is nothing to see."""
    return Claim(
        f"{operation}_needs_reordering",
        f"In the natural order of residues, the matrix of {NAMES[operation]} is of neither kind.",
        paper="unstructured before the reordering",
        source="section on multiplication and division",
        statistic=lambda rows: float(np.mean([v[-1] for v in values(rows, "unordered")])),
        passes=Range(low=0.9),
        tolerance="smaller of both deviations, mean over kernels and seeds; single ones vary by "
        "the share of the diagonal",
        where={"test": "small", "operation": operation},
    )


def control(name: str, statement: str, where: dict, high: float, why: str) -> Claim:
    """Accuracy that must stay low."""
    return Claim(
        name,
        statement,
        paper="a control of ours",
        source="not in the paper",
        statistic=highest("accuracy"),
        passes=Range(high=high),
        tolerance=why,
        where=where,
    )


MACHINES = [
    Claim(
        "interpolates_always",
        "The training loss is 0 at every iteration, with every operation and kernel.",
        paper="numerically 0",
        source="figures of the training loss",
        statistic=highest("train_loss"),
        passes=Range(high=1e-8),
        tolerance="largest mean squared error, double precision",
        where={"test": ["small", "published"]},
        smallest="smoke",
    ),
    *(claim for operation in NAMES for claim in operation_claims(operation)),
    reordering_claim("mul"),
    reordering_claim("div"),
    control(
        "shuffled_labels",
        "With shuffled labels no more than 10 % of the test pairs are ever right.",
        {"test": "shuffled"},
        0.1,
        "largest over iterations, kernels and seeds; chance is 3 %",
    ),
    control(
        "power_one_quarter",
        "With the power 1/4 instead of 1/2 of the AGOP, nothing is learned in 25 iterations.",
        {"test": "power"},
        0.02,
        "largest over iterations, kernels and seeds",
    ),
    Claim(
        "published_flat_accuracy",
        "With p = 61 and half of the pairs, test accuracy is 0 up to iteration 8.",
        paper="flat for the first 8 iterations",
        source="figure of accuracy and loss, p = 61",
        statistic=highest("accuracy", 9),
        passes=Range(high=0.01),
        tolerance="largest over iterations 0 to 8 and seeds",
        where={"test": "published", "operation": "add"},
    ),
    Claim(
        "published_flat_loss",
        "With p = 61 the test loss moves by less than 3 % up to iteration 8.",
        paper="flat for the first 8 iterations",
        source="figure of accuracy and loss, p = 61",
        statistic=change_of_loss,
        passes=Range(high=0.03),
        tolerance="largest relative change from iteration 0, mean over pairs and outputs",
        where={"test": "published", "operation": "add"},
    ),
    Claim(
        "published_starts_unstructured",
        "With p = 61 the deviation from circulant is first 0.5 or more.",
        paper="high",
        source="figure of progress measures, p = 61",
        statistic=lambda rows: min_of(value.max() for value in values(rows, "circulant")),
        passes=Range(low=0.5),
        tolerance="largest over iterations; the seed where that is smallest",
        where={"test": "published", "operation": "add"},
    ),
    Claim(
        "published_hidden_progress",
        "By iteration 8, before any test pair is right, the deviation has fallen to 0.15.",
        paper="falls from the start, while accuracy is flat",
        source="figure of progress measures, p = 61",
        statistic=at("circulant", 8, max_of),
        passes=Range(high=0.15),
        tolerance="largest over seeds",
        where={"test": "published", "operation": "add"},
    ),
    Claim(
        "published_jump",
        "By iteration 15, 80 % of the test pairs are right.",
        paper="sharp transition after iteration 8",
        source="figure of accuracy and loss, p = 61",
        statistic=at("accuracy", 15, min_of),
        passes=Range(low=0.8),
        tolerance="smallest over seeds",
        where={"test": "published", "operation": "add"},
    ),
    Claim(
        "published_solved",
        "With p = 61, 99 % of the test pairs are right at iteration 29.",
        paper=1.0,
        source="figure of accuracy and loss, p = 61",
        statistic=at("accuracy", 29, min_of),
        passes=Range(low=0.99),
        tolerance="smallest over seeds; one or two of 1861 pairs may stay wrong",
        where={"test": "published"},
    ),
    Claim(
        "enforcing_is_earlier",
        "Features made exactly circulant generalise earlier than those they are made from.",
        paper="earlier, p = 97",
        source="appendix F",
        statistic=lambda rows: min_of(rows["lead"]),
        passes=Range(low=1),
        weaker=Range(low=0),
        tolerance="iterations by which an accuracy of 0.9 comes sooner, worst seed",
        where={"test": "enforced"},
    ),
    Claim(
        "enforcing_lowers_the_loss",
        "At that iteration their test loss is lower.",
        paper="lower, p = 97",
        source="appendix F",
        statistic=lambda rows: max_of(rows["loss_ratio"]),
        passes=Range(high=0.99),
        weaker=Range(high=1),
        tolerance="ratio of test losses, worst seed; 1 is no gain",
        where={"test": "enforced"},
    ),
    Claim(
        "random_features_solve",
        "Random features of the right kind solve every operation without any iteration.",
        paper=1.0,
        source="section on random circulant features",
        statistic=lambda rows: min_of(rows["accuracy"]),
        passes=Range(low=0.98),
        tolerance="smallest test accuracy over operations and seeds; p = 61, half of the pairs",
        where={"test": "random", "kind": "auto"},
    ),
    *(
        Claim(
            f"random_features_{kind}",
            f"Random features {what} solve nothing.",
            paper="a control of ours",
            source="not in the paper",
            statistic=lambda rows: max_of(rows["accuracy_without_zero"]),
            passes=Range(high=0.05),
            tolerance="largest test accuracy over operations and seeds, pairs without 0",
            where={"test": "random", "kind": kind},
        )
        for kind, what in (
            ("wrong", "of the other kind"),
            ("unstructured", "without structure"),
        )
    ),
]

IDENTITIES = [
    Claim(
        "fourier_multiplication",
        "Fourier multiplication adds and subtracts all pairs exactly, with e_{(−ℓ) mod p}.",
        paper=0.0,
        source="section 5, the algorithm; subtraction corrected",
        statistic=lambda rows: max_of(rows["error"]),
        passes=Range(high=1e-10),
        tolerance="largest error of any output, p = 3, 5, 7; bilinear on random vectors as well",
        where={"test": "fourier"},
        smallest="smoke",
    ),
    Claim(
        "fourier_multiplication_as_printed",
        "As printed, with e_{p−ℓ−1}, it subtracts wrongly.",
        paper="0, exact; from 0 its indices are off by one",
        source="section 5, the algorithm",
        statistic=lambda rows: min_of(rows["printed_error"]),
        passes=Range(low=0.5),
        tolerance="largest error of any output, p = 3, 5, 7; outputs are 0 or 1",
        where={"test": "fourier"},
        smallest="smoke",
    ),
    Claim(
        "theorem_on_all_inputs",
        "The machines of theorem 5.1 are x₁ᵀPx₂ and a correction, for any permutation as block.",
        paper="x₁ᵀPx₂, on unit vectors with sums 1; circulant or Hankel blocks",
        source="theorem 5.1; corrected for all inputs",
        statistic=lambda rows: max_of(rows["error"]),
        passes=Range(high=1e-10),
        tolerance="largest error at 20 random inputs and on vectors as the theorem has them",
        where={"test": "theorem"},
        smallest="smoke",
    ),
    Claim(
        "theorem_needs_its_assumption",
        "Without the correction the formula is wrong off unit vectors with sums 1.",
        paper="stated for those vectors",
        source="theorem 5.1",
        statistic=lambda rows: min_of(rows["without_correction"]),
        passes=Range(low=0.1),
        tolerance="largest error at 20 random inputs, smallest over p and seeds",
        where={"test": "theorem"},
        smallest="smoke",
    ),
    Claim(
        "closed_forms",
        "Closed-form AGOPs of machines and networks agree with automatic differentiation.",
        paper=0.0,
        source="appendix on the AGOP of networks; formulas of this library",
        statistic=lambda rows: max_of(rows["error"]),
        passes=Range(high=1e-12),
        tolerance="relative error in the Frobenius norm, worst kernel, centring and method",
        where={"test": "gradients"},
        smallest="smoke",
    ),
]

NETWORKS = [
    Claim(
        "network_delay",
        "A network has learned the training pairs 20 epochs before the test pairs.",
        paper="delayed generalisation",
        source="section on networks",
        statistic=lambda rows: min_of(rows["delay"]),
        passes=Range(low=20),
        tolerance="epochs between accuracies of 0.999, p = 31, shortest over seeds",
        where={"test": "delay"},
    ),
    Claim(
        "network_flat",
        "When it has learned the training pairs, no more than 10 % of the test pairs are right.",
        paper="near 0",
        source="section on networks",
        statistic=lambda rows: max_of(rows["accuracy_when_trained"]),
        passes=Range(high=0.1),
        tolerance="largest test accuracy over seeds",
        where={"test": "delay"},
    ),
    Claim(
        "network_features",
        "W₁ᵀW₁ of a network is proportional to the square root of its AGOP.",
        paper="correlations .955, .942, .924, .929",
        source="table of correlations, p = 61",
        statistic=lambda rows: min_of(value[-1] for value in values(rows, "correlation")),
        passes=Range(low=0.9),
        tolerance="Pearson correlation of entries at the end, smallest over operations, seeds",
        where={"test": "wide"},
    ),
    *(
        Claim(
            f"network_{operation}_kind",
            f"For {NAMES[operation]}, a network's block becomes {kind}, the kind "
            "that kernel machines do not learn.",
            paper="block-circulant; which kind is not said",
            source="figure of the network's features",
            statistic=lambda rows, kind=kind: min_of(
                other[-1] - own[-1]
                for own, other in zip(values(rows, kind), values(rows, OTHER[kind]), strict=True)
            ),
            passes=Range(low=0.3),
            tolerance="deviation from the other kind minus that from this one, after 50 epochs",
            where={"test": "wide", "operation": operation},
        )
        for operation, kind in (("add", "hankel"), ("div", "circulant"))
    ),
    *(
        Claim(
            f"network_{regulariser.replace(' ', '_').lower()}",
            f"With {what}, gradient descent learns 95 % of the test pairs.",
            paper=1.0,
            source="appendix on regularisation, p = 61",
            statistic=lambda rows, regulariser=regulariser: last_accuracy(rows, regulariser),
            passes=Range(low=0.95),
            tolerance="test accuracy after 7000 epochs, mean over seeds; p = 31 at quick",
            where={"test": "regulariser"},
        )
        for regulariser, what in (
            ("weight decay", "a weight decay of 1e-5"),
            ("AGOP trace", "1e-3 times the trace of the AGOP in the loss"),
        )
    ),
    Claim(
        "network_regularisers_matter",
        "Both gain 10 points of test accuracy over no regulariser.",
        paper="only the regularised reach 1",
        source="appendix on regularisation, p = 61",
        statistic=gain_of_regularisers,
        passes=Range(low=0.1),
        tolerance="the smaller of both gains, means over seeds",
        where={"test": "regulariser"},
    ),
]

CLAIMS = [*MACHINES, *IDENTITIES, *NETWORKS]
