"""A fitted feature machine as numbers and JSON, which load without running anything."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from overparam._errors import expect, unknown
from overparam._json import to_json
from overparam.kernels.codes import ClassCodes
from overparam.kernels.encoding import Encoding, as_numbers
from overparam.kernels.feature_matrix import KernelPredictor
from overparam.kernels.functions import DotExponential, Gaussian, Kernel, Laplace, Quadratic
from overparam.kernels.lpq import Lpq
from overparam.kernels.rfm import RFMClassifier

FORMAT = 1
NUMBERS, WORDS = "model.safetensors", "model.json"
_KERNELS: dict[str, type[Kernel]] = {
    kind.__name__: kind for kind in (DotExponential, Gaussian, Laplace, Lpq, Quadratic)
}


@dataclass(frozen=True, eq=False)
class SavedModel:
    """A predictor for tables like the one it was fitted to.

    Attributes:
        target: What it predicts.
        task: "classification" or "regression".
        columns: The columns it needs, by name; others are ignored.
        class_names: The classes; empty for a regression.
        medians: What stands in for a missing number, by column.
        encoding: How a row becomes coordinates.
        predictor: The kernel machine on coordinates.
        centre: Added to each output of a regression.
        scale: Multiplies it.
        codes: How outputs become probabilities; `None` for a regression.
    """

    target: str
    task: str
    columns: tuple[str, ...]
    class_names: tuple[str, ...]
    medians: Float[np.ndarray, " columns"]
    encoding: Encoding
    predictor: KernelPredictor
    centre: Float[np.ndarray, " outputs"]
    scale: Float[np.ndarray, " outputs"]
    codes: ClassCodes | None

    def coordinates(self, frame: pd.DataFrame) -> Float[np.ndarray, "n d"]:
        """The rows as the predictor sees them: standardised numbers, an indicator per level.

        Raises:
            ValueError: If a column is missing, or holds words where numbers belong.
        """
        where = "SavedModel.predict(frame=...)"
        frame = frame.rename(columns=str)
        absent = [name for name in self.columns if name not in frame]
        expect(
            not absent,
            where,
            f"the columns {', '.join(self.columns)}",
            f"a table without {', '.join(absent)}",
        )
        expect(len(frame) > 0, where, "at least one row", "none")
        chosen = {
            name: frame[name].astype(object) if i in self.encoding.levels
            else self._numbers(frame[name], self.medians[i], where)
            for i, name in enumerate(self.columns)
        }  # fmt: skip
        numbers = as_numbers(pd.DataFrame(chosen), self.encoding.levels)
        return self.encoding.encode(np.asarray(numbers, dtype=np.float64))

    @staticmethod
    def _numbers(column: Any, median: float, where: str) -> np.ndarray:
        """A numerical column, its gaps filled."""
        values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
        odd = column[np.isnan(values) & column.notna().to_numpy()].tolist()
        expect(
            not odd and not np.isinf(values).any(),
            where,
            f"finite numbers or empty fields in {column.name!r}",
            f"{odd[0]!r}" if odd else "an infinite one",
        )
        return np.where(np.isnan(values), median, values)

    def outputs(self, coordinates: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n outputs"]:
        """Predictions of coordinates: the target, or a probability for each class."""
        points = torch.from_numpy(coordinates).to(self.predictor.centres)
        raw = self.predictor(points).cpu().numpy().astype(np.float64)
        if self.codes is not None:
            return self.codes.probabilities(raw)
        return raw * self.scale + self.centre

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """The predicted target of each row: numbers, or names of classes.

        Args:
            frame: A table with the model's columns, in any order. An unknown level counts as
                none of the known ones, a missing number as the median.

        Raises:
            ValueError: As `coordinates`.
        """
        outputs = self.outputs(self.coordinates(frame))
        if self.codes is None:
            return outputs[:, 0]
        return np.array(self.class_names, dtype=object)[outputs.argmax(1)]

    def predict_proba(self, frame: pd.DataFrame) -> Float[np.ndarray, "n classes"]:
        """Probabilities of `class_names`; classification only.

        Raises:
            ValueError: For a regression, and as `coordinates`.
        """
        expect(
            self.codes is not None,
            "SavedModel.predict_proba(...)",
            "a classification",
            f"a regression of {self.target!r}",
            hint="use predict.",
        )
        return self.outputs(self.coordinates(frame))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `model.safetensors` and `model.json` into a folder, made if need be.

        Returns:
            The folder.

        Raises:
            ValueError: If the kernel is a user's own function, which JSON cannot hold, or the
                folder holds other files than a model's.
        """
        folder = Path(folder)
        kernel = type(self.predictor.kernel).__name__
        if kernel not in _KERNELS:
            unknown("SavedModel.save(...)", "a kernel that can be saved", kernel, _KERNELS)
        expect(
            not folder.exists() or (folder.is_dir() and _others(folder) == []),
            f"SavedModel.save({os.fspath(folder)!r})",
            "a folder that is new, empty or a model's",
            "a file" if folder.is_file() else f"one that holds {', '.join(_others(folder)[:3])}"
            if folder.exists() else "",
        )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        encoding, codes = self.encoding, self.codes
        arrays = {
            "centres": self.predictor.centres.cpu().numpy(),
            "dual": self.predictor.dual.cpu().numpy(),
            "medians": self.medians,
            "mean": encoding.mean,
            "scale": encoding.scale,
            "output_centre": self.centre,
            "output_scale": self.scale,
        }
        if self.predictor.feature_matrix is not None:
            arrays["feature_matrix"] = self.predictor.feature_matrix.cpu().numpy()
        if codes is not None:
            arrays |= {"basis": codes.basis, "priors": codes.priors}
        words = {
            "format": FORMAT,
            "target": self.target,
            "task": self.task,
            "columns": self.columns,
            "class_names": self.class_names,
            "levels": {str(place): _plain(found) for place, found in encoding.levels.items()},
            "kernel": kernel,
            "kernel_settings": asdict(self.predictor.kernel),  # pyright: ignore
        }
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / NUMBERS)
        (folder / WORDS).write_text(to_json(words), encoding="utf-8")
        return folder


