"""A fitted feature machine as numbers and JSON, which load without running anything."""

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from overparam._errors import expect, unknown
from overparam._numbers import described, is_number
from overparam._user_line import user_level
from overparam.datasets.dataset import ClassType
from overparam.errors import NumericalError
from overparam.fitting.conformal import offsets
from overparam.fitting.model_files import (
    expect_model_folder,
    expect_sound,
    read_model,
    write_model,
)
from overparam.fitting.model_parts import KERNELS, problem
from overparam.fitting.model_words import encoding_of, levels_of, plain_of, settings_of
from overparam.fitting.target import Scale, ScaleName
from overparam.kernels.codes import ClassCodes
from overparam.kernels.encoding import Encoding
from overparam.kernels.feature_matrix import KernelPredictor
from overparam.kernels.predictor_sum import PredictorSum
from overparam.kernels.rfm import RFMClassifier
from overparam.tables.levels import name_of as level_name
from overparam.tables.reader import Reader, TableWarning


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
        reader: What the columns mean; `None` is numbers, and the encoding's levels.
        class_type: Whether the classes' names are of "numbers", "booleans" or "words".
        target_scale: On which a quantity was learned: "linear", "log" or "sqrt".
        residuals: On that scale, of rows that models of a cross-validation had not seen, in order;
            none for classes, and in models of an earlier format.
    """

    target: str
    task: str
    columns: tuple[str, ...]
    class_names: tuple[str, ...]
    medians: Float[np.ndarray, "columns"]
    encoding: Encoding
    predictor: KernelPredictor | PredictorSum
    centre: Float[np.ndarray, "outputs"]
    scale: Float[np.ndarray, "outputs"]
    codes: ClassCodes | None
    reader: Reader | None = None
    class_type: ClassType = "words"
    target_scale: ScaleName = "linear"
    residuals: Float[np.ndarray, "residuals"] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if self.reader is None:  # of a format that had none
            reader = Reader.of_levels(self.columns, self.encoding.levels)
            object.__setattr__(self, "reader", reader)

    def coordinates(self, frame: pd.DataFrame) -> Float[np.ndarray, "n d"]:
        """The rows as the predictor sees them: standardised numbers, an indicator per level.

        Args:
            frame: A table of pandas, or of a library that can make one of it.

        Raises:
            ValueError: If no column is there, or words stand where numbers belong.

        Warns:
            TableWarning: Of what sets the rows apart from those that were fitted: columns that
                are not there, levels that were not, numbers far outside the range, values
                distributed otherwise.
        """
        where = "SavedModel.predict(frame=...)"
        assert self.reader is not None
        rows = self.reader.read(frame, where=where)
        if rows.told:
            lines = "\n".join(rows.told)
            warnings.warn(
                f"rows unlike those fitted to:\n{lines}", TableWarning, stacklevel=user_level()
            )
        return self.encoded(rows.columns)

    def encoded(self, columns: Mapping[str, np.ndarray]) -> Float[np.ndarray, "n d"]:
        """Coordinates of rows that the model's reader has read.

        Args:
            columns: By name numbers, or positions among the reader's levels.

        Raises:
            ValueError: If a number is missing in a column of which the model knows no median.
        """
        where = "SavedModel.predict(frame=...)"
        numbers = [
            self._places(name, columns[name], self.encoding.levels[i])
            if i in self.encoding.levels
            else self._numbers(name, columns[name], self.medians[i], where)
            for i, name in enumerate(self.columns)
        ]
        return self.encoding.encode(np.column_stack(numbers))

    def _places(self, name: str, positions: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Positions among the reader's levels as positions among the encoding's."""
        assert self.reader is not None
        names = [level for level in levels if not pd.isna(level)]
        by_name = {level_name(level): place for place, level in enumerate(names)}
        found = [by_name.get(level, -1) for level in self.reader[name].levels]
        missing = len(names) if len(names) < len(levels) else -1
        # Behind the levels come one that was not there, and a missing one: -2 and -1.
        return np.array([*found, -1, missing], dtype=np.float64)[positions.astype(int)]

    @staticmethod
    def _numbers(name: str, values: np.ndarray, median: float, where: str) -> np.ndarray:
        """A numerical column, its gaps filled."""
        expect(
            np.isfinite(median) or not np.isnan(values).any(),
            where,
            f"a number in every row of {name!r}, of which the model knows no median",
            "an empty field",
        )
        return np.where(np.isnan(values), median, values)

    def outputs(self, coordinates: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n outputs"]:
        """Predictions of coordinates: the target, or a probability for each class.

        Raises:
            NumericalError: If one is not finite.
        """
        raw = self._learned(coordinates)
        return self._scale.back(raw) if self.codes is None else self.codes.probabilities(raw)

    @property
    def _scale(self) -> Scale:
        spread = float(np.mean(self.residuals**2)) if len(self.residuals) else 0.0
        return Scale(self.target_scale, spread)

    def _learned(self, coordinates: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n outputs"]:
        """What was learned of them, on the target's scale, or codes of classes."""
        points = torch.from_numpy(coordinates).to(self.predictor.centres)
        raw = self.predictor(points).cpu().numpy().astype(np.float64)
        if self.codes is None:
            raw = raw * self.scale + self.centre
        shown = raw if self.codes is not None else self._scale.back(raw)
        odd = np.flatnonzero(~np.isfinite(shown).all(axis=1))
        expect(
            len(odd) == 0,
            "SavedModel.predict(frame=...)",
            "rows whose prediction is finite",
            f"{len(odd)} of {len(raw)} whose is not, the first of them row {odd[:1]}",
            error=NumericalError,
        )
        return raw

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """The predicted target of each row: numbers, or classes.

        Classes are what they were in the table: numbers, true and false, or words.

        Args:
            frame: A table with the model's columns, in any order, type and form. An unknown level
                counts as none of the known ones, a missing number as the median.

        Raises:
            ValueError: As `coordinates`.
            NumericalError: If a prediction is not finite.

        Warns:
            TableWarning: As `coordinates`.
        """
        outputs = self.outputs(self.coordinates(frame))
        return outputs[:, 0] if self.codes is None else self.classes[outputs.argmax(1)]

    @property
    def classes(self) -> np.ndarray:
        """The classes, in the order of probabilities: whole or other numbers, bools, or words."""
        if self.class_type == "booleans":
            return np.array([name.casefold() == "true" for name in self.class_names])
        if self.class_type == "numbers":
            numbers = np.array(list(map(float, self.class_names)))
            whole = bool((numbers == np.round(numbers)).all() and np.abs(numbers).max() < 2**53)
            return numbers.astype(np.int64) if whole else numbers
        return np.array(self.class_names, dtype=object)

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

    def predict_interval(self, frame: pd.DataFrame, level: float = 0.9) -> Float[np.ndarray, "n 2"]:
        """Ends of an interval that holds a new row's target with a probability; regression only.

        The prediction, and what it takes below and above to cover the residuals of the
        cross-validation (split conformal prediction; see `offsets`): the same width for every row,
        on the scale that was learned. It holds for rows like those fitted to.

        Args:
            frame: As `predict` takes it.
            level: Probability, in (0, 1).

        Raises:
            ValueError: For classes, for a model that knows no residuals, or fewer than the level
                needs; and as `predict`.
        """
        where = "SavedModel.predict_interval(...)"
        expect(
            self.codes is None, where, "a regression",
            f"a classification of {self.target!r}", hint="use predict_proba.",
        )  # fmt: skip
        expect(is_number(level) and 0 < level < 1, where, "a level in (0, 1)", described(level))
        low, high = offsets(self.residuals, level)
        expect(
            math.isfinite(low), where, f"residuals enough for a level of {level:.3g}",
            f"{len(self.residuals)} of them",
            hint="fit the table again with this version." if not len(self.residuals) else "",
        )  # fmt: skip
        learned = self._learned(self.coordinates(frame))[:, :1]
        return self._scale.ends(learned + np.array([[low, high]]))

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
        first, *others = members(self.predictor)
        kernel = type(first[0].kernel).__name__
        if kernel not in KERNELS:
            unknown(where, "a kernel that can be saved", kernel, KERNELS)
        encoding, codes = self.encoding, self.codes
        arrays = {
            "centres": self.predictor.centres.cpu().numpy(),
            "dual": first[0].dual.cpu().numpy(),
            "medians": self.medians,
            "mean": encoding.mean,
            "scale": encoding.scale,
            "output_centre": self.centre,
            "output_scale": self.scale,
        }
        if first[0].feature_matrix is not None:
            arrays["feature_matrix"] = first[0].feature_matrix.cpu().numpy()
        if len(self.residuals):
            arrays["residuals"] = self.residuals
        if codes is not None:
            arrays |= {"basis": codes.basis, "priors": codes.priors}
            if (codes.exponent, codes.drawn) != (1.0, 0.0):
                arrays["sharpness"] = np.array([codes.exponent, codes.drawn])
        if encoding.bends is not None:
            arrays["bends"] = encoding.bends.numbers
        if others:
            arrays["shares"] = np.array([share for _, share in (first, *others)])
        for place, (member, _) in enumerate(others, 2):
            arrays[f"dual {place}"] = member.dual.cpu().numpy()
            matrix = member.feature_matrix
            if matrix is None:
                matrix = torch.ones_like(member.centres[0])
            arrays[f"feature_matrix {place}"] = matrix.cpu().numpy()
        words = {
            "target": self.target,
            "task": self.task,
            "columns": list(self.columns),
            "class_names": list(self.class_names),
            "levels": {str(place): plain_of(found) for place, found in encoding.levels.items()},
            "kernel": kernel,
            "kernel_settings": settings_of(first[0].kernel),
            "reader": self.reader.to_dict() if self.reader else [],
            "class_type": self.class_type,
            "target_scale": self.target_scale,
        }
        if others:
            words["more_kernels"] = [
                {"kernel": type(member.kernel).__name__, "settings": settings_of(member.kernel)}
                for member, _ in others
            ]
        wrong = problem(words, arrays)
        expect(not wrong, where, "a model that can be loaded again", f"one with {wrong}")
        expect_model_folder(folder, where)
        write_model(folder, words, arrays)
        return folder


def load_model(folder: str | os.PathLike[str]) -> SavedModel:
    """The model that `SavedModel.save` wrote; numbers and JSON are read, nothing is executed.

    What was written is told by digests, and names, shapes and values are checked against each
    other. A model of the first format, which has no digests, is checked by the latter alone.

    Args:
        folder: Where the model was saved.

    Returns:
        The model, which predicts as it did when it was saved.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If its files are damaged, not of one model, or from a later version.
        OSError: If they cannot be read.

    Example:
        ::

            found = op.fit("houses.csv", "price")
            found.model.save("model")
            op.load_model("model").predict(new_rows)
    """
    where = f"load_model({os.fspath(folder)!r})"
    words, arrays = read_model(Path(folder), where)
    wrong = problem(words, arrays)
    expect_sound(not wrong, where, wrong)
    levels = {int(place): levels_of(found) for place, found in words["levels"].items()}
    encoding = encoding_of(
        words["columns"], levels, arrays["mean"], arrays["scale"], arrays.get("bends")
    )
    classes = tuple(words["class_names"])
    told = [{"kernel": words["kernel"], "settings": words["kernel_settings"]}]
    machines = []
    for place, kernel in enumerate([*told, *words.get("more_kernels", ())], 1):
        mark = f" {place}" if place > 1 else ""
        matrix = arrays.get(f"feature_matrix{mark}")
        machines.append(
            KernelPredictor(
                KERNELS[kernel["kernel"]](**kernel["settings"]),
                torch.from_numpy(arrays["centres"]),
                torch.from_numpy(arrays[f"dual{mark}"]),
                None if matrix is None else torch.from_numpy(matrix),
            )
        )
    predictor = machines[0]
    if len(machines) > 1:
        predictor = PredictorSum(tuple(machines), tuple(arrays["shares"].tolist()))
    sharpness = arrays.get("sharpness", np.array([1.0, 0.0])).tolist()
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
        codes=ClassCodes(arrays["basis"], arrays["priors"], *sharpness) if classes else None,
        reader=Reader.from_dict(words["reader"]) if "reader" in words else None,
        class_type=words.get("class_type", "words"),
        target_scale=words.get("target_scale", "linear"),
        residuals=arrays.get("residuals", np.zeros(0)),
    )


def from_estimator(
    estimator: Any,
    medians: dict[str, float],
    target: str,
    class_names: tuple[str, ...],
    reader: Reader | None = None,
    class_type: ClassType = "words",
    target_scale: ScaleName = "linear",
    residuals: np.ndarray | None = None,
) -> SavedModel:
    """A fitted estimator as a model to save.

    Args:
        estimator: An `RFMRegressor` or another of its family, fitted to a data frame.
        medians: What a missing number is replaced by, for the columns where one may be.
        target: Name of what it predicts.
        class_names: Names of the classes 0, 1, …; empty for a regression.
        reader: What the columns of the table mean.
        class_type: What the names of the classes are of.
        target_scale: On which a quantity was learned.
        residuals: Of rows not seen, in order, on that scale.
    """
    columns = tuple(map(str, estimator.feature_names_in_))
    predictor = estimator.predictor_on("cpu")
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
        reader=reader,
        class_type=class_type,
        target_scale=target_scale,
        residuals=np.zeros(0) if residuals is None else residuals,
    )


def members(
    predictor: KernelPredictor | PredictorSum,
) -> tuple[tuple[KernelPredictor, float], ...]:
    """The machines that a predictor is the sum of, with their shares."""
    if isinstance(predictor, PredictorSum):
        return tuple(zip(predictor.predictors, predictor.shares, strict=True))
    return ((predictor, 1.0),)
