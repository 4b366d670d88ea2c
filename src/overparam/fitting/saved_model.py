"""A fitted feature machine as numbers and JSON, which load without running anything."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from overparam._errors import expect, unknown
from overparam.errors import NumericalError
from overparam.fitting.model_files import (
    expect_model_folder,
    expect_sound,
    read_model,
    write_model,
)
from overparam.fitting.model_parts import KERNELS, problem
from overparam.kernels.codes import ClassCodes
from overparam.kernels.encoding import Encoding, as_numbers
from overparam.kernels.feature_matrix import KernelPredictor
from overparam.kernels.rfm import RFMClassifier


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
    medians: Float[np.ndarray, "columns"]
    encoding: Encoding
    predictor: KernelPredictor
    centre: Float[np.ndarray, "outputs"]
    scale: Float[np.ndarray, "outputs"]
    codes: ClassCodes | None

    def coordinates(self, frame: pd.DataFrame) -> Float[np.ndarray, "n d"]:
        """The rows as the predictor sees them: standardised numbers, an indicator per level.

        Raises:
            ValueError: If a column is missing, or holds words where numbers belong.
        """
        where = "SavedModel.predict(frame=...)"
        expect(
            isinstance(frame, pd.DataFrame),
            where,
            "a pandas.DataFrame",
            type(frame).__name__,
            error=TypeError,
        )
        frame = frame.rename(columns=str)
        absent = [name for name in self.columns if name not in frame]
        expect(
            not absent,
            where,
            f"the columns {', '.join(self.columns)}",
            f"a table without {', '.join(absent)}",
        )
        twice = sorted({*frame.columns[frame.columns.duplicated()]} & {*self.columns})
        expect(not twice, where, "each column once", f"{', '.join(twice)} more than once")
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
        expect(
            np.isfinite(median) or not np.isnan(values).any(),
            where,
            f"a number in every row of {column.name!r}, of which the model knows no median",
            "an empty field",
        )
        return np.where(np.isnan(values), median, values)

    def outputs(self, coordinates: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n outputs"]:
        """Predictions of coordinates: the target, or a probability for each class.

        Raises:
            NumericalError: If one is not finite.
        """
        points = torch.from_numpy(coordinates).to(self.predictor.centres)
        raw = self.predictor(points).cpu().numpy().astype(np.float64)
        if self.codes is None:
            raw = raw * self.scale + self.centre
        odd = np.flatnonzero(~np.isfinite(raw).all(axis=1))
        expect(
            len(odd) == 0,
            "SavedModel.predict(frame=...)",
            "rows whose prediction is finite",
            f"{len(odd)} of {len(raw)} whose is not, the first of them row {odd[:1]}",
            error=NumericalError,
        )
        return raw if self.codes is None else self.codes.probabilities(raw)

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """The predicted target of each row: numbers, or names of classes.

        Args:
            frame: A table with the model's columns, in any order. An unknown level counts as
                none of the known ones, a missing number as the median.

        Raises:
            ValueError: As `coordinates`.
            NumericalError: If a prediction is not finite.
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
        """Write numbers and words (`model.json`) into a folder, made if need be.

        A model that was there stays, whole, until the new one is on the disk.

        Returns:
            The folder.

        Raises:
            ValueError: If the kernel is a user's own function, which JSON cannot hold, or the
                folder holds other files than a model's.
            OSError: If the folder cannot be written; a model that was there is as it was.
        """
        folder, where = Path(folder), "SavedModel.save(...)"
        kernel = type(self.predictor.kernel).__name__
        if kernel not in KERNELS:
            unknown(where, "a kernel that can be saved", kernel, KERNELS)
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
            "target": self.target,
            "task": self.task,
            "columns": list(self.columns),
            "class_names": list(self.class_names),
            "levels": {str(place): _plain(found) for place, found in encoding.levels.items()},
            "kernel": kernel,
            "kernel_settings": _settings(self.predictor.kernel),
        }
        wrong = problem(words, arrays)
        expect(not wrong, where, "a model that can be loaded again", f"one with {wrong}")
        expect_model_folder(folder, where)
        write_model(folder, words, arrays)
        return folder


def load_model(folder: str | os.PathLike[str]) -> SavedModel:
    """The model that `SavedModel.save` wrote; numbers and JSON are read, nothing is executed.

    What was written is told by digests, and names, shapes and values are checked against each
    other. A model of the first format, which has no digests, is checked by the latter alone.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If its files are damaged, not of one model, or from a later version.
        OSError: If they cannot be read.
    """
    where = f"load_model({os.fspath(folder)!r})"
    words, arrays = read_model(Path(folder), where)
    wrong = problem(words, arrays)
    expect_sound(not wrong, where, wrong)
    levels = {int(place): _levels(found) for place, found in words["levels"].items()}
    encoding = _encoding(words["columns"], levels, arrays["mean"], arrays["scale"])
    classes = tuple(words["class_names"])
    matrix = arrays.get("feature_matrix")
    predictor = KernelPredictor(
        KERNELS[words["kernel"]](**words["kernel_settings"]),
        torch.from_numpy(arrays["centres"]),
        torch.from_numpy(arrays["dual"]),
        None if matrix is None else torch.from_numpy(matrix),
    )
    return SavedModel(
        target=words["target"],
        task=words["task"],
        columns=tuple(words["columns"]),
        class_names=classes,
        medians=arrays["medians"],
        encoding=encoding,
        predictor=predictor,
        centre=arrays["output_centre"],
        scale=arrays["output_scale"],
        codes=ClassCodes(arrays["basis"], arrays["priors"]) if classes else None,
    )


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
    plain = [level.item() if isinstance(level, np.generic) else level for level in levels]
    return [None if pd.isna(level) else level for level in plain]


def _settings(kernel: Any) -> dict[str, Any]:
    """Settings of a kernel as JSON knows them."""
    found = asdict(kernel).items()
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in found}


def _levels(found: list[Any]) -> np.ndarray:
    """Levels as the encoding holds them."""
    levels = np.empty(len(found), dtype=object)
    levels[:] = [np.nan if level is None else level for level in found]
    return levels
