"""A scikit-learn classifier that is trained in one domain and used in another."""

import warnings
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from overparam._as_before import or_as_before
from overparam._errors import expect
from overparam._user_line import user_level
from overparam.transport.agreement import Agreement, label_agreement
from overparam.transport.discriminant import (
    DiscriminantOptions,
    DiscriminantResult,
    discriminant_transport,
    principal_directions,
)
from overparam.transport.domains import split_domains
from overparam.transport.gaussian import GaussianClasses
from overparam.transport.scatter import class_scatter, discriminant_directions
from overparam.transport.settings import (
    discriminant_options,
    expect_columns,
    expect_squares,
    read_labels,
    read_rows,
)


class DiscriminantTransportClassifier(ClassifierMixin, BaseEstimator):
    """Classify rows of a target that has no labels, with a source that has them.

    Unsupervised domain adaptation by optimal transport with discriminant analysis: a coupling of
    the two sets carries the labels over, the labels say in which directions classes differ, and
    the next coupling is looked for in those. By turns, from the directions of the source alone:

    1. T minimises Σ T_ij M_ij + reg Σ T log T, with M_ij = ‖Wᵀ(x_i − y_j)‖² and a share of the
       raw distances, each over its median.
    2. Soft labels P = TᵀY, rows normalised.
    3. W are the top generalised eigenvectors of (1−θ) S_b + θ S_bᵗ by
       (1−θ) S_w + θ S_wᵗ + μ S_T: scatters between and within classes of source and target, and
       of the coupled pairs.

    until the labels settle. What is monitored is the labels: no objective falls with certainty.
    New rows are labelled in the projection by normal laws of one covariance, learned from the
    source and from the target with its coupled labels.

    **It can do harm**: where the shift is small, where the shares of the classes differ (see
    `target_priors`), or where a plain nearest neighbour was fine. `agreement_` compares the coupled
    labels with those of the source alone without knowing any label of the target, and `fit`
    warns once where adapting seems no better.

    Args:
        theta: θ in [0, 1], weight of the target's own labels. 0 does without them, and is safer.
        mu: μ ≥ 0, weight of the scatter of coupled pairs; 0 lets labels alone say what to
            look at.
        raw_share: Share of the raw distances in the cost, in [0, 1]: more where all features
            matter and few classes would leave few directions, 0 where some features mislead.
        reg: Entropic regularisation, in units of the median cost; 0 for exact couplings.
        shrinkage: γ in [0, 1]: how far scatters within classes are drawn to a sphere.
        n_components: Directions; None is one less than classes.
        pca_components: Principal directions of both sets to project to first, of images some 40;
            None keeps all, "auto" 500 above 2000 columns and all below.
        center: Take its own mean from each set first.
        target_priors: Shares of the classes in the target, in the order of `classes_`: those of
            the "source", an array, or "estimate". With those of the source a coupling must label
            as many target rows with a class as the source has.
        max_iter: Rounds, at most.
        warn: Whether `fit` warns where adapting seems to do harm.

    Attributes:
        classes_: Labels in order.
        components_: W, shape ``(p, d)``.
        coupling_: T, shape ``(n, m)``, of mass 1; None without a target.
        transduction_: Coupled labels of the target rows.
        label_distributions_: P, shape ``(m, C)``.
        labels_path_: Coupled labels after every round.
        target_priors_: Shares of the classes in the target, ``(C,)``.
        agreement_: `Agreement` of the coupled labels and of those by the source alone.
        n_iter_: Rounds.
        converged_: Whether fewer than 1 in 1000 labels changed in the last one.
        n_features_in_: p.

    Raises:
        ValueError: From `fit` and `predict`: settings out of range, one class only, tables that
            are not finite or of another number of columns.
        MemoryError: If n·m numbers do not fit four times.
        ImportError: If POT is not installed.

    Cost:
        A round of 400 × 400 rows takes 20 ms, 700 × 700 rows of 40 columns 60 ms; memory 4nm
        numbers.

    Example:
        >>> import numpy as np
        >>> draw = np.random.default_rng(0)
        >>> y = np.arange(90) % 3
        >>> x = draw.normal(size=(90, 5)) + 4 * np.eye(3, 5)[y]
        >>> model = DiscriminantTransportClassifier().fit(x, y)  # without a target: plain
        >>> model.predict([[4, 0, 0, 0, 0]])
        array([0])

    Source:
        After Jin, Liu and Xia, "Optimal transport with discriminant analysis", IEEE CNS 2020,
        doi 10.1109/CNS48642.2020.9162258: the problem and the iteration are theirs, steps and
        constants are our own.
    """

    # What skada's pipelines hand over, by scikit-learn's routing of metadata.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True}

    classes_: np.ndarray
    components_: np.ndarray
    coupling_: np.ndarray | None
    agreement_: Agreement | None

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
        warn: bool = True,
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
        self.warn = warn

    @or_as_before
    def fit(
        self, X: Any, y: Any, Xt: Any = None, *, sample_domain: Any = None
    ) -> "DiscriminantTransportClassifier":
        """Learn from labelled source rows, and from target rows if there are any.

        Args:
            X: Source, shape ``(n, p)``.
            y: Its labels, ``(n,)``.
            Xt: Target, shape ``(m, p)``; None for a discriminant of the source alone.
            sample_domain: In the way of skada, instead of Xt: rows of X with a number below 0 are
                the target, and their labels are not looked at.
        """
        where = f"{type(self).__name__}.fit"
        checked: Any = validate_data  # its annotations do not know what it returns
        source, y = checked(self, X, y, dtype=np.float64)
        expect_squares(source, f"{where}(X=...)")
        if sample_domain is not None:
            expect(Xt is None, f"{where}(Xt=...)", "None with sample_domain", "a target")
            of_target = split_domains(sample_domain, y, len(source), where)
            Xt = source[of_target]
            source, y = source[~of_target], y[~of_target]
        self.classes_, positions = read_labels(y, f"{where}(y=...)")
        options = discriminant_options(self, self.classes_, source.shape[1])
        expect(
            isinstance(self.warn, (bool, np.bool_)), f"{type(self).__name__}(warn=...)",
            "True or False", self.warn,
        )  # fmt: skip
        members = np.eye(len(self.classes_))[positions]
        if Xt is None:
            self._fit_source(source, members, options)
            return self
        target = read_rows(Xt, f"{where}(Xt=...)", source.shape[1])
        expect_columns(Xt, getattr(self, "feature_names_in_", None), f"{where}(Xt=...)", "X")
        result = discriminant_transport(
            source, positions, target, len(self.classes_), options, where
        )
        self._keep(result)
        rows = [(source - result.source_mean), (target - result.target_mean)]
        found = np.eye(len(self.classes_))[result.labels_path[-1]]
        self._law = GaussianClasses.of(
            np.concatenate(rows) @ result.components,
            np.concatenate([members, found]),
            result.priors,
            options.shrinkage,
        )
        if result.basis is not None:
            source, target = source @ result.basis, target @ result.basis
        self.agreement_ = label_agreement(source, positions, target, result.labels_path[-1])
        if self.warn and self.agreement_.gain <= 0:
            warnings.warn(_harm(where, self.agreement_), stacklevel=user_level())
        return self

    def _fit_source(
        self, source: np.ndarray, members: np.ndarray, options: DiscriminantOptions
    ) -> None:
        """The same without a target: the first directions, and laws from the source."""
        self._mean = source.mean(0) if options.center else np.zeros(source.shape[1])
        rows = source - self._mean
        basis = principal_directions(rows, rows[:0], options.pca_components)
        if basis is not None:
            rows = rows @ basis
        count = min(options.n_components or members.shape[1] - 1, rows.shape[1])
        scatters = class_scatter(rows, members)
        directions = discriminant_directions(*scatters, count, options.shrinkage)
        self.components_ = directions if basis is None else basis @ directions
        self.target_priors_ = members.mean(0)
        self._law = GaussianClasses.of(
            rows @ directions, members, self.target_priors_, options.shrinkage
        )
        self.coupling_ = self.transduction_ = self.label_distributions_ = None
        self.agreement_, self.labels_path_ = None, []
        self.n_iter_, self.converged_ = 1, True

    def _keep(self, result: DiscriminantResult) -> None:
        self._mean = result.target_mean
        self.components_ = result.components
        self.coupling_ = result.coupling
        self.label_distributions_ = result.probabilities
        self.labels_path_ = [self.classes_[found] for found in result.labels_path]
        self.transduction_ = self.labels_path_[-1]
        self.target_priors_ = result.priors
        self.n_iter_, self.converged_ = len(result.labels_path), result.converged

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes for rows of the target, shape ``(n, C)``.

        Args:
            X: Shape ``(n, p)``.
        """
        check_is_fitted(self)
        checked: Any = validate_data
        rows = checked(self, X, reset=False, dtype=np.float64)
        expect_squares(rows, f"{type(self).__name__}.predict(X=...)")
        return self._law.probabilities((rows - self._mean) @ self.components_)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row of the target."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]


def _harm(where: str, agreement: Agreement) -> str:
    """The warning, with what to do instead."""
    plain = {
        "neighbours": "the nearest source row; KNeighborsClassifier(1) needs no adaptation",
        "discriminant": "a discriminant of the source; fit without Xt gives one",
    }[agreement.judge]
    return (
        f"`{where}(Xt=...)`: adapting may do harm. Labels carried over by the coupling agree with "
        f"one another to {agreement.adapted:.3f}, those of the source alone to "
        f"{agreement.unadapted:.3f}. The latter are by {plain}. If the shares of the classes "
        "differ, pass target_priors='estimate'; warn=False holds this back."
    )
