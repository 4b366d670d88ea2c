"""Trees that split where a model is sensitive and fit a feature learner in every leaf."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.utils.validation import check_array

from overparam._as_before import or_as_before
from overparam.kernels._classes import read_labels
from overparam.kernels._settings import expect_settings
from overparam.kernels._tree import SETTINGS, AGOPTree
from overparam.kernels.rfm import RFMClassifier, RFMRegressor
from overparam.kernels.tree_splits import Split as Split  # pickled trees name it here


class AGOPTreeRegressor(RegressorMixin, AGOPTree):
    """Tree that splits along the most sensitive direction, with an estimator in every leaf.

        split a node at the median of ⟨v, x⟩,   v = top eigenvector of the AGOP of a model there

    The direction is that of a plain kernel ridge regression on the node's rows, whose columns
    are divided by their standard deviation. For tables too large for one kernel matrix, and for
    features that differ from place to place: every leaf learns its own. Where one leaf would
    fit into memory, splitting may *cost* accuracy, since each leaf sees fewer rows and a slanted
    border blurs a straight one; `split="axis"` keeps it sharp where a single column decides.

    Args:
        estimator: Cloned for every leaf; None is `RFMRegressor()`.
        max_leaf_size: Nodes with more rows are split. A kernel matrix of 10 000 rows is 800 MB
            in double precision.
        min_leaf_size: Rows that each side of a split must have. A node that no threshold
            splits so, as with equal rows, stays a leaf, whatever its size.
        split: ``"agop"``; ``"axis"``, the column with the largest diagonal entry of the AGOP;
            or ``"pca"``, the first principal component, which ignores the target.
        split_estimator: A regressor with a method ``gradient(X)`` of shape (n, outputs, d), for
            the direction; None is `RFMRegressor(n_iter=0)`.
        split_samples: Most rows, drawn at random, that it is fitted to.
        split_temperature: None or 0: a row is predicted by its leaf. T > 0: by the average of
            leaves with weights Π sigmoid(± (⟨v, x⟩ − b)/(T · spread)), the heaviest 12 at most
            that make up 99 %. ``"tune"``: by the squared error of rows held out from the fit,
            0 or one of 20 values from 0.025 to 4.5; then leaves are fitted again, to all rows.
        validation_fraction: Of the rows, held out for "tune".
        categorical_features: As for `RFMRegressor`; a categorical column becomes a coordinate a
            level, for splits and leaves.
        n_jobs: Leaves fitted at a time, as for joblib.
        random_state: Of the rows drawn and of the leaves; None is 0, and leaves NumPy's own
            generator as it was.

    Attributes:
        leaves_: The fitted estimators.
        leaf_sizes_: Their numbers of rows, those that stand there twice counted once.
        feature_importances_: Shares of the columns in what changes the predictions.
        encoded_names_: Names of the coordinates that splits and leaves see.
        tree_: A `Split`, or 0 for a single leaf.
        temperature_: The temperature used; 0 is hard routing.

    Raises:
        ValueError: NaN or infinite inputs, a parameter out of range.
        TypeError: An estimator without `fit`, a split estimator without `gradient`.

    Cost:
        A level of the tree takes O(n d) and a fit to `split_samples` rows a node; a leaf what
        its estimator does on `max_leaf_size` rows. Prediction is a path and a leaf.

    Example:
        The sign of the first column decides which of the others matter:

        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(600, 6))
        >>> y = np.where(x[:, 0] > 0, 3 + x[:, 1], -3 + x[:, 4])
        >>> model = AGOPTreeRegressor(max_leaf_size=400, random_state=0).fit(x, y)
        >>> left, right = (leaf.feature_importances_[1:].argmax() + 1 for leaf in model.leaves_)
        >>> int(left), int(right)
        (4, 1)

    References:
        Beaglehole, Holzmüller, Radhakrishnan, Belkin (2025), arXiv:2508.10053. Ties differ: one
        rule, with a threshold between two values, routes rows in training and prediction.
    """

    @or_as_before
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "AGOPTreeRegressor":
        """Fit.

        Args:
            X: A table: data frame or array, finite but for categorical columns.
            y: Targets, one or several columns.
            sample_weight: ≥ 0; a weight of 2 is a row that occurs twice. Splits halve their sum,
                and leaves are fitted with them.

        Returns:
            The estimator.
        """
        expect_settings(self, SETTINGS)
        x, y, weights = self._learn_table(X, y, sample_weight)
        y = check_array(y, dtype="float64", ensure_2d=False, input_name="y")
        self._flat = y.ndim == 1
        self._grow(x, y, weights)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets, in the shape of those fitted."""
        outputs = self._averaged(X)
        return outputs[:, 0] if self._flat else outputs

    def _default(self) -> Any:
        return RFMRegressor()

    def _constant(self) -> Any:
        return DummyRegressor()

    def _outputs(self, leaf: Any, x: np.ndarray) -> np.ndarray:
        outputs = np.asarray(leaf.predict(x), dtype=np.float64)
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def _slopes(self, leaf: Any, x: np.ndarray) -> np.ndarray:
        slopes = np.asarray(leaf.gradient(x), dtype=np.float64)
        return slopes.reshape(len(x), -1, x.shape[1])

    def _unit(self, outputs: np.ndarray) -> np.ndarray:
        spread = outputs.std(axis=0)
        return np.where(spread > 0, spread, 1.0)

    def _numbers(self, y: np.ndarray) -> np.ndarray:
        return y[:, None] if y.ndim == 1 else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class AGOPTreeClassifier(ClassifierMixin, AGOPTree):
    """Tree that splits along the most sensitive direction, with a classifier in every leaf.

    Everything is as for `AGOPTreeRegressor`. The direction is that of a regression on the
    indicators of the classes; probabilities are averaged over leaves.

    Args: As for `AGOPTreeRegressor`; `estimator` None is `RFMClassifier()`.

    Attributes:
        classes_: The labels, sorted. Leaves know them as their positions.

    Further attributes are those of `AGOPTreeRegressor`.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(300, 4))
        >>> y = np.where(x[:, 0] * x[:, 1] > 0, "same", "other")
        >>> model = AGOPTreeClassifier(max_leaf_size=200, random_state=0).fit(x, y)
        >>> len(model.leaves_), model.predict([[1, 1, 0, 0], [1, -1, 0, 0]]).tolist()
        (2, ['same', 'other'])

    References:
        Beaglehole, Holzmüller, Radhakrishnan, Belkin (2025), arXiv:2508.10053.
    """

    @or_as_before
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "AGOPTreeClassifier":
        """Fit.

        Args:
            X: A table, as for `AGOPTreeRegressor`.
            y: Labels.
            sample_weight: As for `AGOPTreeRegressor`.

        Returns:
            The estimator.
        """
        expect_settings(self, SETTINGS)
        x, y, weights = self._learn_table(X, y, sample_weight)
        self.classes_, labels = read_labels(y, type(self).__name__)
        self._grow(x, labels, weights)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes."""
        return self._averaged(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class."""
        chosen = self.predict_proba(X).argmax(axis=1)
        return self.classes_[chosen]

    def _default(self) -> Any:
        return RFMClassifier()

    def _constant(self) -> Any:
        return DummyClassifier(strategy="prior")

    def _outputs(self, leaf: Any, x: np.ndarray) -> np.ndarray:
        outputs = np.zeros((len(x), len(self.classes_)))
        if hasattr(leaf, "predict_proba"):
            outputs[:, leaf.classes_] = leaf.predict_proba(x)
        else:
            outputs[np.arange(len(x)), leaf.predict(x)] = 1.0
        return outputs

    def _slopes(self, leaf: Any, x: np.ndarray) -> np.ndarray:
        slopes = np.zeros((len(x), len(self.classes_), x.shape[1]))
        slopes[:, leaf.classes_] = leaf.gradient(x)
        return slopes

    def _unit(self, outputs: np.ndarray) -> np.ndarray:
        return np.ones(outputs.shape[1])

    def _numbers(self, y: np.ndarray) -> np.ndarray:
        return np.eye(len(self.classes_))[y]
