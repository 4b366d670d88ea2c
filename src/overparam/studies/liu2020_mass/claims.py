"""What the paper claims, and what must fail."""

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import mean_at, select
from overparam.studies.liu2020_mass.theorems import (
    BATCH_CLAIMS,
    DIVERGES,
    EXACT_CLAIMS,
    HEADLINES,
    KERNEL,
    KERNELS,
    NETWORK,
    NETWORKS,
    PATH_CLAIMS,
    REGIME_CLAIMS,
    TABLE,
    Statistic,
    extreme,
    ratio,
)

__all__ = ["CLAIMS", "HEADLINES"]


def worst_network_ratio(rows: pd.DataFrame, other: str = "Nesterov") -> float:
    """Best loss of MaSS over that of another method, each over its grid; worst seed."""
    ratios = []
    for seed in set(rows["seed"]):
        best = [
            extreme("loss", largest=False, where={"seed": seed, "method": method})(rows)
            for method in ("MaSS", other)
        ]
        ratios.append(best[0] / best[1])
    return float(np.max(ratios))


def accuracy_of(method: str, lr: float) -> Statistic:
    """Mean test accuracy over the seeds."""
    return lambda rows: mean_at(select(rows, {"method": method}), "lr", "accuracy", lr)


def lead_over(other: str, lr: float) -> Statistic:
    """Points of accuracy by which MaSS leads."""
    return lambda rows: accuracy_of("MaSS", lr)(rows) - accuracy_of(other, lr)(rows)


KERNEL_CLAIMS = [
    Claim(
        "kernel_mass_over_nesterov",
        "On kernel regression MaSS leaves 0.6 times the error of the best of 16 Nesterov runs.",
        paper="10^(-4.05) against 10^(-3.90) after 30 epochs",
        source="figure on Gaussian kernel regression",
        statistic=ratio("mass", "best_nesterov", largest=True),
        passes=Range(high=0.6),
        weaker=Range(high=1.0),
        tolerance="worst seed; MaSS has one fixed setting, chosen on seed 0",
        where=KERNEL,
        kind="paper",
        sentence=KERNELS,
        criterion="beforehand",
    ),
    Claim(
        "kernel_mass_over_sgd",
        "On kernel regression MaSS leaves 3 % of the error of SGD with the same step size.",
        paper="10^(-4.05) against 10^(-3.86) after 30 epochs",
        source="figure on Gaussian kernel regression",
        statistic=ratio("mass", "sgd", largest=True),
        passes=Range(high=0.03),
        tolerance="worst seed; 20 epochs of batches of 16",
        where=KERNEL,
        kind="paper",
        sentence=KERNELS,
        criterion="beforehand",
    ),
    Claim(
        "kernel_nesterov_diverges",
        "On kernel regression Nesterov with γ = 0.95 diverges at the step size of MaSS.",
        paper="diverges",
        source="theorem on divergence",
        statistic=extreme("nesterov_at_lr", largest=False),
        passes=Range(low=1.0),
        tolerance="smallest error over the seeds; all methods start at 1",
        where=KERNEL,
        kind="paper",
        sentence=DIVERGES,
        criterion="beforehand",
    ),
]
NETWORK_CLAIMS = [
    Claim(
        "network_nesterov_fails_at_large_rate",
        "At lr 0.3 the network keeps a loss above 1 with Nesterov momentum 0.9, on every seed.",
        paper="some runs diverge",
        source="table of test accuracies, large learning rate",
        statistic=extreme("loss", largest=False),
        passes=Range(low=1.0),
        tolerance="smallest over the seeds; log 10 = 2.3 is the loss of guessing",
        where={**NETWORK, "method": "Nesterov", "lr": 0.3},
        kind="paper",
        sentence=DIVERGES,
        criterion="beforehand",
    ),
    Claim(
        "network_mass_holds_at_large_rate",
        "At lr 0.3 MaSS(0.05, 12) trains the network to a loss below 0.05, on every seed.",
        paper="improves with the rate",
        source="table of test accuracies, large learning rate",
        statistic=extreme("loss", largest=True),
        passes=Range(high=0.05),
        tolerance="largest over the seeds",
        where={**NETWORK, "method": "MaSS", "lr": 0.3, "alpha": 0.05, "kappa_t": 12.0},
        kind="paper",
        sentence=TABLE,
        criterion="beforehand",
    ),
    Claim(
        "network_sgd_holds_at_large_rate",
        "At lr 0.3 plain SGD trains it to a loss below 0.05 too, on every seed.",
        paper="SGD is better at the large rate",
        source="table of test accuracies, large learning rate",
        statistic=extreme("loss", largest=True),
        passes=Range(high=0.05),
        tolerance="largest over the seeds; as asked of MaSS",
        where={**NETWORK, "method": "SGD", "lr": 0.3},
        kind="paper",
        sentence=TABLE,
        criterion="beforehand",
    ),
    Claim(
        "network_best_mass_over_adam",
        "The best MaSS has a smaller training loss than Adam with its default rate.",
        paper="5.8e-5 against about 5e-3",
        source="figure on the fully connected network",
        statistic=lambda rows: worst_network_ratio(rows, "Adam"),
        passes=Range(high=1.0),
        tolerance="ratio, worst seed; the paper's is 0.012 after 100 epochs",
        where=NETWORK,
        kind="paper",
        sentence=NETWORKS,
        criterion="beforehand",
    ),
    Claim(
        "network_best_mass_over_best_nesterov",
        "The best MaSS has half the training loss of the best Nesterov with γ = 0.9.",
        paper="5.8e-5 against 2.9e-4",
        source="figure on the fully connected network",
        statistic=worst_network_ratio,
        passes=Range(high=0.5),
        weaker=Range(high=1.0),
        tolerance="worst seed; 10 settings against 5, as the paper tunes no momentum",
        where=NETWORK,
        kind="paper",
        sentence=NETWORKS,
        criterion="beforehand",
    ),
]


