import sys
from pathlib import Path

import pytest

FOLDER = str(Path(__file__).parent)


@pytest.fixture
def toy(monkeypatch):
    """The toy study's module, importable here and by worker processes started meanwhile."""
    monkeypatch.syspath_prepend(FOLDER)
    import toy

    toy.CALLS.clear()
    yield toy
    del sys.modules["toy"]


@pytest.fixture
def toy_process_environment():
    """Environment for a process that imports the toy study."""
    import os

    return {**os.environ, "PYTHONPATH": FOLDER}
