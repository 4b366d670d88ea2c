"""Random numbers by place: the same whatever was drawn before, and in whatever order.

A number is a hash of a seed, a purpose and its coordinates (round, client, step, …), so that a
batch does not depend on the engine, on who else takes part, or on whether a run was resumed, and
a client that is alone draws what it would draw in the stack. The mixing is that of SplitMix64
(Steele, Lea, Flood 2014), once for each coordinate.
"""

from typing import Any

import numpy as np

PURPOSES = ("batches", "clients", "drop-outs", "stragglers", "mixing", "directions", "noise")
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
    return state ^ (state >> np.uint64(31))


def hashes(seed: int, purpose: str, *places: Any) -> np.ndarray:
    """64 random bits for each place.

    Args:
        seed: 0 ≤ seed < 2⁶³.
        purpose: One of `PURPOSES`; they do not know of each other.
        places: Whole numbers or arrays of them, broadcast against each other.

    Returns:
        An array of the broadcast shape, at least one-dimensional.
    """
    state = np.atleast_1d(np.uint64(seed))
    for place in (PURPOSES.index(purpose), *places):
        step = np.atleast_1d(np.asarray(place)).astype(np.uint64) + np.uint64(1)
        state = _mixed(state + step * np.uint64(_GOLDEN))
    return state


def below(seed: int, purpose: str, bounds: Any, *places: Any) -> np.ndarray:
    """A whole number in [0, bound) for each place; bounds below 2³², broadcast too."""
    high = hashes(seed, purpose, *places) >> np.uint64(32)
    return ((high * np.asarray(bounds).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def uniform(seed: int, purpose: str, *places: Any) -> np.ndarray:
    """A number in [0, 1) for each place."""
    return (hashes(seed, purpose, *places) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def generator_seed(seed: int, purpose: str, *places: int) -> int:
    """A seed for a generator that many numbers of one place are drawn from."""
    return int(hashes(seed, purpose, *places)[0] >> np.uint64(1))
