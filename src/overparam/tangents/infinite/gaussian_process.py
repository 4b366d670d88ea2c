"""The tangent kernel of infinite width as a kernel of scikit-learn."""

import numpy as np
import torch
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from overparam.tangents.infinite.dense import infinite_ntk

# Step in a logarithm whose central difference is good to ten digits.
_STEP = 1e-5


class NTKKernel(Kernel):
    """Tangent kernel of infinitely wide fully connected networks, for scikit-learn.

    Calling it gives `infinite_ntk` with the same arguments and normalisation, of NumPy
    arrays. `GaussianProcessRegressor` and `SVC` take it as `kernel`; `KernelRidge` takes
    ``kernel="precomputed"`` and the matrix. It adds to and multiplies with other kernels.

    Args:
        depth: Number of hidden layers L ≥ 0.
        activation: "relu", "erf", "gelu", "identity", "tanh", "swish", or a smooth function.
        weight_variance: σ_w² > 0 of every layer.
        bias_variance: σ_b² ≥ 0 of every layer.
        weight_variance_bounds: Between which a Gaussian process looks for the likeliest σ_w²,
            or "fixed", the default. With ReLU and no biases σ_w² only scales the kernel.
        bias_variance_bounds: The same for σ_b², which must then be positive.

    Raises:
        ValueError: As `infinite_ntk`, when called.

    Cost:
        That of `infinite_ntk`, twice more for the derivative by each free hyperparameter
        (central differences of its logarithm).

    Example:
        >>> from sklearn.gaussian_process import GaussianProcessRegressor
        >>> x, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, -1.0])
        >>> process = GaussianProcessRegressor(NTKKernel(depth=1)).fit(x, y)
        >>> process.predict(x).round(6)
        array([ 1., -1.])

    References:
        Lee et al. (2019), arXiv:1902.06720: a wide network trained to convergence on squared
        error predicts, on average over initialisations, as kernel regression with this kernel.
        The predicted *variance* of a Gaussian process is not that of the networks.
    """

    def __init__(
        self,
        depth: int = 3,
        activation: str = "relu",
        weight_variance: float = 2.0,
        bias_variance: float = 0.0,
        weight_variance_bounds: tuple[float, float] | str = "fixed",
        bias_variance_bounds: tuple[float, float] | str = "fixed",
    ) -> None:
        self.depth = depth
        self.activation = activation
        self.weight_variance = weight_variance
        self.bias_variance = bias_variance
        self.weight_variance_bounds = weight_variance_bounds
        self.bias_variance_bounds = bias_variance_bounds

    @property
    def hyperparameter_weight_variance(self) -> Hyperparameter:
        """σ_w² as scikit-learn describes it."""
        return Hyperparameter("weight_variance", "numeric", self.weight_variance_bounds)

    @property
    def hyperparameter_bias_variance(self) -> Hyperparameter:
        """σ_b² as scikit-learn describes it."""
        return Hyperparameter("bias_variance", "numeric", self.bias_variance_bounds)

    def __call__(
        self, X: np.ndarray, Y: np.ndarray | None = None, eval_gradient: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The kernel matrix, and its derivatives by the logarithms of free hyperparameters.

        Args:
            X: n1 inputs.
            Y: n2 inputs; `None` means `X`.
            eval_gradient: Whether to return the derivatives, (n1, n1, free), as well; only
                for `Y=None`.

        Raises:
            ValueError: As `infinite_ntk`, or for a derivative between two sets of inputs.
        """
        if not eval_gradient:
            return self._matrix(X, Y)
        if Y is not None:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        kernel = self._matrix(X, None)
        slopes = [
            (self._stepped(number, _STEP)._matrix(X) - self._stepped(number, -_STEP)._matrix(X))
            / (2 * _STEP)
            for number in range(self.n_dims)
        ]
        return kernel, np.stack(slopes, axis=-1) if slopes else np.empty((*kernel.shape, 0))

    def diag(self, X: np.ndarray) -> np.ndarray:
        """The kernel of each input with itself, without the others."""
        return np.array([self._matrix(row[None])[0, 0] for row in np.atleast_2d(X)])

    def is_stationary(self) -> bool:
        """No: it depends on lengths and angles."""
        return False

    def __repr__(self) -> str:
        return (
            f"NTKKernel(depth={self.depth}, activation={self.activation!r}, "
            f"weight_variance={self.weight_variance:.3g}, bias_variance={self.bias_variance:.3g})"
        )

    def _stepped(self, number: int, step: float) -> "NTKKernel":
        """A copy with one free logarithm moved."""
        theta = self.theta.copy()
        theta[number] += step
        copy = NTKKernel(**self.get_params())
        copy.theta = theta
        return copy

    def _matrix(self, X: np.ndarray, Y: np.ndarray | None = None) -> np.ndarray:
        """`infinite_ntk` of arrays."""
        return infinite_ntk(
            _tensor(X),
            None if Y is None else _tensor(Y),
            depth=self.depth,
            activation=self.activation,
            weight_variance=float(self.weight_variance),
            bias_variance=float(self.bias_variance),
        ).numpy()


def _tensor(batch: np.ndarray) -> torch.Tensor:
    """Rows in double precision; a single row may come as a vector."""
    return torch.as_tensor(np.atleast_2d(batch), dtype=torch.float64)