def load_model(folder: str | os.PathLike[str]) -> SavedModel:
    """The model that `SavedModel.save` wrote; numbers and JSON are read, nothing is executed.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If its files are damaged or from a later version.
    """
    folder = Path(folder)
    where = f"load_model({os.fspath(folder)!r})"
    for name in (NUMBERS, WORDS):
        expect(
            (folder / name).is_file(),
            where,
            f"a folder with {NUMBERS} and {WORDS}",
            f"one without {name}" if folder.is_dir() else "none",
            error=FileNotFoundError,
        )
    try:
        words = json.loads((folder / WORDS).read_text(encoding="utf-8"))
        arrays = load_file(folder / NUMBERS)
        expect(words["format"] == FORMAT, where, f"format {FORMAT}", words["format"])
        levels = {int(place): _levels(found) for place, found in words["levels"].items()}
        encoding = _encoding(words["columns"], levels, arrays["mean"], arrays["scale"])
        classes = tuple(words["class_names"])
        codes = ClassCodes(arrays["basis"], arrays["priors"]) if classes else None
        kernel = _KERNELS[words["kernel"]](**words["kernel_settings"])
        matrix = arrays.get("feature_matrix")
        predictor = KernelPredictor(
            kernel,
            torch.from_numpy(arrays["centres"]),
            torch.from_numpy(arrays["dual"]),
            None if matrix is None else torch.from_numpy(matrix),
        )
        return SavedModel(
            words["target"], words["task"], tuple(words["columns"]), classes, arrays["medians"],
            encoding, predictor, arrays["output_centre"], arrays["output_scale"], codes,
        )  # fmt: skip
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeError, SafetensorError) as problem:
        raise ValueError(
            f"`{where}` expected a model as `overparam fit --model` writes it, got files that are "
            f"damaged ({type(problem).__name__}: {problem})."
        ) from None


def from_estimator(
    estimator: Any,
    medians: dict[str, float],
    target: str,
    class_names: tuple[str, ...],
) -> SavedModel:
    """A fitted estimator as a model to save.

    Args:
        estimator: An `RFMRegressor` or another of its family, fitted to a data frame.
        medians: What a missing number is replaced by, for the columns where one may be.
        target: Name of what it predicts.
        class_names: Names of the classes 0, 1, …; empty for a regression.
    """
    columns = tuple(map(str, estimator.feature_names_in_))
    matrix = estimator.feature_matrix_
    predictor = KernelPredictor(
        estimator.kernel_,
        torch.from_numpy(estimator.X_fit_),
        torch.from_numpy(estimator.dual_coef_),
        torch.from_numpy(matrix),
    )
    classify = isinstance(estimator, RFMClassifier)
    none = np.zeros(0)
    return SavedModel(
        target=target,
        task="classification" if classify else "regression",
        columns=columns,
        class_names=class_names,
        medians=np.array([medians.get(name, np.nan) for name in columns]),
        encoding=estimator.encoding_,
        predictor=predictor,
        centre=none if isinstance(estimator, RFMClassifier) else estimator.y_mean_,
        scale=none if isinstance(estimator, RFMClassifier) else estimator.y_scale_,
        codes=estimator.codes_ if isinstance(estimator, RFMClassifier) else None,
    )


def _encoding(
    columns: list[str], levels: dict[int, np.ndarray], mean: np.ndarray, scale: np.ndarray
) -> Encoding:
    """The encoding, its names made anew."""
    names: list[str] = []
    groups: list[int] = []
    for i, column in enumerate(columns):
        own = [f"{column}={level}" for level in levels[i]] if i in levels else [column]
        names += own
        groups += [i] * len(own)
    return Encoding(tuple(columns), levels, mean, scale, tuple(names), np.array(groups))


def _plain(levels: np.ndarray) -> list[Any]:
    """Levels as JSON knows them; a missing one is null."""
    return [None if pd.isna(level) else level for level in levels]


def _levels(found: list[Any]) -> np.ndarray:
    """Levels as the encoding holds them."""
    levels = np.empty(len(found), dtype=object)
    levels[:] = [np.nan if level is None else level for level in found]
    return levels


def _others(folder: Path) -> list[str]:
    """Names in a folder that are not a model's files."""
    if not folder.is_dir():
        return []
    return sorted(file.name for file in folder.iterdir() if file.name not in (NUMBERS, WORDS))
