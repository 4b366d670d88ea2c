"""Functions for workers that are killed or wait, importable there.

Reference:
    Nobody (1900).
Changed:
    Nothing.
Cost:
    A process.
Failure:
    Of the worker, not of the claim.
"""

import multiprocessing
import os
import signal
import time
from pathlib import Path

from overparam import _threads

if multiprocessing.current_process().name.startswith("LokyProcess"):
    # A worker of a study sees to the threads of torch, whose import takes seconds. The
    # cells here compute nothing.
    _threads.compute_on = lambda threads: None


def once(mark, value):
    """The value; the first call with this mark is the end of its process."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return value
    os.kill(os.getpid(), signal.SIGKILL)


def never(value):
    """The end of the process."""
    os.kill(os.getpid(), signal.SIGKILL)


def cell_that_waits(width, sleep, breaks, seed):
    """A cell; it takes its time."""
    time.sleep(float(os.environ["TOY_SLEEP"]))
    return {"value": 0.5, "gap": 0.0}


def cell_killed_once(width, sleep, breaks, seed):
    """A cell; the second one ends its process the first time."""
    return {"value": once(os.environ["MORTAL"], 0.5) if width == 2 else 0.5, "gap": 0.0}


def cell_killed(width, sleep, breaks, seed):
    """A cell; the first one always ends its process."""
    return {"value": never(0.5) if width == 1 else 0.5, "gap": 0.0}
