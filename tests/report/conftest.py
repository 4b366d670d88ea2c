"""Documents as `diagnose` and the studies write them, with believable curves."""

import math
import random

import pytest


def series(steps, value) -> dict:
    steps = list(steps)
    return {"step": steps, "value": [value(step) for step in steps]}


def _glyph(rng: random.Random) -> list[list[float]]:
    """An 8 × 8 ring, roughly drawn."""
    radius, x, y = rng.uniform(1.8, 2.8), rng.uniform(3, 4), rng.uniform(3, 4)
    ring = [[abs(math.hypot(i - y, j - x) - radius) for j in range(8)] for i in range(8)]
    return [[round(max(0.0, 1 - cell / 1.2), 3) for cell in row] for row in ring]


def _run_series(rng: random.Random, steps: int) -> dict:
    def loss(step):
        spike = 2.4 * math.exp(-abs(step - 122) / 4) + 0.8 * math.exp(-abs(step - 340) / 2)
        return (2.25 * math.exp(-step / 70) + 0.03) * math.exp(rng.gauss(0, 0.12)) + spike

    every, tenth, epochs = range(steps), range(0, steps, 10), range(44, steps, 45)
    drop = [9.0 + 14 * (1 - math.exp(-step / 60)) - 7 * (step > 122) for step in tenth]
    return {
        "loss": series(every, loss),
        "test_loss": series(epochs, lambda s: 2.2 * math.exp(-s / 75) + 0.12),
        "test_error": series(epochs, lambda s: 0.5 * math.exp(-s / 70) + 0.028),
        "lr": series(every, lambda s: 0.1 if s < 400 else 0.05),
        "grad_norm": series(every, lambda s: 3 * math.exp(-s / 200) * math.exp(rng.gauss(0, 0.25))),
        "update_norm": series(tenth, lambda s: 0.08 * math.exp(-s / 220 + rng.gauss(0, 0.15))),
        "weight_norm": series(tenth, lambda s: 21 + 4 * (1 - math.exp(-s / 200))),
        "distance": series(tenth, lambda s: 5.5 * (1 - math.exp(-s / 150))),
        "sharpness": {"step": list(tenth), "value": drop},
        "sharpness_limit": series(tenth, lambda s: 20.0 if s < 400 else 40.0),
        "stability_ratio": {
            "step": list(tenth),
            "value": [v / (20.0 if s < 400 else 40.0) for s, v in zip(tenth, drop, strict=True)],
        },
        "batch_critical_lr": series(tenth, lambda s: 0.16 * math.exp(rng.gauss(0, 0.35))),
        "loss_top": series(tenth, lambda s: 1.7 * math.exp(-s / 40) + 0.004),
        "loss_rest": series(tenth, lambda s: 0.6 * math.exp(-s / 120) + 0.02),
        "kernel_change": series(tenth, lambda s: 0.62 * (1 - math.exp(-s / 130))),
        "overhead": series(tenth, lambda s: 0.045 * (0.8 + 0.2 * math.sin(s / 30))),
    }


def _label_series(rng: random.Random, epochs: list[int]) -> dict:
    rise = [1.2 + 1.7 / (1 + math.exp(-(step - 160) / 40)) for step in epochs]
    scores = [abs(rng.gauss(0.25, 0.18)) for _ in range(1300)]
    scores += [abs(rng.gauss(1.7, 0.4)) for _ in range(137)]
    return {
        "noise_rate": series(epochs, lambda s: 0.095 + 0.25 * math.exp(-s / 60)),
        "suspect_loss": {"step": epochs, "value": [None, *rise[1:]]},
        "rho": series(epochs, lambda s: 6.5 * math.exp(-s / 170) + 0.4),
        "armed": {"step": epochs, "value": [float(v > 1.05 * math.log(10)) for v in rise]},
        "scores": {
            "score": scores,
            "posterior": [1 / (1 + math.exp(-9 * (score - 1))) for score in scores],
        },
    }


