"""Each study sees when a function that it rests on is off by a factor, a sign or a diagonal."""

import importlib

import pytest
import torch

from overparam.dynamics.aiming_monitor import AimingMonitor
from overparam.dynamics.catapult_map import catapult_map
from overparam.kernels.functions import Laplace

STUDIES = "overparam.studies"


def of(path):
    return importlib.import_module(f"{STUDIES}.{path}")


def without_distance(self, pairs):
    return torch.exp(-pairs.sqrt() / self.bandwidth).mul_(-1 / self.bandwidth)


def halved_growth(monkeypatch):
    found = AimingMonitor.finalize

    def finalize(self, *given, **more):
        table = found(self, *given, **more)
        return table.assign(growth_final=table["growth_final"] / 2)

    monkeypatch.setattr(AimingMonitor, "finalize", finalize)


def twice(function):
    return lambda *given, **more: 2 * function(*given, **more)


def diagonal(function):
    return lambda *given, **more: torch.diag(function(*given, **more).diagonal())


# Study, its oracle, the number it gives, and what is spoilt.
SABOTAGES = {
    "IRKM: a Laplace gradient without 1/r": (
        "zhu2025_irkm.experiments", "derivatives", {}, "derivative_error",
        lambda m, _: m.setattr(Laplace, "slopes_", without_distance),
    ),
    "RFM: a Laplace gradient without 1/r": (
        "radhakrishnan2024_rfm.low_rank", "oracle", {}, "agop_error",
        lambda m, _: m.setattr(Laplace, "slopes_", without_distance),
    ),
    "RFM: a machine's AGOP is its diagonal": (
        "radhakrishnan2024_rfm.low_rank", "oracle", {}, "agop_error",
        lambda m, at: m.setattr(at, "predictor_agop", diagonal(at.predictor_agop)),
    ),
    "xRFM: twice the AGOP": (
        "beaglehole2025_xrfm.tables", "oracle", {}, "agop_error",
        lambda m, at: m.setattr(at, "predictor_agop", twice(at.predictor_agop)),
    ),
    "grokking: twice the AGOP": (
        "mallinar2025_modular_grokking.identities", "gradients", {}, "error",
        lambda m, at: m.setattr(at, "predictor_agop", twice(at.predictor_agop)),
    ),
    "catapults: a network's AGOP is its diagonal": (
        "zhu2024_sgd_catapults.spikes", "oracle", {"width": 32}, "agop_error",
        lambda m, at: m.setattr(at, "agop", diagonal(at.agop)),
    ),
    "aiming: half the quadratic growth": (
        "liu2023_aiming.theorem", "equality", {}, "constants_error",
        lambda m, _: halved_growth(m),
    ),
    "aiming: twice the iterations": (
        "liu2023_aiming.theorem", "equality", {}, "constants_error",
        lambda m, at: m.setattr(at, "iterations_bound", twice(at.iterations_bound)),
    ),
    "clean priority: classes for the given labels instead of the true": (
        "liu2023_clean_priority.training", "oracle", {}, "ratio_error",
        lambda m, at: m.setattr(at, "clean_dominance", by_given(at.clean_dominance)),
    ),
}  # fmt: skip


def by_given(function):
    def spoilt(net, x, given, loss, clean, *, classes):
        return function(net, x, given, loss, clean, classes=given)

    return spoilt


@pytest.mark.parametrize("name", SABOTAGES)
def test_an_oracle_passes_and_sees_the_sabotage(name, monkeypatch):
    module, oracle, settings, number, spoil = SABOTAGES[name]
    at = of(module)
    # float32 sums of 256 terms in the one case that is a network's: 1e-4; else float64.
    assert getattr(at, oracle)(seed=0, **settings)[number] < 1e-4
    spoil(monkeypatch, at)
    assert getattr(at, oracle)(seed=0, **settings)[number] > 1e-2


def test_the_quadratic_studys_own_map_is_the_librarys():
    limit = of("zhu2024_quadratic_catapult.statistics").limit
    for edge in (1.5, 2.1, 2.5, 3.0):
        # 3000 steps that contract: rounding of a few of them is left.
        assert limit(edge) == pytest.approx(float(catapult_map(edge, 1e-6, 3000).v[-1]), rel=1e-9)
    # A small excess over 2 is reflected: 2 - 0.1, and less by its square.
    assert 1.89 < limit(2.1) < 1.9
