"""Numbers that claims compare: means over seeds and exponents, from a table of cells."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def select(table: "pd.DataFrame", where: Mapping[str, Any]) -> "pd.DataFrame":
    """The rows whose columns have the given values, or one out of a list of values.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"width": [4, 8, 8], "seed": [0, 0, 1]})
        >>> len(select(table, {"width": 8})), len(select(table, {"width": [4, 8], "seed": 0}))
        (2, 2)
    """
    for column, wanted in where.items():
        table = table.loc[table[column].isin(wanted if isinstance(wanted, list) else [wanted])]
    return table


def seed_means(rows: "pd.DataFrame", x: str, y: str) -> dict[Any, float]:
    """Mean of `y` over the seeds for each value of `x`, ascending; NaN if any seed's is.

    The values of `x` are numbers or words.

    A seed that diverged must not vanish from a mean, as it would from pandas's own.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"width": [8, 8, 4], "change": [1.0, 3.0, float("nan")]})
        >>> seed_means(rows, "width", "change")
        {4: nan, 8: 2.0}
    """
    return {
        value: float(np.mean(rows.loc[rows[x] == value, y].to_numpy(float)))
        for value in sorted(set(rows[x]))
    }


def slope(rows: "pd.DataFrame", x: str, y: str) -> float:
    """Exponent p of y ∝ xᵖ: least squares through the logarithms of the seed means.

    NaN if a mean is not a positive number, or there are fewer than two values of `x`.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"width": [4, 16, 64], "change": [1.0, 0.5, 0.25]})
        >>> round(slope(rows, "width", "change"), 6)
        -0.5
    """
    means = seed_means(rows, x, y)
    values = np.array(list(means.values()))
    if len(means) < 2 or not (np.isfinite(values) & (values > 0)).all():
        return float("nan")
    return float(np.polyfit(np.log(list(means)), np.log(values), 1)[0])


def mean_at(rows: "pd.DataFrame", x: str, y: str, at: float | None = None) -> float:
    """Mean of `y` over the seeds at one value of `x`, by default the largest; NaN if absent.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"width": [4, 64], "change": [1.0, 0.25]})
        >>> mean_at(rows, "width", "change")
        0.25
    """
    means = seed_means(rows, x, y)
    return means.get(max(means) if at is None else at, float("nan"))
