"""Designs spread evenly over a process window."""

import numpy as np
from jaxtyping import Float

from overparam._errors import expect
from overparam.battery.front import lack, named
from overparam.battery.process import ProcessModel, expect_window

# Of a window of which this part is possible, enough designs are found.
_SMALLEST_PART = 1 / 64


def sampled_designs(process: ProcessModel, count: int, seed: int = 0) -> Float[np.ndarray, "n d"]:
    """The first designs of a scrambled Sobol sequence that the process allows.

    Args:
        process: Whose window is sampled.
        count: How many designs.
        seed: Of the scrambling.

    Returns:
        `count` designs, in the order of `process.bounds`.

    Raises:
        ValueError: If the window is empty, or nearly all of it impossible; the message says what
            the first design lacks.

    Cost:
        A structure for each design tried; at most 64 for each wanted.
    """
    from scipy.stats import qmc

    where = "sampled_designs(process=...)"
    expect(count > 0, "sampled_designs(count=...)", "a positive number", count)
    expect_window(process.bounds, where)
    low, high = np.array(list(process.bounds.values()), float).T
    sobol = qmc.Sobol(len(low), rng=np.random.default_rng(seed))
    tried = int(np.ceil(np.log2(max(count, 2) / _SMALLEST_PART)))
    kept: list[np.ndarray] = []
    reason = ""
    for power in range(tried):  # 1, 1, 2, 4, … points: the sequence is balanced at powers of two
        for point in sobol.random(2 ** max(power - 1, 0)):
            design = low + point * (high - low)
            if lack(process, design) <= 0:
                kept.append(design)
            reason = reason or _reason(process, design)
        if len(kept) >= count:
            return np.array(kept[:count])
    share = f"{len(kept)} of {2 ** (tried - 1):,} designs"
    expect(
        False,
        where,
        f"a window in which a design of {1 / _SMALLEST_PART:.0f} is possible",
        f"{share} ({reason})",
        "widen the window, or lower the smallest porosity.",
    )
    raise AssertionError


def _reason(process: ProcessModel, design: np.ndarray) -> str:
    """What a design lacks; empty if nothing."""
    parameters = named(process, design)
    made = process.structure(parameters)
    what = made.impossible()
    if not what and made.porosity < process.smallest_porosity:
        what = f"a porosity of {made.porosity:.3f}, below {process.smallest_porosity:g}"
    at = ", ".join(f"{name} {value:.3g}" for name, value in parameters.items())
    return f"{what} at {at}" if what else ""
