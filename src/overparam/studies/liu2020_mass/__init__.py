"""MaSS at SGD's step size falls as κ^(-1/2) per step where Nesterov's method falls as κ^(-1).

Reference:
    Liu, Belkin (2020), "Accelerating SGD with momentum for over-parameterized learning",
    arXiv:1810.13395, ICLR 2020: the theorems on non-acceleration and divergence of SGD with
    Nesterov momentum, on the convergence of MaSS and its three regimes of batch size, and the
    experiments with kernel regression and networks.
Changed:
    The theorems are checked by the exact map of second moments, to rounding, where the paper
    bounds them; sampled paths only confirm it. (Medians of paths cannot check divergence in
    expectation: at γ = 0.9 the median path of the decoupled data converges while the mean does
    not.) Kernel regression is on 1000 of scikit-learn's digits, 20 epochs of batches of 16,
    against Nesterov's method tuned over 16 settings; the network is a 64-512-512-10 ReLU
    perceptron on 1400 of them, 8 epochs. The paper's networks on CIFAR-10, 92.8 % with a
    residual network, are the full size; at quick a residual network of 8 layers sees 512
    images of Fashion-MNIST once, which shows that it runs and carries no claim. Adam, with its
    default rate as in the paper, is compared on the perceptron only. That MaSS beats a Nesterov
    whose momentum is tuned as well is not claimed for networks. Without interpolation, labels with
    noise, MaSS must stop short of the solution: that is the control.
Cost:
    Smoke 10 s. Quick 80 s on one core, a minute on two. Full needs a GPU and the CIFAR-10 data
    for its images, 18 residual and 18 plain networks of up to 300 epochs: a day or more, not
    timed.
Failure:
    If the exact rates did not separate, the compensation term would not be what accelerates. If the
    flipped sign did as well, the sign that other implementations have would be harmless. If
    kernel regression failed, the theory's constants would not carry over to sampling without
    replacement.
"""

from collections.abc import Mapping
from typing import Any

from overparam.claims.study import Study
from overparam.studies.liu2020_mass.claims import CLAIMS, HEADLINES
from overparam.studies.liu2020_mass.images import EPOCHS, images
from overparam.studies.liu2020_mass.pictures import figures
from overparam.studies.liu2020_mass.quadratics import (
    FULL,
    batches,
    regimes,
    sample_paths,
    spectrum,
    update,
)
from overparam.studies.liu2020_mass.training import kernel_regression, network

__all__ = ["STUDY"]

EXPONENTS, BATCHES = (4, *range(9, 15)), (0, 1, 2, 3, 8, 12, 13, 14, 15, 16, 20, 25, 26)
ADAM = 1e-3  # its default rate, which the paper uses
RATES, SETTINGS = (0.02, 0.05, 0.1, 0.2, 0.3), ((0.05, 12.0), (0.01, 12.0))
SIZES = {
    "smoke": {"exponents": (9,), "batches": (0, 12, 25), "rates": (0.3,), "replicates": 1,
              "kernel": 1, "epochs": (1, 1), "paths": 100,
              "images": [("digits", "resnet", 1, 64, 1), ("digits", "cnn", 0, 64, 1)]},
    "quick": {"exponents": EXPONENTS, "batches": BATCHES, "rates": RATES, "replicates": 3,
              "kernel": 3, "epochs": (20, 8), "paths": 1000,
              "images": [("fashion_mnist", "resnet", 1, 512, 1),
                         ("fashion_mnist", "cnn", 0, 64, 1)]},
    "full": {"exponents": EXPONENTS, "batches": BATCHES, "rates": RATES, "replicates": 3,
             "kernel": 4, "epochs": (20, 8), "paths": 1000,
             "images": [("cifar10", "resnet", 5, 50_000, EPOCHS["resnet"][0]),
                        ("cifar10", "cnn", 0, 50_000, EPOCHS["cnn"][0])]},
}  # fmt: skip
# Learning rates of the paper's table.
IMAGE_RATES = {"resnet": (0.1, 0.3), "cnn": (0.01, 0.3)}
PATHS = {"decoupled": 3, "Gaussian": 2}  # lengths in proportion
METHODS = ("SGD", "Nesterov", "MaSS")


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The longest first: images, networks, kernels, paths, exact rates."""
    replicates = range(config["replicates"])
    plan: list[dict[str, Any]] = [
        {"measure": "images", "replicate": r, "data": data, "architecture": architecture,
         "method": method, "lr": lr, "blocks": blocks, "examples": examples, "epochs": epochs}
        for data, architecture, blocks, examples, epochs in config["images"]
        for method in METHODS for lr in IMAGE_RATES[architecture]
        for r in (replicates if epochs > 1 else range(1))
    ]  # fmt: skip
    kernel_epochs, network_epochs = config["epochs"]
    plan += [
        {"measure": "kernel", "replicate": r, "epochs": kernel_epochs}
        for r in range(config["kernel"])
    ]
    settings = [("SGD", 1.0, 1.0), ("Nesterov", 1.0, 1.0)]
    settings += [("MaSS", alpha, kappa_t) for alpha, kappa_t in SETTINGS]
    plan += [
        {"measure": "network", "replicate": r, "method": "Adam", "lr": ADAM, "alpha": 1.0,
         "kappa_t": 1.0, "epochs": network_epochs}
        for r in replicates
    ]  # fmt: skip
    plan += [
        {"measure": "network", "replicate": r, "method": method, "lr": lr, "alpha": alpha,
         "kappa_t": kappa_t, "epochs": network_epochs}
        for r in replicates for lr in config["rates"] for method, alpha, kappa_t in settings
        if method != "SGD" or lr == max(config["rates"])
    ]  # fmt: skip
    paths = ("SGD", "Nesterov at the rate of MaSS", "best Nesterov", "MaSS",
             "MaSS without interpolation")  # fmt: skip
    plan += [
        {"measure": "path", "replicate": 0, "data": data, "method": method,
         "steps": steps * config["paths"]}
        for data, steps in PATHS.items() for method in paths
    ]  # fmt: skip
    plan += [
        {"measure": "spectrum", "replicate": 0, "data": data, "exponent": exponent}
        for data in PATHS for exponent in config["exponents"]
        if data == "decoupled" or exponent == 9
    ]  # fmt: skip
    plan += [
        {"measure": "batch", "replicate": 0, "data": data, "batch_size": m}
        for data in PATHS for m in (*(4**k for k in range(9)), FULL)
    ]  # fmt: skip
    plan += [{"measure": "update", "replicate": 0, "steps": 200}]
    plan += [{"measure": "regime", "replicate": 0, "batch_size": 2**m} for m in config["batches"]]
    return plan


EXPERIMENTS: Mapping[str, Any] = {
    "batch": batches,
    "images": images,
    "kernel": kernel_regression,
    "network": network,
    "path": sample_paths,
    "regime": regimes,
    "spectrum": spectrum,
    "update": update,
}


def cell(measure: str, seed: int, **settings: Any) -> dict[str, Any]:
    """One run of one experiment."""
    return EXPERIMENTS[measure](seed=seed, **settings)


STUDY = Study(
    cells, cell, SIZES, CLAIMS, figures, data=("fashion_mnist", "cifar10"), headlines=HEADLINES
)
