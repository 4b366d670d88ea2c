"""What is said where the tool is not installed."""

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("lightning", "lightning.pytorch"),
        ("transformers", "transformers"),
        ("wandb", "wandb"),
        ("mlflow", "mlflow"),
    ],
)
def test_the_extra_to_install_is_named(module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"overparam.integrations.{module}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'overparam\[{module}\]'"):
        importlib.import_module(f"overparam.integrations.{module}")


def test_nothing_is_imported_before_it_is_asked_for():
    import overparam.integrations

    assert overparam.integrations.__all__ == []