@pytest.fixture
def diagnosis() -> dict:
    """A diagnosis of a small network on handwritten digits, every series present."""
    return make_diagnosis()


@pytest.fixture
def two_long_diagnoses() -> list[dict]:
    """Two diagnoses of 20 000 steps, each with every series."""
    return [make_diagnosis(seed, steps=20_000) for seed in (0, 1)]


@pytest.fixture
def fit() -> dict:
    """A fitted table, every series present."""
    return make_fit()


@pytest.fixture
def electrode() -> dict:
    """An electrode by design, every series present."""
    return make_electrode()


@pytest.fixture
def one_of_each() -> list[dict]:
    """A short diagnosis, a fit, a study, an electrode and a federated simulation."""
    short = make_diagnosis(steps=60)
    return [short, make_fit(), make_study(), make_electrode(), make_federated()]


@pytest.fixture
def federated() -> dict:
    """A comparison of two algorithms, with every series that any simulation has."""
    return make_federated()


@pytest.fixture
def study() -> dict:
    """A study with every verdict and every kind of figure."""
    return make_study()


def make_diagnosis(seed: int = 0, steps: int = 540) -> dict:
    rng = random.Random(seed)
    pixels = [
        math.exp(-(((i // 8) - 3.5) ** 2 + ((i % 8) - 3.5) ** 2) / 6) * rng.uniform(0.4, 1.6)
        for i in range(64)
    ]
    eigenvalues = [40.0 * (i + 1) ** -1.6 for i in range(256)]
    labels = [0.25 * (i + 1) ** -1.3 for i in range(256)]
    return {
        "kind": "diagnosis",
        "environment": _environment(),
        "model": {
            "name": "MLP",
            "parameters": 85002,
            "trainable": 85002,
            "layers": [
                {"name": "0", "type": "Linear", "parameters": 16640},
                {"name": "2", "type": "Linear", "parameters": 65792},
                {"name": "4", "type": "Linear", "parameters": 2570},
            ],
            "parametrisation": "standard",
        },
        "data": {
            "name": "digits",
            "train": 1437,
            "test": 360,
            "input_shape": [1, 8, 8],
            "classes": 10,
            "task": "classification",
            "feature_names": None,
            "loss": "CrossEntropyLoss",
            "batch_size": 32,
            "epochs_run": 12,
            "steps_run": steps,
        },
        "advice": {
            "learning_rate": 0.09871234567,
            "interval": [0.05, 0.2],
            "verdict": "found",
            "horizon": {"steps": 270, "of": 540},
            "trial_steps": 1830,
            "stable_limit": 0.1974,
            "optimizer": "SGD",
            "batch_size": 32,
            "critical_batch_sizes": [3.1, 40.2],
            "momentum": 0.9,
            "mass": {"lr": 0.0714, "alpha": 0.05, "kappa_t": 3.2},
        },
        "statements": _statements(),
        "events": _events(),
        "suspects": [
            {
                "id": rng.randrange(1437),
                "label": str(i % 10),
                "predicted": str((i * 3 + 8) % 10),
                "score": 2.9 - 0.11 * i,
                "posterior": 0.999 - 0.02 * i,
                "image": _glyph(rng),
            }
            for i in range(12)
        ],
        "series": {
            **_run_series(rng, steps),
            **_label_series(rng, list(range(44, steps, 45))),
            "spectrum": {
                "eigenvalues": eigenvalues,
                "label_alignment": labels,
                "final": [2.1 * value for value in eigenvalues],
            },
            "edge": [_edge(0.17), _edge(0.22), {"step": [], "rate": [], "limit": []}],
            "agop": {
                "diagonal": pixels,
                "image_shape": [8, 8],
                "names": None,
                "start": [rng.uniform(0.8, 1.2) for _ in range(64)],
            },
            "rate_sweep": {
                "lr": [0.1 * 2.0**i for i in range(-5, 6)],
                "loss": [1.2, 0.71, 0.4, 0.21, 0.09, 0.04, 0.022, 0.05, 0.9, None, None],
                "advised": 0.09871234567,
                "low": 0.05,
                "high": 0.2,
                "steps": 270,
            },
            "race": [_trial(0.05, 0.4), _trial(0.1, 0.3), _trial(0.2, 0.35), _trial(0.8, None)],
        },
    }


def _trial(rate: float, loss: float | None) -> dict:
    """A short training; one that was lost has no loss, and few steps."""
    steps = 270 if loss else 20
    curve = [2.3 * math.exp(-rate * step / 3) + 0.1 for step in range(0, steps, 3)]
    return {
        "rate": rate, "order": 0, "steps": steps, "loss": loss, "lost": loss is None,
        "losses": curve,
    }  # fmt: skip


def _edge(settled: float) -> dict:
    """A rate that climbs to its limit and follows it; once the limit was not found."""
    steps = list(range(0, 200, 5))
    limits = [settled * (1 + 2.5 * math.exp(-step / 30)) for step in steps]
    rates, rate = [], limits[0] / 32
    for limit in limits:
        rate = min(limit, rate * 2 ** (5 / 12))
        rates.append(rate)
    return {"step": steps, "rate": rates, "limit": [None, *limits[1:]]}


def _environment() -> dict:
    return {
        "overparam": "0.1.0",
        "torch": "2.13.0",
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "threads": 2,
        "device": "cpu",
        "seconds": 61.2,
        "budget_seconds": 60,
        "seed": 0,
        "command": "overparam diagnose --data digits --budget 60s --seed 0",
    }


def _statements() -> list[dict]:
    rows = [
        (
            "learning_rate",
            "A learning rate of 0.0987 is half of what this network's kernel allows.",
            0.0987,
            0.1974,
            "Train at 0.0987; halve it if the loss still spikes.",
            "good",
        ),
        (
            "spikes",
            "One of two loss spikes was a catapult: the step was too long, and the run recovered "
            "by moving to where the loss is flatter.",
            1,
            0,
            "No action: catapults of this size heal themselves and often help.",
            "info",
        ),
        (
            "label_noise",
            "About 9.5 % of the labels look wrong, and the network begins to learn them.",
            0.095,
            0.05,
            "Look at the suspects below, and stop near step 314.",
            "warning",
        ),
        (
            "stability",
            "The sharpness crossed its limit.",
            1.15,
            1.0,
            "Lower the learning rate below 0.087.",
            "critical",
        ),
        (
            "regime",
            "The kernel moved by 61 % of its norm: features are being learned.",
            0.61,
            0.1,
            "Do not rely on the linearized network to predict this one.",
            "info",
        ),
        (
            "linearization",
            "Whether the linearized network would do as well cannot be told within this budget.",
            None,
            0.05,
            "Give a budget of at least 120s.",
            "unknown",
        ),
    ]
    keys = ("name", "text", "value", "threshold", "action", "level")
    return [dict(zip(keys, row, strict=True)) for row in rows]


def _events() -> list[dict]:
    common = {
        "ratio_before": 1.12,
        "top_share": 0.994,
        "sharpness_before": 22.4,
        "reason": "the rate exceeded its limit",
    }
    return [
        {
            **common,
            "step": 122,
            "kind": "catapult",
            "peak_ratio": 6.1,
            "steps_to_recover": 9,
            "sharpness_after": 14.9,
            "ids": None,
        },
        {
            **common,
            "step": 340,
            "kind": "bad batch",
            "peak_ratio": 3.3,
            "steps_to_recover": None,
            "top_share": 0.31,
            "sharpness_after": 15.2,
            "ids": list(range(100, 132)),
        },
    ]


def make_study() -> dict:
    widths = [64, 128, 256, 512, 1024, 2048, 4096]
    claims = [
        (
            "slope",
            "Kernel change falls as m^-1/2 with width m",
            -0.5,
            -0.487,
            0.05,
            "reproduced",
            7,
        ),
        ("hessian", "Hessian norm falls as m^-1/2", -0.5, -0.39, 0.05, "weaker", 7),
        (
            "relu_output",
            "A nonlinear output layer breaks constancy",
            1.0,
            0.2,
            0.1,
            "not reproduced",
            3,
        ),
        ("scale", "Holds at 10^5 units", None, None, None, "not testable at this size", 0),
    ]
    keys = ("name", "statement", "paper", "measured", "tolerance", "verdict", "n")
    width_axis = {"label": "width", "scale": "log"}
    return {
        "kind": "study",
        "study": "liu2020_kernel_constancy",
        "title": "The tangent kernel of a network of width m changes by O(m^-1/2) in a ball",
        "reference": "Liu, Zhu, Belkin (2020), arXiv:2010.01092",
        "size": "quick",
        "seed": 0,
        "environment": {key: _environment()[key] for key in ("overparam", "torch", "platform")},
        "seconds": 92.5,
        "claims": [
            {**dict(zip(keys, row, strict=True)), "source": "Theorem 3.2, Figure 1"}
            for row in claims
        ],
        "series": {
            "change": {
                "kind": "line",
                "title": "Kernel change falls with slope -0.487 in the width",
                "x": width_axis,
                "y": {"label": "relative kernel change", "scale": "log"},
                "caption": "Mean over 7 seeds; Frobenius norm.",
                "lines": [
                    {"name": "linear output", "x": widths, "y": [2.1 * m**-0.487 for m in widths]},
                    {"name": "ReLU output", "x": widths, "y": [0.9 * m**-0.02 for m in widths]},
                ],
            },
            "seeds": {
                "kind": "scatter",
                "title": "Seeds differ by less than 10 %",
                "x": width_axis,
                "y": {"label": "relative kernel change", "scale": "log"},
                "caption": "One point for each seed.",
                "lines": [{"name": "seeds", "x": widths, "y": [2.0 * m**-0.5 for m in widths]}],
            },
            "by_activation": {
                "kind": "bar",
                "title": "The slope does not depend on the activation",
                "x": {"label": "activation", "scale": "linear"},
                "y": {"label": "slope", "scale": "linear"},
                "caption": "Least squares in the logarithms.",
                "lines": [
                    {"name": "depth 2", "x": ["tanh", "ReLU", "GELU"], "y": [-0.49, -0.47, -0.5]},
                    {"name": "depth 3", "x": ["tanh", "ReLU", "GELU"], "y": [-0.48, -0.45, None]},
                ],
            },
            "map": {
                "kind": "heatmap",
                "title": "The kernel at initialisation is nearly diagonal",
                "x": {"label": "sample", "scale": "linear"},
                "y": {"label": "sample", "scale": "linear"},
                "caption": "Twelve samples.",
                "lines": [
                    {
                        "name": "kernel",
                        "x": list(range(12)),
                        "y": list(range(12)),
                        "z": [[math.exp(-abs(i - j) / 2) for j in range(12)] for i in range(12)],
                    }
                ],
            },
        },
    }


def make_fit() -> dict:
    return {
        "kind": "fit",
        "environment": {"command": "overparam fit wine.csv", "seconds": 3.0, "seed": 0},
        "data": {"name": "wine", "target": "quality", "rows": 100, "columns": 3, "left_out": []},
        "model": {"name": "ours", "metric": "R²", "settings": {"ridge": 0.1}},
        "scores": [
            {"name": "ours", "ours": True, "mean": 0.5, "folds": [0.4, 0.6], "seconds": 1.0,
             "measures": {"R²": 0.5, "MAE": 2.0}, "low": 0.4, "high": 0.6, "gap": None},
            {"name": "a forest", "ours": False, "mean": 0.4, "folds": [0.3, 0.5], "seconds": 2.0,
             "measures": {"R²": 0.4, "MAE": 3.0}, "low": 0.3, "high": 0.5,
             "gap": {"mean": -0.1, "low": -0.15, "high": -0.05}},
            {"name": "the mean", "guess": True, "mean": 0.0, "folds": [0.0, 0.0], "seconds": 0.0,
             "measures": {"R²": 0.0, "MAE": 5.0}, "low": 0.0, "high": 0.0,
             "gap": {"mean": -0.5, "low": -0.6, "high": -0.4}},
        ],
        "statements": [{"name": "score", "level": "good", "text": "It works.", "value": 0.5}],
        "series": {
            "importances": {
                "names": ["a", "b", "c"],
                "value": [0.2, 0.7, 0.1],
                "low": [0.1, 0.6, 0.0],
                "high": [0.3, 0.8, 0.2],
            },
            "feature_matrix": {
                "names": ["a", "b", "c"],
                "values": [[1, -0.9, 0], [-0.9, 1, 0.1], [0, 0.1, 1]],
            },
            "dependence": [{"name": "0.9 b", "share": 0.8, "x": [0, 1], "y": [1.0, 2.0]}],
            "effects": [
                {"name": "b", "kind": "number", "x": [0, 1, 2], "y": [1.0, 2.0, 2.5],
                 "low": [0.8, 1.8, 2.2], "high": [1.2, 2.2, 2.8]},
                {"name": "a", "kind": "category", "x": ["u", "v"], "y": [1.5, 1.6],
                 "low": [1.4, 1.5], "high": [1.6, 1.7]},
            ],
            "interactions": [{"names": ["a", "b"], "share": 0.2}],
            "predicted": {
                "predicted": [1.0, 2.0, 3.0], "observed": [1.1, 1.8, 3.3],
                "grid": [1.0, 2.0, 3.0], "low": [0.5, 1.5, 2.5], "high": [1.5, 2.5, 3.5],
                "level": 0.9,
            },
            "calibration": {
                "of": "good", "predicted": [0.1, 0.5, 0.9], "observed": [0.2, 0.5, 0.6],
                "low": [0.05, 0.3, 0.4], "high": [0.4, 0.7, 0.8], "rows": [20, 20, 20],
                "error": 0.13,
            },
            "confusion": {"classes": ["bad", "good"], "rows": [[30, 4], [2, 24]]},
        },
    }  # fmt: skip


def make_electrode() -> dict:
    parameters = ("active_material", "solids", "calendering")
    stages = ["sampled"] * 6 + ["proposed"] * 2 + ["checked"] * 2
    energy = [1500.0 + 60 * i for i in range(10)]
    power = [9000.0 + 300 * (i % 4) for i in range(10)]
    front = {"energy": [1700.0, 1900.0, 2100.0], "power": [11500.0, 11000.0, 9800.0]}
    places = [0.0, 0.25, 0.5, 0.75, 1.0]
    chosen = [
        {
            "label": label,
            "parameters": dict(zip(parameters, (0.98, solids, 0.38), strict=True)),
            "structure": {"thickness": 5.2e-5, "porosity": 0.2, "conductivity": 1.3},
            "objectives": {"energy": gives, "power": 11000.0},
            "curves": [
                {
                    "name": words,
                    "rate": rate,
                    "capacity": [0.0, 1.0, full],
                    "voltage": [4.2, 3.8, 3.5],
                }
                for words, rate, full in (("C/5", 0.2, 2.0), ("1C", 1.0, 1.9), ("3C", 3.0, 1.5))
            ],
        }
        for label, solids, gives in (
            ("most energy", 0.7, 2100.0),
            ("best compromise", 0.64, 1900.0),
            ("most power", 0.55, 1700.0),
        )
    ]
    return {
        "kind": "electrode",
        "environment": {"command": "overparam battery design", "seconds": 30.0, "seed": 0},
        "process": {
            "name": "CoatingProcess",
            "bounds": {
                "active_material": [0.9, 0.98],
                "solids": [0.55, 0.7],
                "calendering": [0.0, 0.45],
            },
            "smallest_porosity": 0.15,
        },
        "objectives": [
            {"name": "energy", "words": "energy at 1C", "unit": "Wh/L"},
            {"name": "power", "words": "pulse power", "unit": "W/L"},
        ],
        "surrogate": {
            "name": "Gaussian process",
            "designs": 8,
            "quality": {"energy": {"r2": 0.99, "error": 1e-3, "worst": 1e-2}},
            "checked": {"energy": 2e-3, "power": 3e-3},
        },
        "hypervolume": {"sampled": 2.0, "checked": 3.0, "ratio": 1.5},
        "statements": [
            {"name": "compromise", "level": "good", "text": "It trades well.", "value": 1900.0}
        ],
        "series": {
            "designs": {
                **{name: [0.5] * 10 for name in parameters},
                "energy": [*energy[:-1], None],
                "power": power,
                "failure": [""] * 9 + ["the solver gave up"],
                "stage": stages,
                "front": [False] * 8 + [True, False],
            },
            "front": front,
            "chosen": chosen,
            "effects": {
                "importance": {
                    "energy": {"names": list(parameters), "share": [0.2, 0.7, 0.1]},
                    "power": {"names": list(parameters), "share": [0.1, 0.3, 0.6]},
                },
                "dependence": [
                    {
                        "parameter": name,
                        "x": places,
                        "y": {"energy": [1500.0, 1600, 1700, 1800, None], "power": [9e3] * 5},
                    }
                    for name in parameters
                ],
            },
        },
    }


def make_federated() -> dict:
    def run(name, seed, lift):
        rounds = list(range(6))
        return {
            "algorithm": name, "seed": seed, "engine": "stacked", "parameters": 330,
            "settings": {"lr": 0.01, "betas": [0.9, 0.99]},
            "topology": {"edges": 40, "factor": 0.1, "error": 0.12},
            "curve": {
                "round": rounds,
                "test_accuracy": [0.1, *(lift - 0.4 / (r + 1) for r in rounds[1:])],
                "test_loss": [2.3 / (r + 1) for r in rounds],
                "floats": [r * 1000 * (2 if name == "fadamgc" else 1) for r in rounds],
                "drift": [0, *(1.0 / r for r in rounds[1:])],
                "spread_before": [0, *([2.0] * 5)], "spread": [0, *([1.0] * 5)],
                "epsilon": [0.2 * r for r in rounds],
            },
            "client_accuracy": [lift - 0.3, lift, 1.0],
        }  # fmt: skip

    def tuning(name, value):
        trials = [{"settings": {"lr": 10.0**-i}, "value": value - 0.1 * i} for i in range(3)]
        return {
            "algorithm": name, "windows": {"lr": [0.01, 1.0]}, "trials": trials,
            "best": {"lr": 1.0}, "value": value, "at_end": ["lr"],
        }  # fmt: skip

    return {
        "kind": "federated",
        "environment": _environment(),
        "spec": {
            "data": "digits", "clients": 3, "rounds": 5, "local_steps": [1, 2, 3],
            "partition": {"kind": "dirichlet", "alpha": 0.1}, "algorithm": {"name": "fadamgc"},
        },
        "data": {"name": "digits", "train": 1437, "test": 360, "classes": 10},
        "statements": [
            {
                "name": "accuracy", "text": "It ends well.", "value": 0.9, "threshold": None,
                "action": "", "level": "info", "bar": "",
            }
        ],
        "runs": [run(n, s, 0.9 if n == "fadamgc" else 0.8)
                 for n in ("fadamgc", "scaffold") for s in (1, 2)],
        "tuning": [tuning("fadamgc", 0.9), tuning("scaffold", 0.8)],
        "clients": {"count": 3, "sizes": [3, 4, 9], "classes": [1, 2, 2]},
    }  # fmt: skip
