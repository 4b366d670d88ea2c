"""Discriminant transport as one of POT's own domain adaptation methods.

The one file that imports POT at its top, as a class needs its base; nothing else imports it, and
where POT is missing the class says so when it is made.
"""

from importlib import import_module
from typing import Any

import numpy as np

from overparam._as_before import or_as_before
from overparam._errors import complaint, expect
from overparam.transport.couplings import import_pot
from overparam.transport.discriminant import discriminant_transport
from overparam.transport.scatter import squared_distances
from overparam.transport.settings import (
    discriminant_options,
    expect_number,
    read_labels,
    read_rows,
)

try:
    _Base: Any = import_module("ot.da").BaseTransport
except ImportError:
    _Base = object


class DiscriminantTransport(_Base):
    """Optimal transport that looks where classes differ: an `ot.da.BaseTransport`.

    The iteration of `DiscriminantTransportClassifier`, with POT's contract: `fit(Xs, ys, Xt, yt)`,
    then `transform` moves source rows to the target (barycentric), `inverse_transform` moves
    target rows back, and `transform_labels(ys)` gives soft labels of the target rows. Rows that
    were not fitted move as the fitted row nearest to them in the learned directions does.

    Arrays of any of POT's backends; computed by NumPy, without gradients, and given back as they
    came.

    Args:
        theta: As of `DiscriminantTransportClassifier`, and so are all up to `max_iter`.
        mu: The same.
        raw_share: The same.
        reg: The same.
        shrinkage: The same.
        n_components: The same.
        pca_components: The same.
        center: The same.
        target_priors: The same, in the order of the sorted labels.
        max_iter: The same.
        limit_max: What coupling rows of different known labels costs, as a multiple of the largest
            cost; it counts where `yt` is given. −1 in `yt` stands for an unknown label, so that
            it is no class.

    Attributes:
        coupling_: T, shape ``(n, m)``.
        cost_: The last cost, over its median.
        components_: W, shape ``(p, d)``.
        classes_: Labels in order.
        mu_s: Weights of the source rows.
        mu_t: Weights of the target rows.
        xs_: Source rows.
        xt_: Target rows.
        labels_path_: Labels of the target after every round.
        target_priors_: Shares of the classes in the target.
        n_iter_: Rounds.
        converged_: Whether the labels settled.

    Raises:
        ValueError: From `fit`: settings out of range, one class only, tables that are not finite
            or of different numbers of columns.
        ImportError: If POT is not installed.

    Example:
        ::

            moved = DiscriminantTransport().fit(Xs=Xs, ys=ys, Xt=Xt).transform(Xs=Xs)
    """

    def __init__(
        self,
        theta: float = 0.5,
        mu: float = 1.0,
        raw_share: float = 0.3,
        reg: float = 0.05,
        shrinkage: float = 0.1,
        n_components: int | None = None,
        pca_components: int | str | None = "auto",
        center: bool = True,
        target_priors: Any = "source",
        max_iter: int = 15,
        limit_max: float = 10.0,
    ) -> None:
        import_pot("DiscriminantTransport(...)")
        self.theta = theta
        self.mu = mu
        self.raw_share = raw_share
        self.reg = reg
        self.shrinkage = shrinkage
        self.n_components = n_components
        self.pca_components = pca_components
        self.center = center
        self.target_priors = target_priors
        self.max_iter = max_iter
        self.limit_max = limit_max

    @or_as_before
    def fit(
        self, Xs: Any = None, ys: Any = None, Xt: Any = None, yt: Any = None
    ) -> "DiscriminantTransport":
        """Learn the coupling of source and target.

        Args:
            Xs: Source, shape ``(n, p)``.
            ys: Its labels, ``(n,)``, two classes or more.
            Xt: Target, shape ``(m, p)``.
            yt: Its labels as far as they are known, −1 elsewhere; None for none.
        """
        where = "DiscriminantTransport.fit"
        for name, given in (("Xs", Xs), ("ys", ys), ("Xt", Xt)):
            expect(given is not None, f"{where}({name}=...)", "an array", None)
        arrays = [np.asarray(v) if isinstance(v, list) else v for v in (Xs, ys, Xt, yt)]
        try:
            nx = self._get_backend(*arrays)
        except (TypeError, ValueError) as problem:
            kinds = ", ".join(type(v).__name__ for v in arrays if v is not None)
            raise complaint(f"{where}(...)", "arrays of one kind", kinds) from problem
        source = read_rows(as_numpy(nx, Xs), f"{where}(Xs=...)")
        target = read_rows(as_numpy(nx, Xt), f"{where}(Xt=...)", source.shape[1])
        classes, positions = read_labels(as_numpy(nx, ys), f"{where}(ys=...)")
        expect(
            len(positions) == len(source), f"{where}(ys=...)", f"{len(source)} labels",
            len(positions),
        )  # fmt: skip
        expect(
            -1 not in classes.tolist(), f"{where}(ys=...)", "labels other than -1",
            "-1, which stands for an unknown label", "number the classes from 0.",
        )  # fmt: skip
        expect_number(
            "DiscriminantTransport(limit_max=...)", "a number ≥ 1", self.limit_max, lambda v: v >= 1
        )
        options = discriminant_options(self, classes, source.shape[1])
        result = discriminant_transport(
            source, positions, target, len(classes), options, where,
            known=_known(as_numpy(nx, yt), classes, len(target), where),
            penalty=self.limit_max,
        )  # fmt: skip
        self.xs_, self.xt_ = (
            nx.from_numpy(source) if isinstance(Xs, list) else Xs,
            nx.from_numpy(target) if isinstance(Xt, list) else Xt,
        )

        def given_back(array: np.ndarray) -> Any:
            return nx.from_numpy(np.ascontiguousarray(array), type_as=self.xs_)

        self.cost_, self.coupling_ = given_back(result.cost), given_back(result.coupling)
        self.mu_s = given_back(result.source_weights)
        self.mu_t = given_back(np.full(len(target), 1 / len(target)))
        self.components_ = given_back(result.components)
        self.classes_, self.target_priors_ = classes, result.priors
        self.labels_path_ = [classes[found] for found in result.labels_path]
        self.n_iter_, self.converged_ = len(result.labels_path), result.converged
        self._means = result.source_mean, result.target_mean
        return self

    def transform(
        self, Xs: Any = None, ys: Any = None, Xt: Any = None, yt: Any = None, batch_size: int = 128
    ) -> Any:
        """Source rows moved to the target, shape ``(n, p)``."""
        self._expect_fitted("transform")
        if Xs is None or self.nx.array_equal(self.xs_, Xs):
            return super().transform(Xs=self.xs_)
        moved = super().transform(Xs=self.xs_)
        rows = self._read(Xs, "transform(Xs=...)")
        near = self._nearest(rows, self.xs_, self._means[0])
        return moved[near] + (rows - self.xs_[near])

    def inverse_transform(
        self, Xs: Any = None, ys: Any = None, Xt: Any = None, yt: Any = None, batch_size: int = 128
    ) -> Any:
        """Target rows moved to the source, shape ``(m, p)``."""
        self._expect_fitted("inverse_transform")
        if Xt is None or self.nx.array_equal(self.xt_, Xt):
            return super().inverse_transform(Xt=self.xt_)
        moved = super().inverse_transform(Xt=self.xt_)
        rows = self._read(Xt, "inverse_transform(Xt=...)")
        near = self._nearest(rows, self.xt_, self._means[1])
        return moved[near] + (rows - self.xt_[near])

    def _expect_fitted(self, method: str) -> None:
        expect(
            hasattr(self, "coupling_"), f"DiscriminantTransport.{method}", "a fitted transport",
            "one that is not", "call fit first.", error=RuntimeError,
        )  # fmt: skip

    def _read(self, rows: Any, call: str) -> Any:
        where = f"DiscriminantTransport.{call}"
        found = read_rows(as_numpy(self.nx, rows), where, self.components_.shape[0])
        return self.nx.from_numpy(found, type_as=self.xs_)

    def _nearest(self, rows: Any, fitted: Any, mean: np.ndarray) -> np.ndarray:
        """Of each row, the fitted one that is nearest in the learned directions."""
        project = as_numpy(self.nx, self.components_)
        rows, fitted = ((as_numpy(self.nx, x) - mean) @ project for x in (rows, fitted))
        return squared_distances(rows, fitted).argmin(1)


def as_numpy(nx: Any, array: Any) -> Any:
    """An array of a backend as NumPy's; lists and None as they are."""
    return array if array is None or isinstance(array, list) else nx.to_numpy(array)


def _known(labels: Any, classes: np.ndarray, m: int, where: str) -> np.ndarray | None:
    """Positions of the known labels of the target, −1 where they are unknown."""
    if labels is None:
        return None
    labels = np.asarray(labels)
    expect(labels.shape == (m,), f"{where}(yt=...)", f"{m} labels", f"shape {labels.shape}")
    positions = np.searchsorted(classes, labels).clip(0, len(classes) - 1)
    known = labels != -1
    right = (classes[positions] == labels) | ~known
    expect(
        right.all(), f"{where}(yt=...)", "-1 or a label that the source has",
        labels[~right][:1].tolist(),
    )  # fmt: skip
    return np.where(known, positions, -1)