IMAGE_CLAIMS = [
    Claim(
        name,
        statement,
        paper=paper,
        source="table of test accuracies",
        statistic=statistic,
        passes=passes,
        tolerance="mean of three seeds; the paper's own spread is about 0.3 points",
        where={"measure": "images", "architecture": architecture},
        smallest="full",
        kind="paper",
        sentence=NETWORKS,
        criterion="paper",
    )
    for name, architecture, statement, paper, statistic, passes in (
        ("resnet_mass", "resnet", "A ResNet-32 reaches 92.3 % on CIFAR-10 with MaSS at lr 0.1.",
         92.8, accuracy_of("MaSS", 0.1), Range(low=92.3)),
        ("resnet_mass_over_sgd", "resnet", "There MaSS is 0.3 points above SGD.", 0.85,
         lead_over("SGD", 0.1),
         Range(low=0.3)),
        ("resnet_mass_over_nesterov", "resnet", "At lr 0.3 MaSS is 0.8 points above Nesterov.",
         1.58, lead_over("Nesterov", 0.3),
         Range(low=0.8)),
        ("cnn_mass", "cnn", "A small CNN reaches 82.5 % with MaSS at lr 0.3.", 84.48,
         accuracy_of("MaSS", 0.3), Range(low=82.5)),
        ("cnn_mass_over_nesterov", "cnn", "There MaSS is 3 points above Nesterov.", 8.69,
         lead_over("Nesterov", 0.3),
         Range(low=3.0)),
    )
]  # fmt: skip
CLAIMS = [
    *EXACT_CLAIMS,
    *BATCH_CLAIMS,
    *REGIME_CLAIMS,
    *PATH_CLAIMS,
    *KERNEL_CLAIMS,
    *NETWORK_CLAIMS,
    *IMAGE_CLAIMS,
]
