import os
import sys
from pathlib import Path

import pytest
from joblib.externals.loky import get_reusable_executor

FOLDER = str(Path(__file__).parent)


@pytest.fixture
def toy(monkeypatch):
    """The toy study's module, importable here and by worker processes started meanwhile."""
    # loky keeps idle workers for the next call: those of an earlier test know another sys.path.
    get_reusable_executor().shutdown(wait=True)
    monkeypatch.syspath_prepend(FOLDER)
    import toy

    toy.CALLS.clear()
    yield toy
    del sys.modules["toy"]


@pytest.fixture
def toy_process_environment():
    """Environment for a process that imports the toy study, whose cells take their time there."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([FOLDER, *sys.path]), "TOY_SLEEP": "1"}
