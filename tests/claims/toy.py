"""The mean of numbers drawn from [0, 1) is 0.5.

Reference:
    Nobody (1900): a study small enough to watch the engine with.
Changed:
    Nothing.
Cost:
    Less than a second, plus what a test asks it to sleep.
Failure:
    The engine, not the claim.
"""

import math
import os
import random
import signal
import time

import torch

from overparam.claims import Claim, Range, Study, figure, line_of_means

CALLS: list[tuple[int, int]] = []
"""Cells computed in this process, as (width, seed)."""


def cell(width, sleep, breaks, seed):
    """A number for a width and a seed."""
    CALLS.append((width, seed))
    time.sleep(float(os.environ.get("TOY_SLEEP", sleep)))
    if breaks:
        raise ZeroDivisionError(f"width {width} cannot be")
    return {"value": random.Random(1000 * seed + width).random(), "gap": math.nan}


def deaf_cell(width, sleep, breaks, seed):
    """A broken specimen: the seed is ignored."""
    return {"value": random.Random(width).random(), "gap": math.nan}


def restless_cell(width, sleep, breaks, seed):
    """A broken specimen: repeated with its seed, it gives something else."""
    return {"value": random.SystemRandom().random(), "gap": math.nan}


def greedy_cell(width, sleep, breaks, seed):
    """A broken specimen: it draws from torch's global generator."""
    return {"value": float(torch.rand(())), "gap": math.nan}


def waiting_cell(width, sleep, breaks, seed):
    """A cell that needs a file; `sleep` says where."""
    CALLS.append((width, seed))
    if not os.path.exists(sleep):
        return {"absent": f"no file {sleep}", "value": math.nan, "gap": math.nan}
    return {"value": 0.5, "gap": math.nan}


def opening_cell(width, sleep, breaks, seed):
    """As `waiting_cell`, but the file's absence is raised, as loaders of data do."""
    CALLS.append((width, seed))
    with open(sleep):
        return {"value": 0.5, "gap": math.nan}


def wordless_cell(width, sleep, breaks, seed):
    """A broken specimen: what it returns has no form in JSON."""
    return {"value": complex(width, seed)}


def mortal_cell(width, sleep, breaks, seed):
    """Where it breaks, the process that computes it first is killed; `sleep` is a folder."""
    mark = os.path.join(sleep, str(width))
    if breaks and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": random.Random(1000 * seed + width).random(), "gap": math.nan}


def cells(config):
    """Every width, with the given number of replicates."""
    widths, replicates, sleep, breaks = config
    return [
        {"width": width, "sleep": sleep, "breaks": width in breaks, "replicate": replicate}
        for width in widths
        for replicate in range(replicates)
    ]


def mean(rows):
    """The claim's statistic."""
    return rows["value"].mean(skipna=False)


def figures(table):
    """One line."""
    return {
        "values": figure(
            "line",
            f"The mean is {mean(table):.2f}",
            [
                line_of_means("value", table, "width", "value"),
                line_of_means("gap", table, "width", "gap"),
            ],
            x="width",
            y="value",
            caption="Mean over seeds.",
        )
    }


def claim(statistic=mean, passes=None, smallest="smoke", **rest):
    """The only claim."""
    return Claim(
        "mean",
        "The mean is in [0, 1).",
        paper=0.5,
        source="page 1",
        statistic=statistic,
        passes=passes or Range(0, 1),
        tolerance="by definition",
        smallest=smallest,
        **rest,
    )


def study(widths=(1, 2, 3), replicates=1, sleep=0.0, breaks=(), function=cell, claims=None):
    """A study of so many cells."""
    config = (tuple(widths), replicates, sleep, tuple(breaks))
    sizes = dict.fromkeys(("smoke", "quick", "full"), config)
    return Study(cells, function, sizes, claims or [claim()], figures)


STUDY = study()
