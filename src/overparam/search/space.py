"""Configurations of Optuna as points of a cube, those that lack a parameter included."""
# pyright: reportMissingImports=false

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class Space:
    """Parameters as coordinates in [-1, 1]: log scales straightened, a choice one per category.

    A parameter that a trial did not have is 0 in all its coordinates, the middle: so trials of a
    conditional space are points of one cube.

    Args:
        distributions: By parameter.
    """

    def __init__(self, distributions: "Mapping[str, BaseDistribution]") -> None:
        # Private to Optuna, and what its own samplers use: steps, logarithms, one-hot choices.
        from optuna._transform import _SearchSpaceTransform

        self.distributions = dict(distributions)
        self._transform = _SearchSpaceTransform(self.distributions, transform_0_1=True)
        columns = self._transform.column_to_encoded_columns
        self._columns = dict(zip(self.distributions, columns, strict=True))
        self._middle = self._transform.untransform(np.full(self.dimension, 0.5))

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return len(self._transform.bounds)

    def point(self, params: Mapping[str, Any]) -> np.ndarray:
        """The point (dimension,) of a configuration."""
        known = {name: params.get(name, value) for name, value in self._middle.items()}
        point = 2 * self._transform.transform(known) - 1
        for name, columns in self._columns.items():
            if name not in params:
                point[columns] = 0
        return point

    def configuration(self, point: np.ndarray) -> dict[str, Any]:
        """The configuration at a point of the cube: every parameter, needed or not."""
        return self._transform.untransform((np.clip(point, -1, 1) + 1) / 2)


def joint_space(
    trials: "Iterable[FrozenTrial]",
) -> "tuple[dict[str, BaseDistribution], dict[str, BaseDistribution]]":
    """What any of the trials had: what can be searched jointly, and what has changed its range.

    What leaves no choice is in neither.
    """
    found: dict[str, BaseDistribution] = {}
    changed: dict[str, BaseDistribution] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            if found.setdefault(name, distribution) != distribution:
                changed[name] = distribution
    joint = {n: found[n] for n in sorted(found) if n not in changed and not found[n].single()}
    return joint, changed
