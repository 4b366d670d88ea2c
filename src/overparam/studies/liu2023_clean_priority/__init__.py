"""With 40 % random labels, clean ones are learned first, until ‖g_clean‖/‖g_noise‖ falls to 1.

Reference:
    Liu, Zhu, Belkin (2023), "On emergence of clean-priority learning in early stopped neural
    networks", arXiv:2306.02533: the opposed gradients of clean and mislabelled samples, their
    ratio ρ, and the U-shaped test error; experiments on two digits and ten of MNIST, and CIFAR-10.
Changed:
    At quick, scikit-learn's digits: 1000 of all ten classes, 250 threes and eights; ReLU networks
    with two hidden layers of 256 and 512, SGD with rate 0.1 and batches of 64, pixels of deviation
    1, and once as they are, from 0 to 1; and 2000 images of MNIST. The paper assumes that the
    gradient under noisy labels points along the one under true labels; its cosine is measured here.
    The paper's ratio at the start, (1−δ)/δ, is that of two classes; for C it is (1−δ)(C−1)/δ per
    class, so that clean labels come first up to δ = (C−1)/C. The gated stop, which needs no clean
    labels, is this library's: once from losses alone, once with the share of labels that look
    random. Summed sizes of residuals, which a replication used for ρ, reach 1 earlier than ρ, but
    on some draws stop almost as well: no claim is made of that.
Cost:
    Processor time: smoke 4 s, quick about 130 s. full, with a convolutional network on MNIST
    and ResNet-9 on CIFAR-10, needs a GPU and hours; not timed.
Failure:
    If ρ started near 1, or crossed it far from the least test error, gradients would not tell
    when noise begins to be fitted. If the gate armed on clean labels, it would end trainings
    that should go on.
"""

from typing import Any

from overparam.claims.study import Study
from overparam.studies.liu2023_clean_priority.claims import CLAIMS, HEADLINES
from overparam.studies.liu2023_clean_priority.pictures import figures
from overparam.studies.liu2023_clean_priority.training import oracle, start, train

__all__ = ["STUDY"]

DIGITS = {"data": "digits", "model": "mlp 256", "n": 1000, "lr": 0.1, "batch": 64}
PAIR = {"data": "3 or 8", "model": "mlp 512", "n": 250, "lr": 0.1, "batch": 64}
IMAGES = {"data": "mnist", "model": "mlp 256", "n": 2000, "lr": 0.03, "batch": 64}
CNN = {"data": "mnist", "model": "cnn", "n": 60_000, "lr": 0.05, "batch": 512}
RESNET = {"data": "cifar10", "model": "resnet9", "n": 50_000, "lr": 0.05, "batch": 512}
# Noise, share, replicates at quick.
GATE = (("random", 0.2, 5), ("random", 0.1, 5), ("none", 0.0, 5), ("pair", 0.15, 5),
        ("pair", 0.3, 5))  # fmt: skip
STARTS = (0.2, 0.4, 0.8, 0.9)
# What is trained beside the digits: setting, noise, epochs, replicates.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"epochs": (4, 3, 4), "replicates": 1, "more": [({**DIGITS, "n": 200}, 0.4, 4, 1)]},
    "quick": {"epochs": (80, 20, 60), "replicates": 3, "more": [(IMAGES, 0.4, 60, 1)]},
    "full": {"epochs": (80, 20, 60), "replicates": 5,
             "more": [(RESNET, 0.4, 300, 3), (CNN, 0.3, 180, 3)]},
}  # fmt: skip


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The longest first."""
    ten, two, gate = config["epochs"]
    plan: list[dict[str, Any]] = []
    for setting, share, epochs, replicates in config["more"]:
        more = {**setting, "noise": "random", "share": share, "epochs": epochs, "gradients": 1}
        plan += [{"measure": "images", "replicate": r, **more} for r in range(replicates)]
    each, samples = range(config["replicates"]), 20_000 if config["replicates"] > 1 else 4000
    random = {"noise": "random", "share": 0.4, "gradients": 1}
    plan += [{"measure": "ten", "replicate": r, **DIGITS, **random, "epochs": ten} for r in each]
    plan.append(
        {"measure": "pixels", "replicate": 0, **DIGITS, **random, "data": "digits / 16",
         "epochs": ten}
    )  # fmt: skip
    plan += [{"measure": "oracle", "replicate": r} for r in each]
    plan += [{"measure": "two", "replicate": r, **PAIR, **random, "epochs": two} for r in each]
    for noise, share, many in GATE:
        other = {**DIGITS, "noise": noise, "share": share, "epochs": gate, "gradients": 0}
        replicates = range(many if config["replicates"] > 1 else 1)
        plan += [{"measure": "gate", "replicate": r, **other} for r in replicates]
    plan += [
        {"measure": "start", "replicate": r, "share": share, "n": samples}
        for r in each
        for share in STARTS
    ]
    return plan


def cell(measure: str, seed: int, **settings: Any) -> dict[str, Any]:
    """One training run, or one look at a network that has not been trained."""
    run = {"start": start, "oracle": oracle}.get(measure, train)
    return run(seed=seed, **settings)


STUDY = Study(cells, cell, SIZES, CLAIMS, figures, data=("mnist", "cifar10"), headlines=HEADLINES)
