"""What the estimators take: their settings, tables of numbers and labels, looked at once."""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

from overparam._errors import expect
from overparam._numbers import described, is_integer, is_number
from overparam.transport.discriminant import DiscriminantOptions

# Above so many columns "auto" projects to so many principal directions first.
WIDE, DIRECTIONS = 2000, 500


def expect_number(where: str, words: str, value: Any, holds: Callable[[float], bool]) -> None:
    """Raise unless a setting is one finite number of some range."""
    finite = is_number(value) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    expect(finite and holds(value), where, words, described(value))


def expect_whole(where: str, words: str, value: Any, least: int, *, none: bool = False) -> None:
    """Raise unless a setting is a whole number of at least `least`, or None where that is one."""
    fits = none if value is None else is_integer(value) and least <= value < 2**31
    expect(fits, where, words, described(value))


def discriminant_options(estimator: Any, classes: np.ndarray, p: int) -> DiscriminantOptions:
    """The settings of an estimator, checked, for a table of p columns."""
    name = type(estimator).__name__
    given = {
        key: getattr(estimator, key)
        for key in (
            "theta", "mu", "raw_share", "reg", "shrinkage", "n_components", "pca_components",
            "center", "target_priors", "max_iter",
        )
    }  # fmt: skip
    for key in ("theta", "raw_share", "shrinkage"):
        words = "a number from 0 to 1"
        expect_number(f"{name}({key}=...)", words, given[key], lambda v: 0 <= v <= 1)
    for key in ("mu", "reg"):
        expect_number(f"{name}({key}=...)", "a number ≥ 0", given[key], lambda v: v >= 0)
    expect_whole(
        f"{name}(n_components=...)", "a number of directions ≥ 1 or None", given["n_components"], 1,
        none=True,
    )  # fmt: skip
    expect_whole(f"{name}(max_iter=...)", "a number of rounds ≥ 1", given["max_iter"], 1)
    pca = given["pca_components"]
    if isinstance(pca, str) and pca == "auto":
        given["pca_components"] = DIRECTIONS if p > WIDE else None
    else:
        words = "'auto', a number of directions ≥ 1 or None"
        expect_whole(f"{name}(pca_components=...)", words, pca, 1, none=True)
    given["target_priors"] = _priors(f"{name}(target_priors=...)", given["target_priors"], classes)
    estimated = isinstance(given["target_priors"], str) and given["target_priors"] == "estimate"
    expect(
        given["reg"] > 0 or not estimated,
        f"{name}(reg=...)", "a positive number with target_priors='estimate'", given["reg"],
    )  # fmt: skip
    expect(
        isinstance(given["center"], (bool, np.bool_)),
        f"{name}(center=...)", "True or False", described(given["center"]),
    )  # fmt: skip
    return DiscriminantOptions(**given)


def _priors(where: str, given: Any, classes: np.ndarray) -> Any:
    """Shares of the classes that add up to 1, or the name of how they are found."""
    words = f"'source', 'estimate' or a share for each of the {len(classes)} classes"
    if isinstance(given, str):
        expect(given in ("source", "estimate"), where, words, repr(given))
        return given
    try:
        shares = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        shares = np.zeros(0)
    right = shares.shape == (len(classes),) and (shares >= 0).all()
    expect(
        right and 0 < shares.sum() < math.inf, where, words,
        described(given) if not isinstance(given, (list, tuple)) else given,
    )  # fmt: skip
    return shares / shares.sum()


def expect_squares(numbers: np.ndarray, where: str) -> None:
    """Raise for numbers whose squares do not add up in double precision."""
    largest = float(np.abs(numbers).max(initial=0))
    # Products of two sums of squares over n·d entries stay below the largest float.
    limit = (sys.float_info.max / max(numbers.size, 1) ** 2) ** 0.25 / 4
    expect(
        largest < limit, where, f"numbers up to {limit:.0e} in absolute value",
        f"{largest:.3g}", "divide by a constant.",
    )  # fmt: skip


def read_rows(rows: Any, where: str, p: int | None = None) -> np.ndarray:
    """A table of finite numbers, of p columns where that is known.

    Raises:
        ValueError: In the words of scikit-learn for what is no such table, in ours for another
            number of columns.
    """
    rows = check_array(rows, dtype="float64", input_name=where)
    expect(
        p is None or rows.shape[1] == p, where, f"a table of {p} columns, as the source has",
        f"shape {rows.shape}",
    )  # fmt: skip
    expect_squares(rows, where)
    return rows


def column_names(rows: Any) -> list[str] | None:
    """Names of the columns of a data frame; None where there are none, or numbers alone."""
    names: list[Any] = list(getattr(rows, "columns", ()))
    return names if names and all(isinstance(name, str) for name in names) else None


def expect_columns(rows: Any, names: Any, where: str, of: str) -> None:
    """Raise for a data frame of other columns than were named, or of the same in another order."""
    found = column_names(rows)
    if found is None or names is None or found == list(names):
        return
    i = next((i for i, pair in enumerate(zip(found, names, strict=False)) if len({*pair}) > 1), 0)
    expect(
        False, where, f"the columns of {of}, in their order: {names[i]!r} in place {i}",
        repr(found[i]), hint="take them by name, as in rows[names].",
    )  # fmt: skip


def read_labels(labels: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Classes in order, two at least, and the position of each label among them."""
    check_classification_targets(labels)
    classes, positions = np.unique(labels, return_inverse=True)
    expect(len(classes) > 1, where, "labels of more than one class", f"only {classes.tolist()}")
    return classes, positions
