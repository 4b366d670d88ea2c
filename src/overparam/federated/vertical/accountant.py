"""How much noise a guarantee takes, and what a number of releases has spent of it.

One release is the mean over a batch of B of numbers clipped to [−C, C], and Gaussian noise of
standard deviation σ. How far one example moves that mean is its sensitivity, and there are two
conventions, which differ by 2:

============= ================================== ==================
`neighbouring` two data sets differ in             sensitivity
============= ================================== ==================
"replace_one"  the value of one example            2C/B
"add_remove"   the presence of one example         C/B, for a fixed divisor B
============= ================================== ==================

An example that is not there leaves a gap in its batch: nobody else's batch changes. The
multiplier z is σ over the sensitivity of the convention. Without amplification an example
takes part in k releases, which together are Gaussian with μ = √k/z, exactly (Dong, Roth, Su 2022):
δ(ε) = Φ(−ε/μ + μ/2) − e^ε Φ(−ε/μ − μ/2). The guarantee is that of ideal Gaussian noise.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Literal

from scipy.special import log_ndtr

from overparam._checked import checked
from overparam._errors import complaint, expect
from overparam._types import Count, Fraction, Natural, NonNegative, Positive
from overparam._user_line import user_level

# By how much log δ is kept below what was asked for: more than its rounding, so that what is
# reported is never less than the exact value.
_MARGIN = 1e-10
_BISECTIONS = 200


@checked
@dataclass(frozen=True, kw_only=True)
class PrivacySpec:
    """What is promised.

    Args:
        epsilon: ε.
        delta: δ; more than 1/n for n examples promises little.
        neighbouring: What "one example" means; see `overparam.federated.vertical.accountant`.
        amplification: "none" counts every release that an example takes part in, which holds
            against the parties: they compute the embeddings, and know who is in a batch. "poisson"
            is for those outside, who do not; batches are then drawn by coin, and dp-accounting
            computes ε.
        noise: "exact", or "paper": σ = 2C√T/(nμ) with T all steps, as published. That formula
            linearises the composition and assumes amplification: what it promises holds for
            neither. A warning says what does.
    """

    epsilon: Positive
    delta: Fraction
    neighbouring: Literal["replace_one", "add_remove"] = "replace_one"
    amplification: Literal["none", "poisson"] = "none"
    noise: Literal["exact", "paper"] = "exact"

    def __post_init__(self) -> None:
        expect(
            self.noise == "exact" or self.amplification == "none", "PrivacySpec(noise='paper')",
            "amplification='none', as the formula has its own", repr(self.amplification),
        )  # fmt: skip


@dataclass(frozen=True)
class NoisePlan:
    """Noise for a run, and what it costs.

    Attributes:
        sigma: Standard deviation of the noise of one release.
        multiplier: z = σ/sensitivity.
        sensitivity: Of one release, by the convention.
        releases: k: with no amplification those that an example takes part in, else all.
        epsilon: What the whole run spends; never less than the exact value.
        spec: What was asked for.
        sampling_rate: Share of the examples in a batch.
        releases_per_step: Of one batch.
    """

    sigma: float
    multiplier: float
    sensitivity: float
    releases: int
    epsilon: float
    spec: PrivacySpec
    sampling_rate: float
    releases_per_step: int

    def spent(self, releases: int) -> float:
        """ε after some of the releases."""
        if releases == 0:
            return 0.0
        if self.spec.amplification == "poisson":
            return _poisson_epsilon(
                self.sigma / self._added, releases // self.releases_per_step,
                self.releases_per_step, self.sampling_rate, self.spec,
            )  # fmt: skip
        return spent_epsilon(self.multiplier, releases, self.spec.delta)

    @property
    def _added(self) -> float:
        """Sensitivity to adding or removing one, in whose units dp-accounting takes noise."""
        return self.sensitivity / (2 if self.spec.neighbouring == "replace_one" else 1)


@checked
def gaussian_delta(mu: Positive, epsilon: NonNegative) -> float:
    """δ(ε) of μ-Gaussian differential privacy.

    Example:
        >>> round(gaussian_delta(1.0, 1.0), 6)
        0.126937
    """
    return math.exp(_log_delta(mu, epsilon))


@checked
def gaussian_epsilon(mu: Positive, delta: Fraction) -> float:
    """The least ε with δ(ε) ≤ δ under μ-Gaussian differential privacy, rounded up.

    Example:
        >>> import math
        >>> round(gaussian_epsilon(math.sqrt(150) / 45.691, 1e-5), 4)
        1.0
    """
    goal = math.log(delta) - _MARGIN
    if _log_delta(mu, 0.0) <= goal:
        return 0.0
    high = 1.0
    while _log_delta(mu, high) > goal:
        high *= 2
    return _bisected(lambda epsilon: _log_delta(mu, epsilon) <= goal, 0.0, high)[1]


@checked
def gaussian_mu(epsilon: Positive, delta: Fraction) -> float:
    """The largest μ that keeps (ε, δ), rounded down."""
    goal = math.log(delta) - _MARGIN
    low, high = 1.0, 1.0
    while _log_delta(low, epsilon) > goal:
        low /= 2
    while _log_delta(high, epsilon) <= goal:
        high *= 2
    return _bisected(lambda mu: _log_delta(mu, epsilon) > goal, low, high)[0]


@checked
def spent_epsilon(multiplier: Positive, releases: Natural, delta: Fraction) -> float:
    """ε of k releases with multiplier z that an example takes part in: of μ = √k/z, rounded up.

    Args:
        multiplier: z = σ/sensitivity, whichever convention the sensitivity is of.
        releases: k.
        delta: δ.
    """
    return gaussian_epsilon(math.sqrt(releases) / multiplier, delta) if releases else 0.0


@checked
def plan_noise(
    spec: PrivacySpec,
    *,
    clip: Positive,
    batch_size: Count,
    n_examples: Count,
    epochs: Count,
    releases_per_step: Count = 1,
) -> NoisePlan:
    """The noise that keeps a promise over a whole run.

    Args:
        spec: The promise.
        clip: C, where each example's number is cut.
        batch_size: B, by which the sum is divided, whatever a batch holds.
        n_examples: n.
        epochs: Times that each example is seen.
        releases_per_step: Noised scalars of one batch: one for each party that is updated, the
            server among them, and for each direction.

    Warns:
        UserWarning: For δ > 1/n, and for `noise="paper"`, with the ε that its noise does keep.

    Raises:
        ImportError: For `amplification="poisson"` without dp-accounting.

    Example:
        >>> spec = PrivacySpec(epsilon=1.0, delta=1e-5)
        >>> plan = plan_noise(
        ...     spec, clip=1.0, batch_size=500, n_examples=20000, epochs=30, releases_per_step=5
        ... )
        >>> plan.releases, round(plan.multiplier, 3), round(plan.sigma, 4)
        (150, 45.691, 0.1828)
    """
    expect(
        batch_size <= n_examples, "plan_noise(batch_size=...)", f"{n_examples} examples at most",
        batch_size,
    )  # fmt: skip
    if spec.delta > 1 / n_examples:
        words = f"δ = {spec.delta:g} is more than 1/{n_examples}: one example may be given away."
        warnings.warn(words, stacklevel=user_level())
    rate = batch_size / n_examples
    sensitivity = (2 if spec.neighbouring == "replace_one" else 1) * clip / batch_size
    steps = epochs * math.ceil(n_examples / batch_size)
    if spec.amplification == "poisson":

        def found(ratio: float) -> float:
            return _poisson_epsilon(ratio, steps, releases_per_step, rate, spec)

        most = _enough(steps * releases_per_step, spec)
        ratio = _bisected(lambda r: found(r) <= spec.epsilon, 1e-3, most, bisections=24)[1]
        sigma = ratio * clip / batch_size
        return NoisePlan(
            sigma, sigma / sensitivity, sensitivity, steps * releases_per_step, found(ratio), spec,
            rate, releases_per_step,
        )  # fmt: skip
    releases = epochs * releases_per_step
    mu = gaussian_mu(spec.epsilon, spec.delta)
    sigma = math.sqrt(releases) / mu * sensitivity
    if spec.noise == "paper":
        sigma = 2 * clip * math.sqrt(steps) / (n_examples * mu)
    multiplier = sigma / sensitivity
    epsilon = spent_epsilon(multiplier, releases, spec.delta)
    if spec.noise == "paper":
        words = f"noise='paper' was to keep ε = {spec.epsilon:g}; against a party, who knows the "
        words += f"batches, it keeps ε = {epsilon:.4g}."
        warnings.warn(words, stacklevel=user_level())
    return NoisePlan(
        sigma, multiplier, sensitivity, releases, epsilon, spec, rate, releases_per_step
    )


def _log_delta(mu: float, epsilon: float) -> float:
    """The logarithm of δ(ε), −∞ where it underflows."""
    first, second = (float(log_ndtr(-epsilon / mu + sign * mu / 2)) for sign in (1, -1))
    if first == -math.inf:
        return first
    ratio = epsilon + second - first
    if ratio >= 0:  # equal but for rounding, for an ε that is far too large
        return -math.inf
    return first + math.log(-math.expm1(ratio))


def _bisected(holds, low: float, high: float, bisections: int = _BISECTIONS):  # type: ignore[no-untyped-def]
    """Neighbours between which a condition begins to hold: it fails at the first of them."""
    for _ in range(bisections):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low, high


def _enough(releases: int, spec: PrivacySpec) -> float:
    """Noise, over the sensitivity to adding or removing, that keeps it without amplification."""
    unit = 2 if spec.neighbouring == "replace_one" else 1
    return unit * math.sqrt(releases) / gaussian_mu(spec.epsilon, spec.delta)


def _poisson_epsilon(ratio: float, steps: int, each: int, rate: float, spec: PrivacySpec) -> float:
    """ε of Poisson batches, `each` releases of every batch.

    The releases of one batch share its coins, so they are amplified together: as one Gaussian
    release of √each times the sensitivity. `ratio` is σ over the add-or-remove sensitivity, which
    is what dp-accounting takes for either relation: under REPLACE_ONE it doubles the distance
    itself. Its distributions are pessimistic: the result is an upper bound.
    """
    try:
        import dp_accounting  # pyright: ignore[reportMissingImports]
        from dp_accounting import pld  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise complaint(
            "PrivacySpec(amplification='poisson')", "the package dp-accounting", str(error),
            "pip install 'overparam[dp]'.", ImportError,
        ) from error  # fmt: skip
    relations = dp_accounting.NeighboringRelation
    relation = (
        relations.REPLACE_ONE if spec.neighbouring == "replace_one" else relations.ADD_OR_REMOVE_ONE
    )
    event = dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(
            rate, dp_accounting.GaussianDpEvent(ratio / math.sqrt(each))
        ),
        steps,
    )
    accountant = pld.PLDAccountant(relation)
    return float(accountant.compose(event).get_epsilon(spec.delta))
