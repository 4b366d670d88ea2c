"""What discriminant transport is compared with, each with a discriminant or neighbour behind it."""

import warnings

import numpy as np
from scipy.linalg import fractional_matrix_power
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier

from overparam.transport.couplings import import_pot


def discriminant(
    x: np.ndarray, y: np.ndarray, target: np.ndarray, right: np.ndarray
) -> float:  # fmt: skip
    """Accuracy of shrunk discriminant analysis."""
    plain = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)
    return float(plain.fit(x, y).score(target, right))


def coral(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Source rows with the mean and covariance of the target (Sun, Feng, Saenko 2016)."""
    p = x.shape[1]
    covariances = [np.cov(rows.T) + 1e-3 * np.trace(np.cov(rows.T)) / p * np.eye(p)
                   for rows in (x, target)]  # fmt: skip
    whiten = np.real(fractional_matrix_power(covariances[0], -0.5))
    colour = np.real(fractional_matrix_power(covariances[1], 0.5))
    return (x - x.mean(0)) @ whiten @ colour + target.mean(0)


def peers(
    x: np.ndarray, y: np.ndarray, target: np.ndarray, right: np.ndarray, *, nearest: bool
) -> dict[str, float]:
    """Accuracies of methods of POT and of CORAL, source rows moved and then learned from.

    Args:
        x: Source rows.
        y: Their labels.
        target: Target rows.
        right: Their labels.
        nearest: Whether a nearest neighbour is tried behind each as well.
    """
    ot = import_pot("jin2020_otda")
    methods = {
        "linear": ot.da.LinearTransport(reg=1e-3),
        "sinkhorn": ot.da.SinkhornTransport(reg_e=0.05, norm="median"),
        "lpl1": ot.da.SinkhornLpl1Transport(reg_e=0.05, reg_cl=0.1, norm="median"),
    }
    moved = {"coral": coral(x, target)}
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of POT, on convergence and on its own future
        for name, method in methods.items():
            method.fit(Xs=x, ys=y, Xt=target)
            moved[name] = method.transform(Xs=x)
            if name == "sinkhorn" and nearest:
                labels = method.transform_labels(y).argmax(1)
                found["sinkhorn_labels"] = float(np.mean(np.unique(y)[labels] == right))
    for name, rows in moved.items():
        found[name] = discriminant(rows, y, target, right)
        if nearest and name != "coral":
            neighbour = KNeighborsClassifier(1).fit(rows, y)
            found[f"{name}_neighbour"] = float(neighbour.score(target, right))
    if nearest:
        found.pop("coral")  # the best variant of optimal transport is asked for
    return found
