"""What a data set is: four arrays, and the names of what they hold."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from overparam._errors import expect
from overparam.tables.reader import Reader

Task = Literal["classification", "regression"]
Kind = Literal["table", "images", "tokens"]
ClassType = Literal["words", "numbers", "booleans"]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A training part and a test part, as stored: nothing is scaled, imputed or shuffled.

    `prepare` turns one into arrays a network can take.

    Args:
        name: What it is called in reports.
        x_train: Training inputs. A table is ``(n, d)``, its categorical columns holding level
            codes and its missing values NaN; images are ``(n, h, w)``, ``(n, h, w, c)`` or
            ``(n, c, h, w)``; tokens are integer ids ``(n, length)``.
        y_train: Training targets: int64 codes 0…K-1 of shape ``(n,)`` for a classification,
            floats of shape ``(n,)`` or ``(n, outputs)`` for a regression.
        x_test: Test inputs, in the form of `x_train`.
        y_test: Test targets, in the form of `y_train`.
        task: Whether `y_train` holds classes or quantities.
        kind: Which of the three forms `x_train` has.
        class_names: The name of each code in `y_train`; empty for a regression.
        feature_names: The name of each column; empty unless the inputs are a table.
        levels: For each column of a table the names its codes stand for; an empty tuple
            marks a numerical column. Empty altogether unless the inputs are a table.
        target_name: What `y_train` is.
        left_out: Columns that were read and say nothing about another row; no array has them.
        reader: What the columns of a file were taken for; `None` where arrays say it themselves.
        class_type: Whether the names of classes are those of "numbers", "booleans" or "words".

    Raises:
        ValueError: If inputs and targets differ in length, a part is empty, an array has a
            shape that is none of the above, or a target is missing or no class.

    Example:
        >>> x, y = np.eye(4), np.array([0, 1, 0, 1])
        >>> Dataset("toy", x[:3], y[:3], x[3:], y[3:], "classification", "table", ("no", "yes"))
        Dataset('toy', classification of table, 3 + 1 examples of shape (4,), 2 classes)
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    task: Task
    kind: Kind
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    target_name: str = "target"
    left_out: tuple[str, ...] = ()
    reader: Reader | None = None
    class_type: ClassType = "words"

    def __post_init__(self) -> None:
        where = f"Dataset({self.name!r}, ...)"
        expect_examples(self.x_train, self.y_train, where, "train")
        expect_examples(self.x_test, self.y_test, where, "test")
        expect(
            self.x_train.shape[1:] == self.x_test.shape[1:],
            where,
            f"test inputs of shape {self.x_train.shape[1:]} each, like the training inputs",
            self.x_test.shape[1:],
        )
        dimensions = {"table": (2,), "images": (3, 4), "tokens": (2,)}[self.kind]
        expect(
            self.x_train.ndim in dimensions,
            where,
            f"{self.kind} with {' or '.join(map(str, dimensions))} axes",
            f"inputs of shape {self.x_train.shape}",
            hint="the first axis counts the examples.",
        )
        if self.task == "classification":
            codes = np.concatenate([self.y_train, self.y_test])
            expect(
                np.issubdtype(codes.dtype, np.integer)
                and codes.ndim == 1
                and 0 <= codes.min() <= codes.max() < len(self.class_names),
                where,
                f"one integer label per example, from 0 to {len(self.class_names) - 1}",
                f"{codes.dtype} labels of shape {codes.shape} from {codes.min()} to {codes.max()}",
            )

    def __repr__(self) -> str:
        classes = f", {len(self.class_names)} classes" if self.class_names else ""
        return (
            f"Dataset({self.name!r}, {self.task} of {self.kind}, {len(self.x_train)} + "
            f"{len(self.x_test)} examples of shape {self.x_train.shape[1:]}{classes})"
        )


def expect_examples(x: np.ndarray, y: np.ndarray, where: str, part: str = "") -> None:
    """Raise unless there are examples, as many targets as inputs, and no target is missing."""
    of = f"{part} examples" if part else "examples"
    expect(x.ndim > 0 and len(x) > 0, where, f"at least one of its {of}", "none")
    expect(
        y.ndim > 0 and len(x) == len(y),
        where,
        f"as many targets as inputs among its {of}",
        f"{len(x)} inputs and {len(y) if y.ndim else 'a single number as'} targets",
    )
    bad = ~np.isfinite(y) if np.issubdtype(y.dtype, np.inexact) else np.zeros(y.shape, bool)
    expect(
        not bad.any(),
        where,
        f"a finite target for every one of its {of}",
        f"{int(bad.any(axis=tuple(range(1, y.ndim))).sum())} of {len(y)} missing or infinite",
        hint="drop the rows without a target first.",
    )


def expect_seed(seed: object, where: str) -> None:
    """Raise unless every generator of numbers in use takes this seed."""
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool) and 0 <= seed < 2**32
    expect(whole, where, "a whole number from 0 to 2**32 - 1", seed)


def held_out(y: np.ndarray, *, stratified: bool, seed: int, where: str = "") -> np.ndarray:
    """Mask of the fifth of the rows that is set aside for testing, drawn by `seed`.

    With `stratified`, every class gives a fifth of its own rows, rounded, so one of one or
    two rows gives none. Without, or where no class has three rows, all rows are one class.

    Example:
        >>> int(held_out(np.array([0] * 10 + [1] * 5), stratified=True, seed=0).sum())
        3
    """
    expect(
        len(y) >= 5,
        where,
        "at least 5 rows, to set a fifth aside for testing",
        len(y),
        hint="x_train, y_train, x_test, y_test in an .npz give a split of your own.",
    )
    expect_seed(seed, where)
    order = np.random.default_rng(seed).permutation(len(y))
    codes = np.unique(y, return_inverse=True)[1] if stratified else np.zeros(len(y), dtype=int)
    if np.bincount(codes).max() < 3:
        codes = np.zeros(len(y), dtype=int)
    order = order[np.argsort(codes[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))])[codes[order]]
    mask = np.zeros(len(y), dtype=bool)
    mask[order[(np.arange(len(y)) - starts) % 5 == 2]] = True
    return mask
