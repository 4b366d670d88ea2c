"""When to stop on noisy labels: the end of the phase in which a network learns clean ones."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from overparam._as_before import or_as_before
from overparam._checked import checked
from overparam._deprecated import OldName, renamed
from overparam._errors import expect
from overparam._random_numbers import python_numbers_kept
from overparam._switches import quietly

# A mixture is fitted to at most this many losses; the posterior is evaluated on all.
_FITTED = 20_000
_LEAST = 20
_STATE = ("armed", "stopped", "peak", "largest_loss", "largest", "epochs")


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

    posterior: Float[np.ndarray, "n"]
    means: tuple[float, float]
    weight: float

    @property
    def suspects(self) -> Bool[np.ndarray, "n"]:
        """The samples more likely in the component of high loss."""
        return self.posterior > 0.5


@checked(result="anything")
def loss_mixture(losses: Float[np.ndarray, "n"]) -> LossMixture:
    """The two groups that a set of per-sample losses falls into, by maximum likelihood.

    Losses are scaled to [0, 1] first. The posterior is made monotone in the loss: below the
    low mean and above the high one it keeps the value it has there, which a mixture of two
    Gaussians of different widths does not by itself.

    Args:
        losses: One number per sample, larger for more suspicious; `nan` is not known, and
            neither is its posterior.

    Raises:
        ValueError: Fewer than 20 known losses, losses that are all equal, or that do not split.

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
    found = split_losses(losses)
    known = int(np.isfinite(losses).sum())
    expect(
        not math.isnan(found.weight),
        "loss_mixture(losses=...)",
        f"at least {_LEAST} known losses that fall into two groups",
        f"{known} known of {len(losses)}, which do not",
        hint="before training has told samples apart there is nothing to split.",
    )
    return found


