"""A factor, a sign or a shift in what a study rests on is seen by the study itself."""

import dataclasses
import importlib

import pandas as pd
import pytest
import torch

from overparam.claims import load_study
from overparam.studies import (
    liu2022_pl_condition,
    liu2022_weak_models,
    liu2023_relu_conditioning,
    zhu2022_dag_linearity,
)
from overparam.studies.liu2018_parametrized_acceleration import runs
from overparam.studies.liu2020_kernel_constancy import measures
from overparam.studies.marreddy2026_label_alignment import checks


def scaled(factor):
    """Whatever a function returns, times a factor."""
    return lambda f: lambda *args, **kwargs: f(*args, **kwargs) * factor


def later(f):
    """A bound with 2t for t."""
    return lambda kernel, r0, lr, steps, **kwargs: f(
        kernel, r0, lr, tuple(2 * t for t in steps), **kwargs
    )


def half_radius(f):
    """A certificate whose radius lacks its 2."""

    def found(*args, **kwargs):
        certificate = f(*args, **kwargs)
        return dataclasses.replace(certificate, radius=certificate.radius / 2)

    return found


def flipped(f):
    """Coefficients with the other sign of the compensation."""
    return lambda alpha, kappa_t: (f(alpha, kappa_t)[0], (2 - 1 / kappa_t - alpha) / (1 - alpha))


ONE_LAYER = {"measure": "one layer", "model": "linear output", "width": 16, "narrow": 0}
CERTIFICATE = {"measure": "certificate", "at": 2**14, "kind": "path", "runs": 2}
ASSEMBLY = {"measure": "assembly", "model": "equal", "number": 4}
GRAPH = {"measure": "oracle", "family": "wide in-degree", "m": 4}
RIGHT_ANGLE = {"measure": "orthogonal", "data": "none", "depth": 1, "n": 2, "width": 0}
POWERS = {"measure": "brute force", "data": "none", "labels": "none", "n": 20, "width": 0}
CLOSED = {"measure": "closed form", "method": "nesterov", "rho": 0.1, "steps": 30}
# The package offers a function of the same name.
STEP = importlib.import_module("overparam.optim.mass_step")
CASES = [
    ("liu2020_kernel_constancy", "motivating_model", ONE_LAYER, measures, [
        ("empirical_ntk", scaled(2)), ("hessian_norm", scaled(3)),
    ]),
    ("liu2022_pl_condition", "radius_and_spectrum", CERTIFICATE, liu2022_pl_condition, [
        ("pl_certificate", half_radius),
    ]),
    ("liu2022_weak_models", "block_identity", ASSEMBLY, liu2022_weak_models, [
        ("hessian_norm", scaled(3)),
    ]),
    ("liu2022_weak_models", "gradient_identity", ASSEMBLY, liu2022_weak_models, [
        ("empirical_ntk", scaled(2)), ("dominance", scaled(2)),
    ]),
    ("zhu2022_dag_linearity", "dense_derivatives", GRAPH, zhu2022_dag_linearity, [
        ("empirical_ntk", scaled(2)), ("hessian_norm", scaled(3)),
    ]),
    ("liu2023_relu_conditioning", "orthogonal_inputs", RIGHT_ANGLE, liu2023_relu_conditioning, [
        ("infinite_ntk", scaled(2)), ("model_gradient_angle", scaled(2)),
    ]),
    ("marreddy2026_label_alignment", "bounds_are_those_of_powers", POWERS, checks, [
        ("linearized_loss", later), ("spectral_loss_bound", later), ("classical_loss_bound", later),
    ]),
    ("liu2018_parametrized_acceleration", "closed_forms", CLOSED, runs, [
        ("spectral_error", scaled(1.01)), ("nesterov_momentum", scaled(0.9)),
    ]),
    ("liu2020_mass", "update_is_the_authors", {"measure": "update", "steps": 20}, STEP, [
        ("coefficients", flipped),
    ]),
]  # fmt: skip


def verdict(study, name, parameters):
    """Of one claim on one cell."""
    claim = next(claim for claim in study.claims if claim.name == name)
    with torch.random.fork_rng(devices=[]):
        found = study.cell(**parameters, seed=0)
    return claim.judge(pd.DataFrame([{**parameters, "seed": 0, **found}]), "full")["verdict"]


@pytest.mark.parametrize(("name", "claim", "cell", "where", "sabotages"), CASES)
def test_a_sabotaged_function_is_seen(name, claim, cell, where, sabotages, monkeypatch) -> None:
    study = load_study(name)
    assert verdict(study, claim, cell) == "reproduced"
    for function, sabotage in sabotages:
        with monkeypatch.context() as patch:
            patch.setattr(where, function, sabotage(getattr(where, function)))
            assert verdict(study, claim, cell) == "not reproduced", function
