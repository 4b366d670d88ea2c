"""Data sets in NumPy archives (`.npz`)."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from overparam._errors import expect, unknown
from overparam.datasets.archive import Arrays, open_npz
from overparam.datasets.dataset import Dataset, Kind, Task, expect_examples, held_out
from overparam.datasets.targets import Target, read_target
from overparam.errors import InvalidValue


def read_npz(
    path: Path,
    where: str,
    *,
    target: str | None,
    task: Task | None,
    seed: int,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """The data set in an archive; `load_file` says which arrays it needs."""
    expect(
        not columns,
        f"{where}(columns=...)",
        "nothing for an archive of arrays, which say themselves what they hold",
        dict(columns or {}),
        hint="`categories` in the archive names the levels of its categorical columns.",
    )
    arrays = open_npz(path, where)
    if target is not None and target not in arrays:
        unknown(where, "an array of the archive as its target", target, arrays)
    x, y, is_test = _examples(arrays, target, where)
    read = _target(y, arrays, target, where, task)
    if is_test is None:
        is_test = _published_split(arrays, len(x), seed, where)
    if is_test is None:
        is_test = held_out(
            read.values, stratified=read.task == "classification", seed=seed, where=where
        )
    kind: Kind = "table" if x.ndim == 2 else "images"
    features, levels = _columns(arrays, x.shape[1], where) if kind == "table" else ((), ())
    return Dataset(
        name=path.stem,
        x_train=x[~is_test],
        y_train=read.values[~is_test],
        x_test=x[is_test],
        y_test=read.values[is_test],
        task=read.task,
        kind=kind,
        class_names=read.class_names,
        feature_names=features,
        levels=levels,
        target_name=target or str(arrays.get("target_name", "target")),
        class_type=read.class_type,
    )


def _examples(
    arrays: Arrays, target: str | None, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Inputs, targets and, where the archive keeps a test part apart, which rows belong to it."""
    if "x_train" in arrays:
        keys = ("x_train", target or "y_train", "x_test", "y_test")
    else:
        keys = ("X" if "X" in arrays else "x", target or "y", "", "")
    x, y, x_test, y_test = (arrays.get(key) for key in keys)
    if x is None or y is None or (x_test is None) != (y_test is None):
        raise InvalidValue(
            f"`{where}` expected arrays x_train, y_train, x_test, y_test, or X and y, "
            f"got arrays {', '.join(sorted(arrays)) or 'of no name'}.\n"
            "Hint: np.savez(file, X=inputs, y=targets) writes such an archive."
        )
    _expect_numbers(x, y, where, "train" if "x_train" in arrays else "")
    if x_test is None or y_test is None:
        return x, y, None
    _expect_numbers(x_test, y_test, where, "test")
    expect(
        x.shape[1:] == x_test.shape[1:] and y.shape[1:] == y_test.shape[1:],
        where,
        "training and test arrays of one shape per example",
        f"inputs {x.shape[1:]} and {x_test.shape[1:]}, targets {y.shape[1:]} and "
        f"{y_test.shape[1:]}",
    )
    is_test = np.repeat([False, True], [len(x), len(x_test)])
    return np.concatenate([x, x_test]), np.concatenate([y, y_test]), is_test


def _expect_numbers(x: np.ndarray, y: np.ndarray, where: str, part: str = "") -> None:
    """Raise unless the inputs are rows or images of real numbers, and y has a value for each."""
    expect_examples(x, y, where, part)
    expect(
        x.ndim in (2, 3, 4),
        where,
        "rows (n, d) or images (n, h, w), (n, h, w, c) or (n, c, h, w)",
        f"inputs of shape {x.shape}",
    )
    expect(
        x.dtype.kind in "buif",
        where,
        "inputs that are real numbers",
        f"an array of dtype {x.dtype}",
        hint="a .csv or .parquet file may hold columns of names.",
    )
    expect(x.size and y.size, where, "inputs and targets with numbers in them",
           f"inputs of shape {x.shape} and targets of shape {y.shape}")  # fmt: skip
    infinite = int(np.isinf(x).sum()) if x.dtype.kind == "f" else 0
    missing = int(np.isnan(x).sum()) if x.dtype.kind == "f" and x.ndim > 2 else 0
    expect(
        infinite + missing == 0,
        where,
        "finite inputs (NaN marks a missing value in a table, not in an image)",
        f"{infinite} infinite and {missing} missing ones",
    )


