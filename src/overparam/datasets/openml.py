"""Data sets fetched from OpenML, through scikit-learn's loader and its cache."""

import warnings
from http.client import HTTPException
from typing import Any

import numpy as np
from sklearn import datasets

from overparam._errors import expect
from overparam.datasets.dataset import Dataset
from overparam.datasets.tables import from_frame

# The number on OpenML, the shape of an image as stored there, and how many come first for
# training. CIFAR-10 is stored channel by channel.
_IMAGES = {
    "cifar10": (40927, (3, 32, 32), 50000),
    "fashion_mnist": (40996, (28, 28), 60000),
    "mnist": (554, (28, 28), 60000),
}
_TABLES = {"adult": 1590, "letter": 6, "spambase": 44}

PUBLIC_NAMES = (*_IMAGES, *_TABLES)
"""Names that `fetch` knows."""


def fetch(name: str, where: str, seed: int) -> Dataset:
    """One of `PUBLIC_NAMES`, from the cache if it was fetched before.

    Raises:
        ConnectionError: If OpenML does not answer, or answers with something else.
    """
    if name in _TABLES:
        bunch = _bunch(_TABLES[name], as_frame=True)
        target = str(bunch.target_names[0])
        return from_frame(bunch.frame, name, where, target=target, task="classification", seed=seed)
    number, shape, train = _IMAGES[name]
    bunch = _bunch(number, as_frame=False)
    x = bunch.data.astype(np.uint8).reshape(-1, *shape)
    if len(shape) == 3:
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    y = bunch.target.astype(np.int64)
    expect(len(x) > train, where, f"more than {train} images", len(x))
    return Dataset(
        name=name,
        x_train=x[:train],
        y_train=y[:train],
        x_test=x[train:],
        y_test=y[train:],
        task="classification",
        kind="images",
        class_names=tuple(map(str, np.unique(y))),
        target_name="class",
    )


def _bunch(number: int, *, as_frame: bool) -> Any:
    """What scikit-learn's loader returns for a data set's number."""
    try:
        with warnings.catch_warnings():
            # Warnings of retries and of an empty cache would precede the one error below.
            warnings.simplefilter("ignore")
            return datasets.fetch_openml(data_id=number, as_frame=as_frame, n_retries=1)
    except (OSError, ValueError, HTTPException) as error:
        raise ConnectionError(f"data set {number} of OpenML ({error})") from None
