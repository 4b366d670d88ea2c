"""scikit-learn's Gaussian process, its search for widths with one likelihood in closed form."""

from typing import Any

import numpy as np
from scipy.linalg import lapack
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

_lapack: Any = lapack  # its functions are made when it is imported
_RESTARTS = 8  # of two restarts one search in a few ended at a constant; of eight none did


class MaternProcess(GaussianProcessRegressor):
    """A Gaussian process with a Matérn kernel of ν = 5/2, a width for each parameter, and noise.

    Everything is scikit-learn's but the likelihood that the search asks for, some hundred times
    for each of nine starts: of this one kernel, its value and slopes are a few lines.
    """

    def log_marginal_likelihood(
        self, theta: Any = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """Of the logarithms of scale, widths and noise, as scikit-learn orders them.

        With s = √5 |(x − x′)/w| the kernel is c (1 + s + s²/3) e⁻ˢ, its slope by log wₐ
        c (5/3)(1 + s) e⁻ˢ ((xₐ − x′ₐ)/wₐ)². Slopes of the likelihood are ½ tr((αα⊤ − K⁻¹) ∂K).
        """
        if theta is None or not eval_gradient:
            return super().log_marginal_likelihood(theta, eval_gradient, clone_kernel)
        scale, noise = np.exp(theta[0]), np.exp(theta[-1])
        apart = self._apart() * np.exp(-2 * theta[1:-1])[:, None]
        s = np.sqrt(5 * apart.sum(0))
        fading = scale * np.exp(-s)
        kernel = fading * (1 + s + s * s / 3)
        y, n = self.y_train_, len(self.y_train_)
        noisy = kernel.reshape(n, n).copy()
        noisy.flat[:: n + 1] += noise + self.alpha
        factor, problem = _lapack.dpotrf(noisy, lower=1, overwrite_a=1)
        if problem:
            return -np.inf, np.zeros_like(theta)
        logarithm = np.log(factor.diagonal()).sum()
        weights, _ = _lapack.dpotrs(factor, y, lower=1)
        half, _ = _lapack.dpotri(factor, lower=1, overwrite_c=1)  # the lower half of the inverse
        value = -(y @ weights + n * np.log(2 * np.pi)) / 2 - logarithm
        rest = weights[:, None] * weights - half
        rest -= np.tril(half, -1).T
        by_scale = rest.ravel() @ kernel
        by_width = apart @ (rest.ravel() * fading * (1 + s))
        return value, np.r_[by_scale, 5 / 3 * by_width, noise * rest.trace()] / 2

    def _apart(self) -> Any:
        """Squared differences of designs, a row for each parameter; found once for a fit."""
        x: Any = self.X_train_
        if getattr(self, "_apart_of", None) is not x:
            self._squares = ((x.T[:, :, None] - x.T[:, None]) ** 2).reshape(x.shape[1], -1)
            self._apart_of = x
        return self._squares


def matern_process(parameters: int, seed: int) -> MaternProcess:
    """One to be fitted to designs of so many parameters, each in parts of its window."""
    ones: Any = np.ones(parameters)
    widths = Matern(ones, (0.05, 50.0), nu=2.5)
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * widths + WhiteKernel(1e-6, (1e-10, 1e-1))
    return MaternProcess(
        kernel, normalize_y=True, n_restarts_optimizer=_RESTARTS, random_state=seed
    )