def _target(
    y: np.ndarray, arrays: Arrays, target: str | None, where: str, task: Task | None
) -> Target:
    """The targets as codes or floats; an archive's own `task` and `class_names` are heeded."""
    if target is None and task is None and str(arrays.get("task", "")) == "regression":
        task = "regression"
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind == "f" and task != "classification":
        expect(
            bool((y.max(axis=0) > y.min(axis=0)).all()),
            where,
            "at least two different values in every column of the target",
            "a constant column",
        )
        return Target(y.astype(np.float64), "regression", ())
    expect(
        y.ndim == 1 and y.dtype.kind in "buifUS",
        where,
        "one label or number per example",
        f"targets of dtype {y.dtype} and shape {y.shape}",
        hint="y.argmax(axis=1) turns one-hot rows into labels.",
    )
    named = arrays.get("class_names") if target is None and task != "regression" else None
    if named is not None and named.ndim == 1 and len(named) and y.dtype.kind in "iu":
        expect(
            y.min() >= 0 and y.max() < len(named),
            where,
            f"labels from 0 to {len(named) - 1}, one per entry of class_names",
            f"labels from {y.min()} to {y.max()}",
        )
        expect(y.min() < y.max(), where, "at least two classes", f"label {y[0]} in every row")
        return Target(y.astype(np.int64), "classification", tuple(map(str, named)))
    return read_target(pd.Series(y, name=target or "y"), where, task)


def _mask(arrays: Arrays, name: str, where: str) -> np.ndarray:
    """An array of yes and no."""
    mask = arrays[name]
    plain = mask.dtype.kind in "bui" and bool(((mask == 0) | (mask == 1)).all())
    expect(plain, where, f"yes or no, as 1 or 0, in {name}", f"an array of dtype {mask.dtype}")
    return mask.astype(bool)


def _published_split(arrays: Arrays, n: int, seed: int, where: str) -> np.ndarray | None:
    """The test rows by the split an archive brings along, if it does.

    That is `is_test`, or the seed-th row of `split_is_train`, or the 2 of `split` (training,
    validation and test as 0, 1 and 2).
    """
    if "is_test" in arrays and arrays["is_test"].shape == (n,):
        is_test = _mask(arrays, "is_test", where)
    elif "split_is_train" in arrays and arrays["split_is_train"].shape[1:] == (n,):
        splits = _mask(arrays, "split_is_train", where)
        expect(len(splits) > 0, where, "at least one split in split_is_train", "none")
        is_test = ~splits[seed % len(splits)]
    elif "split" in arrays and arrays["split"].shape == (n,):
        kind = arrays["split"].dtype
        expect(kind.kind in "iu", where, "0, 1 or 2 in split", f"an array of dtype {kind}")
        is_test = arrays["split"] == 2
    else:
        return None
    return is_test if 0 < is_test.sum() < n else None


def _columns(
    arrays: Arrays, d: int, where: str
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Names and levels of a table's columns; without any, they are x0, x1 and so on."""
    features = arrays.get("feature_names")
    if features is None or features.shape != (d,):
        features = np.array([f"x{i}" for i in range(d)])
    levels = arrays.get("categories")
    if levels is None or levels.shape != (d,):
        return tuple(map(str, features)), ((),) * d
    return tuple(map(str, features)), tuple(_level_names(str(text), where) for text in levels)


def _level_names(text: str, where: str) -> tuple[str, ...]:
    """The names of a column's levels; none if it is numerical."""
    try:
        names = json.loads(text) if text else []
    except (ValueError, RecursionError):
        names = None
    plain = isinstance(names, list) and all(isinstance(n, str | int | float) for n in names)
    expect(plain, where, "JSON lists of names in categories", repr(text[:60]))
    return tuple(map(str, names or ()))
