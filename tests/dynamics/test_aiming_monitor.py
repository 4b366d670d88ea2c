"""Snapshots of a run, and the aiming constants along it."""

import torch
from torch.testing import assert_close

from overparam.dynamics import AimingMonitor
from overparam.optim import Projection, project_to_interpolation

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(4, 9, generator=DRAW, dtype=torch.float64)
Y = torch.randn(4, generator=DRAW, dtype=torch.float64)


def squares(w):
    return (X @ w - Y).square().sum() / 8


def test_snapshots_are_finalized_later():
    monitor = AimingMonitor(squares, steps=[0, 5, 20])
    w = torch.zeros(9, dtype=torch.float64)
    solution = torch.linalg.pinv(X) @ Y
    lr = 4 / float(torch.linalg.eigvalsh(X @ X.T)[-1])
    for step in range(30):
        monitor.record(step, w)
        w -= lr * X.T @ (X @ w - Y) / 4
    assert sorted(monitor.snapshots) == [0, 5, 20]

    def project(v):
        return project_to_interpolation(lambda u: X @ u, v, Y, solution)

    table = monitor.finalize(solution, project=project)
    assert table["step"].tolist() == [0, 5, 20]
    assert_close(torch.tensor(table["theta"].to_numpy()), torch.full((3,), 2.0).double())
    assert_close(torch.tensor(table["theta_final"].to_numpy()), torch.full((3,), 2.0).double())
    bound = table["growth"] * table["theta"] ** 2 / 4
    assert bool((table["pl"] >= bound * (1 - 1e-9)).all())


def test_the_constants_are_those_of_a_square():
    """L = 3 ‖w‖²/2 meets PL and quadratic growth with 3, and aims at its minimum with 2."""
    monitor = AimingMonitor(lambda w: 1.5 * w.square().sum(), steps=[0])
    monitor.record(0, torch.ones(3).double())
    row = monitor.finalize(torch.zeros(3).double()).iloc[0]
    assert (row["pl"], row["growth_final"], row["theta_final"]) == (3, 3, 2)


def test_snapshots_at_a_solution_are_left_out():
    monitor = AimingMonitor(squares, steps=[0])
    monitor.record(0, torch.linalg.pinv(X) @ Y)
    assert monitor.finalize(torch.zeros(9).double()).empty


def test_no_projection_is_made_up():
    monitor = AimingMonitor(squares, steps=[0])
    monitor.record(0, torch.ones(9).double())
    assert "theta" not in monitor.finalize(torch.zeros(9).double()).columns
    assert isinstance(
        project_to_interpolation(
            lambda u: X @ u, torch.ones(9).double(), Y, torch.zeros(9).double()
        ),
        Projection,
    )
