"""What is said where Optuna is not installed."""

import subprocess
import sys

import numpy as np
import pytest

from overparam.search import SACSampler, SACSearch, tune

EXTRA = r"expected the package optuna, got none.\nHint: pip install 'overparam\[search\]'"


def test_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"`SACSampler\(...\)` " + EXTRA):
        SACSampler()
    with pytest.raises(ImportError, match=r"`tune\(...\)` " + EXTRA):
        tune(None, np.zeros((4, 1)), np.zeros(4))


def test_the_class_is_there_and_the_search_by_itself_works():
    script = """
import sys
sys.modules["optuna"] = None
from overparam.search import SACSampler, SACSearch
assert SACSampler.__bases__ == (object,)
assert SACSearch(2, seed=0).ask().shape == (2,)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=200)


def test_looking_at_the_package_imports_no_optuna():
    assert SACSearch(1, seed=0).ask().shape == (1,)
