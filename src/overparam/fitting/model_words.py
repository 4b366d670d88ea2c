"""Parts of a model as JSON knows them, and back."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from overparam.kernels.bends import Bends
from overparam.kernels.encoding import Encoding


def encoding_of(
    columns: list[str],
    levels: dict[int, np.ndarray],
    mean: np.ndarray,
    scale: np.ndarray,
    bends: np.ndarray | None,
) -> Encoding:
    """The encoding, its names made anew."""
    names: list[str] = []
    groups: list[int] = []
    for i, column in enumerate(columns):
        own = [f"{column}={level}" for level in levels[i]] if i in levels else [column]
        names += own
        groups += [i] * len(own)
    bent = None if bends is None else Bends(*bends)
    return Encoding(tuple(columns), levels, mean, scale, tuple(names), np.array(groups), bent)


def plain_of(levels: np.ndarray) -> list[Any]:
    """Levels as JSON knows them; a missing one is null."""
    plain = [level.item() if isinstance(level, np.generic) else level for level in levels]
    return [None if pd.isna(level) else level for level in plain]


def settings_of(kernel: Any) -> dict[str, Any]:
    """Settings of a kernel as JSON knows them."""
    found = asdict(kernel).items()
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in found}


def levels_of(found: list[Any]) -> np.ndarray:
    """Levels as the encoding holds them."""
    levels = np.empty(len(found), dtype=object)
    levels[:] = [np.nan if level is None else level for level in found]
    return levels
