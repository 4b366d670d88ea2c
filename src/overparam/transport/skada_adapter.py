"""Discriminant transport as a step of skada's pipelines."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from overparam._as_before import or_as_before
from overparam._errors import expect
from overparam.transport.discriminant import discriminant_transport
from overparam.transport.domains import split_domains
from overparam.transport.settings import discriminant_options, expect_squares, read_labels


class DiscriminantTransportAdapter(BaseEstimator):
    """Project source and target to the directions that discriminant transport finds.

    A step of skada's ``make_da_pipeline`` before any classifier, with the contract of its adapters;
    skada itself is not needed. Both domains are projected, each after its own mean is taken from
    it; the labels that the coupling found are used for the directions, and not handed on.

    A last step that has a method `transform` itself, as scikit-learn's LinearDiscriminantAnalysis
    does, is taken by skada 0.6 for another adapter and learns its mask of target rows as a class:
    end with LogisticRegression, SVC, KNeighborsClassifier or GaussianNB.

    Args:
        theta: As of `DiscriminantTransportClassifier`, and so are all others.
        mu: The same.
        raw_share: The same.
        reg: The same.
        shrinkage: The same.
        n_components: The same.
        pca_components: The same.
        center: The same.
        target_priors: The same, in the order of the sorted labels.
        max_iter: The same.

    Attributes:
        components_: W, shape ``(p, d)``.
        coupling_: T, shape ``(n, m)``.
        transduction_: Coupled labels of the target rows.
        source_mean_: Taken from source rows.
        target_mean_: Taken from target rows.
        n_iter_: Rounds.

    Raises:
        ValueError: From `fit_transform`: settings out of range, one class or one domain only.
        ImportError: If POT is not installed.

    Example:
        ::

            pipeline = make_da_pipeline(DiscriminantTransportAdapter(), LogisticRegression())
            pipeline.fit(X, y, sample_domain=domains).predict(Xt)
    """

    # What skada's pipelines hand over, by scikit-learn's routing of metadata.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True}
    __metadata_request__transform: ClassVar[dict[str, bool]] = {
        "sample_domain": True,
        "allow_source": True,
    }

    def __init__(
        self,
        *,
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
    ) -> None:
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any, *, sample_domain: Any = None) -> "DiscriminantTransportAdapter":
        """Learn the directions.

        Args:
            X: Rows of both domains, ``(n + m, p)``.
            y: Labels, of which only those of the source are looked at.
            sample_domain: Of each row, below 0 for one of the target; None where labels of the
                target are −1.
        """
        self._learn(X, y, sample_domain)
        return self

    def fit_transform(self, X: Any, y: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Learn the directions and project the rows of both domains, ``(n + m, d)``."""
        return self._projected(*self._learn(X, y, sample_domain))

    @or_as_before
    def _learn(self, X: Any, y: Any, sample_domain: Any) -> tuple[np.ndarray, np.ndarray]:
        """The rows as numbers, and which of them are of the target."""
        where = f"{type(self).__name__}.fit"
        checked: Any = validate_data  # its annotations do not know what it returns
        X, y = checked(self, X, y, dtype=np.float64)
        expect_squares(X, f"{where}(X=...)")
        of_target = split_domains(sample_domain, y, len(X), where)
        classes, positions = read_labels(y[~of_target], f"{where}(y=...)")
        options = discriminant_options(self, classes, X.shape[1])
        result = discriminant_transport(
            X[~of_target], positions, X[of_target], len(classes), options, where
        )
        self.components_, self.coupling_ = result.components, result.coupling
        self.source_mean_, self.target_mean_ = result.source_mean, result.target_mean
        self.transduction_ = classes[result.labels_path[-1]]
        self.n_iter_ = len(result.labels_path)
        return X, of_target

    def _projected(self, X: np.ndarray, of_target: np.ndarray) -> np.ndarray:
        means = np.where(of_target[:, None], self.target_mean_, self.source_mean_)
        return (X - means) @ self.components_

    def transform(
        self, X: Any, y: Any = None, *, sample_domain: Any = None, allow_source: bool = False
    ) -> np.ndarray:
        """Project rows, those of the target by its mean and those of the source by its own.

        Args:
            X: Shape ``(n, p)``.
            y: Not used.
            sample_domain: Of each row; None where all are of the target.
            allow_source: Not used: rows of the source are always welcome.
        """
        check_is_fitted(self)
        where = f"{type(self).__name__}.transform"
        checked: Any = validate_data
        X = checked(self, X, reset=False, dtype=np.float64)
        expect_squares(X, f"{where}(X=...)")
        of_target = np.full(len(X), True)
        if sample_domain is not None:
            domains = np.asarray(sample_domain)
            expect(
                domains.shape == (len(X),), f"{where}(sample_domain=...)",
                f"a domain for each of {len(X)} rows", f"shape {domains.shape}",
            )  # fmt: skip
            of_target = domains < 0
        return self._projected(X, of_target)
