"""How long work shows how far it is: bars where somebody looks, or calls of a function."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from overparam import RFMRegressor, diagnose, fit
from overparam._progress import counted, telling
from overparam.claims import run_study
from overparam.kernels import EigenProSolver, Laplace
from overparam.tangents import empirical_ntk_to_file

X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fits(progress, folder):
    RFMRegressor(n_iter=2, early_stopping=False, progress=progress).fit(X.numpy(), X[:, 0].numpy())


def solves(progress, folder):
    EigenProSolver(Laplace(1.0)).fit(X, X[:, :1], epochs=3, progress=progress)


def writes(progress, folder):
    model = nn.Linear(3, 1).double()
    empirical_ntk_to_file(model, X, path=folder / "K.npy", tile=6, progress=progress)


def tells(progress, folder):
    fit("iris", number_of_folds=2, compare_with_baselines=False, progress=progress)


LONG = {"rounds": fits, "epochs": solves, "K.npy": writes, "cross-validating": tells}


@pytest.mark.parametrize("stage", LONG)
def test_a_function_is_told_the_stage_and_the_share(stage, tmp_path):
    calls = []
    LONG[stage](lambda stage, done: calls.append((stage, done)), tmp_path)
    assert calls[0][0] == stage
    for name in {name for name, _ in calls}:
        shares = [done for each, done in calls if each == name]
        assert shares == sorted(shares)
        assert shares[0] >= 0
        assert shares[-1] == 1


@pytest.mark.parametrize("stage", LONG)
def test_true_draws_bars_where_somebody_looks_and_false_none(stage, tmp_path, monkeypatch):
    drawn = {}
    for name, stream in {"terminal": Terminal(), "file": io.StringIO()}.items():
        for progress in (True, False):
            folder = tmp_path / f"{name}-{progress}"
            folder.mkdir()
            monkeypatch.setattr(sys, "stderr", stream)
            before = len(stream.getvalue())
            LONG[stage](progress, folder)
            drawn[name, progress] = stage in stream.getvalue()[before:]
    assert drawn == {
        ("terminal", True): True, ("terminal", False): False,
        ("file", True): False, ("file", False): False,
    }  # fmt: skip


def test_a_notebook_is_looked_at(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with counted(True, "rounds", 2) as advance:
        advance()
    assert "rounds" in stream.getvalue()


@pytest.mark.untyped("an annotation says what to write, a bool, and others are taken as well")
@pytest.mark.parametrize("flag", [False, np.False_, 0])
def test_a_flag_may_be_of_any_kind(flag):
    with telling(flag) as tell, counted(flag, "rounds", 1) as advance:
        tell("stage", 0.5)
        advance()


@pytest.mark.parametrize(
    "call",
    [
        lambda: diagnose(progress="bar"),
        lambda: fit("iris", progress="bar"),
        lambda: fits("bar", None),
        lambda: solves("bar", None),
        lambda: writes("bar", Path()),
        lambda: run_study("liu2020_kernel_constancy", "smoke", progress="bar"),
    ],
)
def test_anything_else_is_refused(call):
    with pytest.raises(TypeError, match=r"^`.*progress=...\)` expected .*'bar'"):
        call()
