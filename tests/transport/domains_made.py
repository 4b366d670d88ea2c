"""Pairs of domains whose right answers are known."""

import numpy as np


def spurious(seed, per=20, classes=5):
    """A target that has lost half of the features that told the classes apart in the source."""
    draw = np.random.default_rng(seed)
    stays = 1.8 * draw.normal(size=(classes, 6))
    goes = 1.5 * draw.normal(size=(classes, 6))
    y = np.repeat(np.arange(classes), per)

    def rows(second):
        first = stays[y] + draw.normal(size=(len(y), 6))
        return np.hstack([first, second, 3 * draw.normal(size=(len(y), 8))])

    source = rows(goes[y] + draw.normal(size=(len(y), 6)))
    target = rows(2.5 * draw.normal(size=(len(y), 6)))
    return source, y, target, y


def views(seed, n=60, noise=0.05):
    """One cloud of four clusters seen in 6 and in 4 columns, rows in another order.

    Returns:
        Both views, and of each row of the first the place of its partner.
    """
    draw = np.random.default_rng(seed)
    z = draw.normal(size=(4, 3))[draw.integers(4, size=n)] * [5, 3, 2]
    z = z + draw.gamma(1, 1, size=(n, 3)) * [2, 1.5, 1]

    def seen(columns):
        frame = np.linalg.qr(draw.normal(size=(columns, 3)))[0].T
        return z @ frame + noise * draw.normal(size=(n, columns))

    order = draw.permutation(n)
    return seen(6), seen(4)[order], np.argsort(order)
