"""What is said where POT is not installed."""

import importlib
import sys

import numpy as np
import pytest

EXTRA = r"pip install 'overparam\[transport\]'"


@pytest.fixture
def without_pot(monkeypatch):
    for name in [name for name in sys.modules if name == "ot" or name.startswith("ot.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ot", None)


def test_the_extra_to_install_is_named(without_pot):
    from overparam.transport import (
        DiscriminantTransportClassifier,
        TwoSidedProcrustes,
        two_sided_wasserstein_procrustes,
    )

    x, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 2
    for use in (
        lambda: DiscriminantTransportClassifier().fit(x, y, x),
        lambda: TwoSidedProcrustes().fit(x, x),
        lambda: two_sided_wasserstein_procrustes(x, x),
    ):
        with pytest.raises(ImportError, match=EXTRA):
            use()
    DiscriminantTransportClassifier().fit(x, y).predict(x)  # needs nothing


def test_the_transport_of_pot_says_so_when_it_is_made(without_pot, monkeypatch):
    monkeypatch.delitem(sys.modules, "overparam.transport.pot_transport", raising=False)
    module = importlib.import_module("overparam.transport.pot_transport")
    try:
        with pytest.raises(ImportError, match=EXTRA):
            module.DiscriminantTransport()
    finally:
        sys.modules.pop("overparam.transport.pot_transport", None)
