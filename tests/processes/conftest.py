import importlib
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from joblib.externals.loky import get_reusable_executor

HERE = Path(__file__).parent
FOLDERS = [str(HERE), str(HERE.parent / "claims")]


@pytest.fixture
def modules(monkeypatch):
    """The modules `mortal` and `toy`, importable here and by workers started meanwhile."""
    get_reusable_executor().shutdown(wait=True)  # idle workers know another sys.path
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("mortal"), importlib.import_module("toy")
    get_reusable_executor().shutdown(wait=True)
    del sys.modules["mortal"], sys.modules["toy"]


@pytest.fixture
def environment():
    """Of a process that imports the same modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*FOLDERS, *sys.path]), "TOY_SLEEP": "1"}


@pytest.fixture
def started():
    """Processes to be ended with everything that they started, if a test leaves any."""
    processes = []
    yield processes
    for process in processes:
        family = getattr(process, "family", [])
        if process.poll() is None:
            family = [*family, *psutil.Process(process.pid).children(recursive=True)]
            process.kill()
        # Left alone, workers end by themselves, and then who clears shared memory after them.
        for member in psutil.wait_procs(family, timeout=30)[1]:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.communicate(timeout=60)


def _eventually(condition, patience=200.0):
    """Whether something becomes true; a busy machine may need half a minute to import torch."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def eventually():
    """Wait for something."""
    return _eventually
