"""What parameters may be, in the form of scikit-learn's own tables, which looks at them."""

from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from overparam.clustering.divergence import BregmanDivergence
from overparam.clustering.named import SIMPLE


class Whole(Interval):
    """A whole number from `least` on; True and False, which Python counts as such, are none."""

    def __init__(self, least: int) -> None:
        super().__init__(Integral, least, None, closed="left")

    def is_satisfied_by(self, val: Any) -> bool:
        """Whether it is one."""
        return not isinstance(val, bool) and super().is_satisfied_by(val)


COUNT = Whole(1)
SHARE = Interval(Real, 0, 1, closed="both")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")

K_MEANS: dict[str, list[Any]] = {
    "n_clusters": [COUNT],
    "init": [StrOptions({"k-means++", "random"}), callable, "array-like"],
    "n_init": [StrOptions({"auto"}), COUNT],
    "max_iter": [COUNT],
    "tol": [NOT_NEGATIVE],
    "random_state": ["random_state"],
}
DIVERGENCE: list[Any] = [StrOptions(set(SIMPLE)), tuple, BregmanDivergence]
BREGMAN: dict[str, list[Any]] = {
    "divergence": DIVERGENCE,
    "side": [StrOptions({"right", "left"})],
    "smoothing": [NOT_NEGATIVE],
}