def split_losses(losses: Float[np.ndarray, "n"]) -> LossMixture:
    """As `loss_mixture`, but all `nan` where the losses do not fall into two groups."""
    losses = np.asarray(losses, dtype=np.float64)
    posterior = np.full(len(losses), math.nan)
    nothing = LossMixture(posterior, (math.nan, math.nan), math.nan)
    known = np.isfinite(losses)
    values = losses[known]
    if (
        len(values) < _LEAST
        or not np.isfinite(np.ptp(values))
        or np.ptp(values) <= 1e-9 * np.abs(values).max()
    ):
        return nothing
    low, spread = values.min(), np.ptp(values)
    scaled = (values - low) / spread
    fitted = np.random.default_rng(0).choice(scaled, _FITTED) if len(values) > _FITTED else scaled
    ends = np.quantile(fitted, [0.1, 0.9])
    if ends[0] == ends[1]:
        ends = np.array([fitted.min(), fitted.max()])
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        2, reg_covar=5e-4, max_iter=100, random_state=0, means_init=ends[:, None],
        weights_init=[0.5, 0.5], precisions_init=np.full((2, 1, 1), 1 / max(fitted.var(), 5e-4)),
    )  # fmt: skip
    with quietly(category=ConvergenceWarning):
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
        armed: Whether clean labels are being learned first: the suspects' loss has risen above
            chance, and there are enough of them. Until then the signal abstains.
        stop: Whether that phase has ended; stays true.
        suspect_loss: Mean present loss of the suspects; `nan` without suspects.
        noise_rate: Estimated share of labels replaced at random, the largest since arming; the
            share of the suspects where that is not known; `nan` where neither is.
        n_suspects: How many suspects there are.
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

    From the losses and a share R of labels that look drawn at random (`random_label_share`):

        arm:   L_S > arm · ln C  and  R ≥ least  and  R ≥ |S|/3n,
               L_S = mean present loss of the suspects S
               (not in the first epoch, whose losses are those of a network that guesses)
        stop:  armed and ( R < max R − fall  or  ρ < 1 )

    From the losses alone, as with two classes, where R is not defined:

        arm:   L_S > arm · ln C  and  |S| ≥ least_suspects · n
        stop:  armed and ( L_S < (1 − loss_fall) · max L_S  or  ρ < 1 )

    S is the high component of a mixture fitted to the losses averaged over the epochs so far,
    and maxima are over the epochs since arming; that of R starts anew while L_S still rises,
    since R also falls while a network learns to rank. While a network learns the clean majority
    first, its loss on wrong labels rises above that of guessing, ln C. On clean labels most
    hard examples stay below it, but not all: those of MNIST, where a network is wrong with
    confidence, do not. What tells them apart is R, since a hard example's label is the second
    guess and a random one's is any; a third of the suspects must look so. Later R falls, as
    the network comes to believe labels that it did not: it is memorising them. On MNIST losses
    alone fall earlier, as hard examples among the suspects are learned, so that the second rule
    stops too early under little noise; on digits it does as well as the first.

    It abstains for noise that depends on the class (every 3 called an 8): the loss is then
    below chance throughout. Losses must be of the examples without augmentation. Rare classes
    can be mistaken for noise, and so can the examples that a network misfits, if it errs on many:
    what it is unsure of at random looks random. `diagnose` asks held-out examples before it says
    that labels are wrong.

    Args:
        n_classes: C ≥ 2; `None` for a regression, which has no chance level: never armed.
        arm: Factor over ln C at which the signal arms.
        fall: Fall of R at which to stop, as a share of all labels: what hurts is how many
            labels are memorised. Compared on digits and MNIST with falls of 0.03, of a fifth
            and of three tenths of R, with falls of L_S, and with both together, it was the
            simplest to end within 0.015 of the least test error in every setting, on average
            over five and three draws, and again on fresh ones. With less noise than this it
            never stops.
        least: R from which it may arm.
        loss_fall: Relative fall of L_S at which to stop, without R.
        least_suspects: Share of suspects from which it may arm, without R.

    Example:
        With the losses alone, one call an epoch:

        >>> signal = CleanPriorityStop(n_classes=2)
        >>> noisy = np.arange(80) >= 60
        >>> for wrong in (0.9, 1.0, 1.1, 0.9):
        ...     now = signal.step(np.where(noisy, wrong, 0.1))
        ...     print(now.armed, now.stop)
        False False
        True False
        True False
        True True

    References:
        Liu, Zhu, Belkin (2023), arXiv:2306.02533: clean-priority learning and the gradient
        ratio ρ. Both gates, and stopping on R, are ours.
    """

    num_classes = OldName("n_classes")

    @renamed(num_classes="n_classes")
    @checked
    def __init__(
        self,
        n_classes: int | None,
        *,
        arm: float = 1.05,
        fall: float = 0.05,
        least: float = 0.02,
        loss_fall: float = 0.03,
        least_suspects: float = 0.03,
    ) -> None:
        with python_numbers_kept():  # now, and not in the midst of a timed training
            import sklearn.mixture  # noqa: F401

        where = "CleanPriorityStop"
        expect(
            n_classes is None or n_classes >= 2,
            f"{where}(n_classes=...)",
            "at least 2 classes, or None for a regression",
            n_classes,
        )
        expect(arm >= 1, f"{where}(arm=...)", "a factor ≥ 1", arm)
        for name, value in (("fall", fall), ("loss_fall", loss_fall)):
            expect(0 < value < 1, f"{where}({name}=...)", "a number between 0 and 1", value)
        for name, value in (("least", least), ("least_suspects", least_suspects)):
            expect(0 <= value < 1, f"{where}({name}=...)", "a share in [0, 1)", value)
        self.n_classes, self.arm, self.fall, self.least = n_classes, arm, fall, least
        self.loss_fall, self.least_suspects = loss_fall, least_suspects
        self.armed = self.stopped = False
        self.epochs = 0
        self.peak = self.largest_loss = self.largest = -math.inf
        self._sums = self._counts = np.zeros(0)

    @or_as_before
    @checked(result="anything")
    def step(
        self,
        losses: Float[np.ndarray, "n"],
        *,
        random_share: float = math.nan,
        rho: float = math.nan,
    ) -> StopSignal:
        """Take an epoch's losses; they are averaged over the epochs here.

        Args:
            losses: Loss of each sample in this epoch; `nan` if it was not seen in it.
            random_share: R, if it was estimated; else the rule of the losses alone holds.
            rho: ‖gradient of the others‖ / ‖gradient of the suspects‖, if it was measured.

        Raises:
            ValueError: If the number of samples changes.
        """
        losses = np.asarray(losses, dtype=np.float64)
        if not len(self._sums):
            self._sums, self._counts = np.zeros(losses.shape), np.zeros(losses.shape)
        expect(
            losses.ndim == 1 and losses.shape == self._sums.shape,
            "CleanPriorityStop.step(losses=...)",
            f"one number for each of {len(self._sums) or 'n'} samples",
            f"shape {losses.shape}",
            hint="use nan for samples that were not seen.",
        )
        seen = np.isfinite(losses)
        self._sums = self._sums + np.where(seen, losses, 0.0)
        self._counts = self._counts + seen
        means = np.divide(
            self._sums, self._counts, out=np.full(losses.shape, math.nan), where=self._counts > 0
        )
        return self.update(means, losses, random_share=random_share, rho=rho)

    @or_as_before
    @checked(result="anything")
    def update(
        self,
        mean_losses: Float[np.ndarray, "n"],
        losses: Float[np.ndarray, "n"],
        *,
        random_share: float = math.nan,
        rho: float = math.nan,
    ) -> StopSignal:
        """Take an epoch, where someone else averages the losses.

        Args:
            mean_losses: Loss of each sample averaged over the epochs so far; `nan` if unseen.
            losses: Loss of each sample in this epoch; `nan` if it was not seen in it.
            random_share: R, if it was estimated; else the rule of the losses alone holds.
            rho: ‖gradient of the others‖ / ‖gradient of the suspects‖, if it was measured.
        """
        random_share, rho = float(random_share), float(rho)
        mixture = split_losses(mean_losses)
        present = np.asarray(losses)[mixture.suspects]
        present = present[np.isfinite(present)]
        suspect_loss = float(present.mean()) if len(present) else math.nan
        count, seen = int(mixture.suspects.sum()), int(np.isfinite(mean_losses).sum())
        by_loss = math.isnan(random_share)
        enough = self.least_suspects * seen if by_loss else max(self.least * seen, count / 3)
        many = (count if by_loss else random_share * seen) >= enough
        chance = math.inf if self.n_classes is None else math.log(self.n_classes)
        if self.epochs > 0 and many and suspect_loss > self.arm * chance:
            self.armed = True
        self.epochs += 1
        level = suspect_loss if by_loss else random_share
        if self.armed and not math.isnan(level):
            self.largest = max(self.largest, level)
            rises = suspect_loss > self.largest_loss
            self.largest_loss = max(self.largest_loss, suspect_loss)
            self.peak = level if rises else max(self.peak, level)
            fallen = level < (
                self.peak * (1 - self.loss_fall) if by_loss else self.peak - self.fall
            )
            self.stopped = bool(self.stopped or fallen or rho < 1)
        if by_loss:
            rate = math.nan if math.isnan(mixture.weight) else count / seen
        else:
            rate = self.largest if self.armed else random_share
        return StopSignal(self.armed, self.stopped, suspect_loss, rate, count, rho)

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs."""
        numbers = {name: getattr(self, name) for name in _STATE}
        # As tensors, which torch.load takes without trusting the file.
        sums, counts = torch.tensor(self._sums), torch.tensor(self._counts)
        return {**numbers, "sums": sums, "counts": counts}

    @or_as_before
    @checked
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for name in _STATE:
            setattr(self, name, state[name])
        self._sums, self._counts = (state[name].cpu().numpy().copy() for name in ("sums", "counts"))
