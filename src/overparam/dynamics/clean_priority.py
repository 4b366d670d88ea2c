"""When to stop on noisy labels: the end of the phase in which a network learns clean ones."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from overparam._errors import expect

# A mixture is fitted to at most this many losses; the posterior is evaluated on all.
_FITTED = 20_000
_LEAST = 20


@dataclass(frozen=True)
class LossMixture:
    """A two-component Gaussian mixture of per-sample losses.

    Attributes:
        posterior: Probability that a sample belongs to the component of high loss; `nan` where
            the loss is not known, and everywhere if the two components coincide.
        means: Mean of the low and of the high component, in units of the losses.
        weight: Share of the high component: an estimate of the noise rate if the losses
            separate clean from mislabelled samples.
    """

    posterior: Float[np.ndarray, " n"]
    means: tuple[float, float]
    weight: float

    @property
    def suspects(self) -> Bool[np.ndarray, " n"]:
        """The samples more likely in the component of high loss."""
        return self.posterior > 0.5


def loss_mixture(losses: Float[np.ndarray, " n"]) -> LossMixture:
    """The two groups that a set of per-sample losses falls into, by maximum likelihood.

    Losses are scaled to [0, 1] first. The posterior is made monotone in the loss: below the
    low mean and above the high one it keeps the value it has there, which a mixture of two
    Gaussians of different widths does not by itself.

    Args:
        losses: One number per sample, larger for more suspicious; `nan` is not known.

    Returns:
        The mixture; all `nan` with fewer than 20 known losses, or equal ones.

    Cost:
        O(n) per iteration of the fit, at most 20,000 losses being fitted.

    Example:
        >>> found = loss_mixture(np.array([0.1, 0.2, 0.15, 0.12] * 10 + [3.0, 3.1] * 5))
        >>> int(found.suspects.sum()), round(found.weight, 2)
        (10, 0.2)

    References:
        Li, Socher, Hoi (2020), arXiv:2002.07394: the mixture on scaled losses, and its
        regularisation of 5e-4. We fit it to losses averaged over epochs.
    """
    losses = np.asarray(losses, dtype=np.float64)
    posterior = np.full(len(losses), math.nan)
    nothing = LossMixture(posterior, (math.nan, math.nan), math.nan)
    known = np.isfinite(losses)
    values = losses[known]
    if len(values) < _LEAST or np.ptp(values) <= 1e-9 * np.abs(values).max():
        return nothing
    low, spread = values.min(), np.ptp(values)
    scaled = (values - low) / spread
    fitted = np.random.default_rng(0).choice(scaled, _FITTED) if len(values) > _FITTED else scaled
    ends = np.quantile(fitted, [0.1, 0.9])
    if ends[0] == ends[1]:
        ends = np.array([fitted.min(), fitted.max()])
    mixture = GaussianMixture(
        2, reg_covar=5e-4, max_iter=100, random_state=0, means_init=ends[:, None],
        weights_init=[0.5, 0.5], precisions_init=np.full((2, 1, 1), 1 / max(fitted.var(), 5e-4)),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(fitted[:, None])
    means = np.asarray(mixture.means_).ravel()
    order = np.argsort(means)
    if means[order[1]] - means[order[0]] < 1e-3:
        return nothing
    inside = np.clip(scaled, means[order[0]], means[order[1]])
    posterior[known] = mixture.predict_proba(inside[:, None])[:, order[1]]
    low_mean, high_mean = low + spread * means[order]
    return LossMixture(
        posterior,
        (float(low_mean), float(high_mean)),
        float(np.asarray(mixture.weights_)[order[1]]),
    )


@dataclass(frozen=True)
class StopSignal:
    """What the per-sample losses say at the end of an epoch.

    Attributes:
        armed: Whether the suspects' loss has risen above chance, the sign that clean labels
            are being learned first. Until then the signal abstains.
        stop: Whether that phase has ended; stays true.
        suspect_loss: Mean present loss of the suspects; `nan` without suspects.
        noise_rate: Share of the suspects among the samples seen; `nan` where losses do not
            split into two groups.
        n_suspects: Their number.
        rho: The gradient ratio passed in, or `nan`.
    """

    armed: bool
    stop: bool
    suspect_loss: float
    noise_rate: float
    n_suspects: int
    rho: float = math.nan


class CleanPriorityStop:
    """Early stopping on noisy labels that needs no clean ones and abstains without noise.

        arm:   L_S > arm · ln C  and  |S| ≥ least · n,    L_S = mean present loss of suspects S
               (not in the first epoch, whose losses are those of a network that guesses)
        stop:  armed and ( L_S < (1 − fall) · max L_S  or  ρ < 1 )

    S is the high component of a mixture fitted to the losses averaged over the epochs so far.
    While a network learns the clean majority first, its loss on wrong labels rises above that
    of guessing, ln C; when it starts to fit them, their loss falls. On clean labels most hard
    examples stay below chance; the few that are wrong with confidence (one in a hundred of
    MNIST) are too few to arm it.

    It abstains, too, for noise that depends on the class (every 3 called an 8): the loss is
    then below chance throughout. Rare classes can be mistaken for noise.

    Args:
        num_classes: C ≥ 2.
        arm: Factor over ln C at which the signal arms.
        fall: Relative fall of L_S from its largest value since arming, at which to stop.
        least: Share of suspects from which it may arm.

    Example:
        >>> signal = CleanPriorityStop(num_classes=2)
        >>> averaged = np.array([0.1] * 60 + [2.0] * 20)
        >>> for wrong in (0.9, 1.0, 1.1, 0.9):
        ...     now = signal.update(averaged, np.where(averaged > 1, wrong, 0.1))
        ...     print(now.armed, now.stop)
        False False
        True False
        True False
        True True

    References:
        Liu, Zhu, Belkin (2023), arXiv:2306.02533: clean-priority learning and the gradient
        ratio ρ. Arming on the loss of the suspects is ours.
    """

    def __init__(
        self, num_classes: int, *, arm: float = 1.05, fall: float = 0.03, least: float = 0.03
    ) -> None:
        where = "CleanPriorityStop"
        expect(num_classes >= 2, f"{where}(num_classes=...)", "at least 2 classes", num_classes)
        expect(arm >= 1, f"{where}(arm=...)", "a factor ≥ 1", arm)
        expect(0 < fall < 1, f"{where}(fall=...)", "a number between 0 and 1", fall)
        expect(0 <= least < 1, f"{where}(least=...)", "a share in [0, 1)", least)
        self.num_classes, self.arm, self.fall, self.least = num_classes, arm, fall, least
        self.armed = self.stopped = False
        self.epochs = 0
        self.peak = -math.inf

    def update(
        self,
        mean_losses: Float[np.ndarray, " n"],
        losses: Float[np.ndarray, " n"],
        *,
        rho: float = math.nan,
    ) -> StopSignal:
        """Take an epoch.

        Args:
            mean_losses: Loss of each sample averaged over the epochs so far; `nan` if unseen.
            losses: Loss of each sample in this epoch; `nan` if it was not seen in it.
            rho: ‖gradient of the others‖ / ‖gradient of the suspects‖, if it was measured.
        """
        mixture = loss_mixture(mean_losses)
        present = np.asarray(losses)[mixture.suspects]
        present = present[np.isfinite(present)]
        suspect_loss = float(present.mean()) if len(present) else math.nan
        count, seen = int(mixture.suspects.sum()), int(np.isfinite(mean_losses).sum())
        many = count >= self.least * seen and self.epochs > 0
        self.epochs += 1
        if many and suspect_loss > self.arm * math.log(self.num_classes):
            self.armed = True
        if self.armed and not math.isnan(suspect_loss):
            self.peak = max(self.peak, suspect_loss)
            fallen = suspect_loss < (1 - self.fall) * self.peak
            self.stopped = bool(self.stopped or fallen or rho < 1)
        rate = math.nan if math.isnan(mixture.weight) else count / seen
        return StopSignal(self.armed, self.stopped, suspect_loss, rate, count, rho)

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs."""
        names = ("armed", "stopped", "peak", "epochs")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for name, value in state.items():
            setattr(self, name, value)
