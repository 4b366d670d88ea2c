"""What a saved model's words and numbers have to be, to make a model together."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from overparam._json import is_json_number, is_json_text
from overparam.fitting.target import SCALES
from overparam.kernels.functions import DotExponential, Gaussian, Kernel, Laplace, Quadratic
from overparam.kernels.lpq import Lpq
from overparam.tables.column import LEFT_OUT
from overparam.tables.levels import name_of
from overparam.tables.reader import wrong_reader

KERNELS: dict[str, type[Kernel]] = {
    kind.__name__: kind for kind in (DotExponential, Gaussian, Laplace, Lpq, Quadratic)
}
KEYS = frozenset(
    ("target", "task", "columns", "class_names", "levels", "kernel", "kernel_settings")
)
# What the words of the first formats lack.
LATER = frozenset(("reader", "class_type"))
LAST = frozenset(("target_scale",))
# What only a model of several machines says.
SEVERAL = frozenset(("more_kernels",))
_ALWAYS = frozenset(
    ("centres", "dual", "medians", "mean", "scale", "output_centre", "output_scale")
)
_CODES = frozenset(("basis", "priors"))
_OF_KERNEL = ("centres", "dual", "feature_matrix")
# What there need not be: a metric, bent columns, and an exponent of probabilities.
_OPTIONAL = frozenset(("feature_matrix", "bends", "sharpness", "residuals"))
MOST_KERNELS = 8
_TASKS = ("classification", "regression")


def problem(words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """What is wrong with a model's words and numbers, the first found; empty if nothing is.

    Args:
        words: From JSON: whatever JSON can hold.
        arrays: Of whatever types and shapes.
    """
    arrays = dict(sorted(arrays.items()))
    return (
        _wrong_words(words)
        or _wrong_levels(words["levels"], len(words["columns"]))
        or _wrong_reading(words)
        or _wrong_kernel(words["kernel"], words["kernel_settings"])
        or _wrong_kernels(words.get("more_kernels", []))
        or _wrong_shapes(words, arrays)
        or _wrong_numbers(words, arrays)
    )


def _wrong_words(words: Mapping[str, Any]) -> str:
    wanted = KEYS | LATER if words.keys() & (LATER | LAST) else KEYS
    wanted |= words.keys() & (LAST | SEVERAL)
    if words.keys() != wanted:
        return f"entries that are absent or unknown: {sorted(words.keys() ^ wanted)}"
    if not is_json_text(words["target"]):
        return "a target that is no text"
    if words["task"] not in _TASKS:
        return "an unknown task"
    if words.get("target_scale", "linear") not in SCALES:
        return "an unknown scale of the target"
    if not _are_names(words["columns"]) or not words["columns"]:
        return "columns that are no distinct names"
    if not _are_names(words["class_names"]):
        return "classes that are no distinct names"
    number = len(words["class_names"])
    if number == 1 or (number > 0) != (words["task"] == "classification"):
        return f"a {words['task']} of {number} classes"
    return ""


def _wrong_levels(levels: Any, columns: int) -> str:
    if not isinstance(levels, dict):
        return "levels of no columns"
    places = {str(place) for place in range(columns)}
    for place, found in levels.items():
        if place not in places:
            return f"levels of a column {place!r:.40}, of {columns}"
        if not isinstance(found, list) or not found:
            return f"no levels of column {place}"
        known = found[:-1] if found[-1] is None else found
        if not all(map(_is_level, known)):
            return f"levels of column {place} that are neither words nor numbers"
        if len(set(known)) < len(known):
            return f"levels of column {place} that are not distinct"
    return ""


def _wrong_reading(words: Mapping[str, Any]) -> str:
    """What is wrong with how columns are read, or with what classes are."""
    if "reader" not in words:
        return ""
    wrong = wrong_reader(words["reader"])
    if wrong:
        return wrong
    used = {c["name"]: c for c in words["reader"] if c["kind"] not in LEFT_OUT}
    if used.keys() != set(words["columns"]):
        return "a reader of other columns"
    for place, name in enumerate(words["columns"]):
        known = words["levels"].get(str(place))
        if (known is not None) != (used[name]["kind"] == "category"):
            return f"a reader to which {name!r:.40} is another kind"
        names = {name_of(level) for level in known or () if level is not None}
        if names != set(used[name]["levels"]):
            return f"a reader of other levels of {name!r:.40}"
    types = ("words", "numbers", "booleans")
    if words["class_type"] not in types:
        return "classes of an unknown type"
    if words["class_type"] == "numbers" and not all(map(_is_numeral, words["class_names"])):
        return "classes that are no numbers"
    return ""


def _is_numeral(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def _wrong_kernel(kernel: Any, settings: Any) -> str:
    if not isinstance(kernel, str) or kernel not in KERNELS:
        return "an unknown kernel"
    wanted = {field.name for field in fields(KERNELS[kernel])}  # pyright: ignore
    if not isinstance(settings, dict) or settings.keys() != wanted:
        return f"settings of the kernel that are not its {sorted(wanted)}"
    for name, value in settings.items():
        # Their squares and inverse squares have to be numbers too.
        if not is_json_number(value) or not 1e-100 < value < 1e100:
            return f"a {name} of the kernel that is none"
    try:
        KERNELS[kernel](**settings)
    except ValueError as error:
        return str(error)
    return ""


def _wrong_kernels(kernels: Any) -> str:
    """What is wrong with those of further members."""
    if not isinstance(kernels, list) or len(kernels) > MOST_KERNELS:
        return "kernels that are no list"
    for kernel in kernels:
        if not isinstance(kernel, dict) or kernel.keys() != {"kernel", "settings"}:
            return "a kernel that is none"
        wrong = _wrong_kernel(kernel["kernel"], kernel["settings"])
        if wrong:
            return wrong
    return ""


def _wrong_shapes(words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    classes, columns = len(words["class_names"]), len(words["columns"])
    wanted = _ALWAYS | _CODES if classes else _ALWAYS
    more = range(2, 2 + len(words.get("more_kernels", [])))
    wanted |= {f"{name} {place}" for name in ("dual", "feature_matrix") for place in more}
    wanted |= frozenset(("shares",)) if more else frozenset()
    if arrays.keys() - _OPTIONAL != wanted:
        return f"arrays that are absent or unknown: {sorted((arrays.keys() - _OPTIONAL) ^ wanted)}"
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.float64):
            return f"{name} of type {array.dtype}"
    of_kernel = {a.dtype for name, a in arrays.items() if name.split()[0] in _OF_KERNEL}
    if len(of_kernel) > 1:
        return f"numbers of the kernel of types {', '.join(sorted(map(str, of_kernel)))}"
    n = len(arrays["centres"]) if arrays["centres"].ndim else 0
    d = columns + sum(len(levels) - 1 for levels in words["levels"].values())
    outputs = classes - 1 if classes else arrays["dual"].shape[-1] if arrays["dual"].ndim else 0
    if n == 0 or outputs == 0:
        return "no centres, or no outputs"
    residuals = arrays.get("residuals", np.zeros(1))
    if residuals.ndim != 1 or not len(residuals) or (classes and "residuals" in arrays):
        return f"residuals of shape {residuals.shape} of a {words['task']}"
    scaled = (0,) if classes else (outputs,)
    shapes = dict.fromkeys(("medians", "mean", "scale"), (columns,)) | {
        "centres": (n, d), "dual": (n, outputs), "output_centre": scaled, "output_scale": scaled,
        "basis": (classes, classes - 1), "priors": (classes,), "bends": (4, columns),
        "sharpness": (2,), "shares": (1 + len(more),), "residuals": residuals.shape,
    }  # fmt: skip
    for name, array in arrays.items():
        kind = name.split()[0]
        allowed = ((d,), (d, d)) if kind == "feature_matrix" else (shapes[kind],)
        if array.shape not in allowed:
            return f"{name} of shape {array.shape}, not {' or '.join(map(str, allowed))}"
    return ""


def _wrong_numbers(words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    # A column of levels has no median.
    numeric = [i for i in range(len(words["columns"])) if str(i) not in words["levels"]]
    for name, array in arrays.items():
        if (
            name != "bends"
            and not np.isfinite(array[numeric] if name == "medians" else array).all()
        ):
            return f"{name} with NaN or infinity"
    if "bends" in arrays and not _are_bends(arrays["bends"]):
        return "bends that are none"
    if "sharpness" in arrays:
        exponent, drawn = arrays["sharpness"]
        if not 0 < exponent < 1e3 or not 0 <= drawn < 1:
            return "an exponent that is none"
    for name in ("scale", "output_scale"):
        if not (arrays[name] > 0).all():
            return f"{name} that is not positive"
    if (np.diff(arrays.get("residuals", np.zeros(1))) < 0).any():
        return "residuals that are not in order"
    if not words["class_names"]:
        return ""
    basis, priors = arrays["basis"].astype(float), arrays["priors"].astype(float)
    classes = len(priors)
    # Rounding of a sum of K shares, and of a QR decomposition, K^(3/2) ε times a small constant.
    eps = max(np.finfo(arrays[name].dtype).eps for name in _CODES)
    bound = 10 * classes**1.5 * eps
    if (priors < 0).any() or abs(priors.sum() - 1) > bound:
        return "priors that are no shares of a whole"
    spanning = np.abs(basis.T @ basis - np.eye(classes - 1)).max(initial=0.0)
    if spanning > bound or np.abs(basis.sum(0)).max(initial=0.0) > bound:
        return "a basis of codes that is no orthonormal one"
    return ""


def _are_bends(bends: np.ndarray) -> bool:
    """Whether floors and shifts, centres and spreads are there in pairs, and fit their use."""
    floor, shift, centre, spread = bends.astype(float)
    logs, clips = ~np.isnan(shift), ~np.isnan(spread)
    if (np.isnan(floor) == logs).any() or (np.isnan(centre) == clips).any():
        return False
    known = np.concatenate([floor[logs], shift[logs], centre[clips], spread[clips]])
    if not np.isfinite(known).all():
        return False
    if (floor[logs] < 0).any() or (shift[logs] < 0).any():
        return False
    return bool((floor[logs] + shift[logs] > 0).all() and (spread[clips] > 0).all())


def _is_level(value: Any) -> bool:
    return is_json_text(value) or is_json_number(value) or isinstance(value, bool)


def _are_names(values: Any) -> bool:
    return (
        isinstance(values, list)
        and all(map(is_json_text, values))
        and len(set(values)) == len(values)
    )
