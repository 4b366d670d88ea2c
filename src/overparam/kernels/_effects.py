"""What the columns of a table do to predictions, jumps and levels of categories included."""

from collections.abc import Callable

import numpy as np


def effects_by_row(
    outputs: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    groups: np.ndarray,
    columns: int,
) -> np.ndarray:
    """Half the squared change of the outputs when a column comes from another row.

        I_a = ½ E (f(x) − f(x with column a of x′))², the mean over rows

    For f a sum of functions of one column each, the variance of its function; in general, with
    independent columns, the variance that is left once all other columns are known. A jump at the
    border between two leaves counts as what it is, and so do the levels of a category, which move
    together.

    Args:
        outputs: f, a column each; their squares are added up.
        x: Rows in random order; a row's x′ is the next one, and then the one after it.
        groups: The column of the table that each column of x is from.
        columns: How many the table has.

    Returns:
        A number for each row and each column of the table.

    Cost: 2 predictions of all rows a column.

    References:
        Jansen (1999), Computer Physics Communications 117:35: the estimate.
    """
    known = outputs(x)
    found = np.zeros((len(x), columns))
    for column in range(columns):
        own = groups == column
        for shift in (1, 2):
            moved = x.copy()
            moved[:, own] = np.roll(x[:, own], shift, axis=0)
            changed = (moved[:, own] != x[:, own]).any(axis=1)
            if changed.any():
                gaps = np.square(outputs(moved[changed]) - known[changed]).sum(axis=1)
                found[changed, column] += gaps / 4
    return found
