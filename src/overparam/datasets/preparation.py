"""A data set as the arrays a network takes: scaled, imputed, one-hot."""

from dataclasses import dataclass

import numpy as np

from overparam._errors import expect
from overparam.datasets.dataset import Dataset

# Levels beyond the most frequent ones of a column share one indicator.
_MOST_LEVELS = 64


@dataclass(frozen=True, eq=False)
class Prepared:
    """Inputs and targets of both parts, in the form a network takes.

    Args:
        x_train: float32, ``(n, columns)`` for a table and ``(n, channels, h, w)`` for images;
            int64 ``(n, length)`` for tokens.
        y_train: int64 codes ``(n,)``, or standardised float32 ``(n, outputs)``.
        x_test: As `x_train`.
        y_test: As `y_train`.
        column_names: The columns of `x_train` for a table, indicators as ``"sex=male"``;
            empty otherwise.
        target_mean: What was subtracted from each output of a regression; empty otherwise.
        target_scale: What each was divided by: ``y = target_mean + target_scale * y_train``.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    column_names: tuple[str, ...]
    target_mean: np.ndarray
    target_scale: np.ndarray


def prepare(dataset: Dataset) -> Prepared:
    """The data set's arrays, scaled with what the training part alone shows.

    Numerical columns become (x - mean) / deviation, the deviation being that of the training
    part with 1/n; a column that is constant there becomes x - mean. A missing number is
    replaced by the training median first. A categorical column becomes one indicator per
    level seen in training (beyond the 64 most frequent, one for all others), and one for
    "missing" if training shows it; a level not seen sets none of them. Indicators are 0 or 1,
    not standardised.

    Images get a channel axis in front and lie in [0, 1]: bytes are divided by 255, other
    pixels are mapped from the training range. Four-axis images whose last axis has 1, 3 or 4
    entries are read as channels last. Tokens stay as they are. The targets of a regression
    are standardised like a column, labels stay.

    Args:
        dataset: From `load`, `load_file`, or made by hand.

    Raises:
        ValueError: If a categorical column holds something that is no code of a level.

    Cost:
        One float32 copy of the data, with an extra column per level.

    Example:
        >>> x, y = np.array([[0.0], [2.0], [4.0], [np.nan]]), np.array([1.0, 2.0, 3.0, 2.0])
        >>> levels = {"feature_names": ("a",), "levels": ((),)}
        >>> toy = Dataset("toy", x, y, x, y, "regression", "table", **levels)
        >>> prepare(toy).x_train.ravel()
        array([-1.4142135,  0.       ,  1.4142135,  0.       ], dtype=float32)
    """
    column_names: tuple[str, ...] = ()
    if dataset.kind == "images":
        x_train, x_test = _pixels(dataset.x_train, dataset.x_test)
    elif dataset.kind == "tokens":
        x_train, x_test = dataset.x_train.astype(np.int64), dataset.x_test.astype(np.int64)
    else:
        x_train, x_test, column_names = _columns(dataset)
    y_train, y_test = dataset.y_train, dataset.y_test
    mean = scale = np.zeros(0)
    if dataset.task == "regression":
        y_train, y_test = (np.reshape(y, (len(y), -1)) for y in (y_train, y_test))
        mean, scale = _centre_and_scale(y_train)
        y_train = ((y_train - mean) / scale).astype(np.float32)
        y_test = ((y_test - mean) / scale).astype(np.float32)
    return Prepared(x_train, y_train, x_test, y_test, column_names, mean, scale)


def _pixels(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images with channels first, in [0, 1]."""
    low, high = (0, 255) if train.dtype == np.uint8 else (float(train.min()), float(train.max()))
    scale = high - low or 1.0

    def scaled(x: np.ndarray) -> np.ndarray:
        if x.ndim == 3:
            x = x[:, None]
        elif x.shape[-1] in (1, 3, 4):
            x = np.moveaxis(x, -1, 1)
        x = np.ascontiguousarray(x, dtype=np.float32)
        return (x - np.float32(low)) / np.float32(scale)

    return scaled(train), scaled(test)


def _columns(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """A table's columns, each replaced by its numerical ones, and their names."""
    d = dataset.x_train.shape[1]
    names = dataset.feature_names or tuple(f"x{i}" for i in range(d))
    levels = dataset.levels or ((),) * d
    expect(
        len(names) == len(levels) == d,
        "prepare(dataset=...)",
        f"a feature name and levels for each of {d} columns",
        f"{len(names)} names and levels for {len(levels)}",
    )
    parts = [
        _indicators(dataset.x_train[:, i], dataset.x_test[:, i], names[i], levels[i])
        if levels[i]
        else _number(dataset.x_train[:, i], dataset.x_test[:, i], names[i])
        for i in range(d)
    ]
    train, test, column_names = zip(*parts, strict=True)
    return np.hstack(train), np.hstack(test), tuple(name for part in column_names for name in part)


def _number(
    train: np.ndarray, test: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """A numerical column, imputed and standardised."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    present = train[~np.isnan(train)]
    median = float(np.median(present)) if len(present) else 0.0
    train, test = (np.where(np.isnan(x), median, x)[:, None] for x in (train, test))
    mean, scale = _centre_and_scale(train)
    train, test = (((x - mean) / scale).astype(np.float32) for x in (train, test))
    return train, test, (name,)


def _indicators(
    train: np.ndarray, test: np.ndarray, name: str, levels: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """A categorical column as columns of 0 and 1."""
    codes = np.concatenate([train, test])
    known = codes[~np.isnan(codes)]
    expect(
        bool(np.isin(known, np.arange(len(levels))).all()),
        "prepare(dataset=...)",
        f"codes from 0 to {len(levels) - 1} in the categorical column {name!r}",
        f"values from {known.min() if len(known) else 'none'} to "
        f"{known.max() if len(known) else 'none'}",
    )
    counts = np.bincount(train[~np.isnan(train)].astype(int), minlength=len(levels))
    by_frequency = np.argsort(-counts, kind="stable")
    kept = sorted(int(code) for code in by_frequency[:_MOST_LEVELS] if counts[code])
    rest = [int(code) for code in by_frequency[_MOST_LEVELS:] if counts[code]]
    groups = [(f"{name}={levels[code]}", [code]) for code in kept]
    if rest:
        groups.append((f"{name}=(other)", rest))
    columns = [np.isin(codes, group) for _, group in groups]
    column_names = [group_name for group_name, _ in groups]
    if np.isnan(train).any():
        columns.append(np.isnan(codes))
        column_names.append(f"{name}=(missing)")
    x = np.stack(columns, axis=1).astype(np.float32)
    return x[: len(train)], x[len(train) :], tuple(column_names)


def _centre_and_scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (1/n) of every column; 1 where the deviation is but rounding."""
    size = np.abs(x).max(axis=0)
    size = np.where(size > 0, size, 1.0)
    # Divided by its size first, a column of 1e200 has a finite square.
    mean, deviation = (x / size).mean(axis=0), (x / size).std(axis=0)
    constant = deviation <= 1e-13
    return mean * size, np.where(constant, 1.0, deviation * size)
