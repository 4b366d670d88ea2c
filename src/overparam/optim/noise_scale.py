"""The batch size at which a gradient is half noise, from what was measured of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from overparam._checked import checked
from overparam._errors import expect

# Fewer say nothing of how far they scatter.
FEWEST = 4


@dataclass(frozen=True)
class NoiseScale:
    """The gradient noise scale, tr Σ / ‖G‖², with an interval that holds it in about 95 %.

    Attributes:
        scale: In examples: a batch of this size has as much noise as signal. `nan` where the
            signal cannot be told from zero.
        low: The least it may be; 0 where nothing is known: of fewer than four measurements, where
            one of them outweighs all others together, or where the signal comes out below zero.
        high: The most; infinite where the signal cannot be told from zero.
        signal: ‖G‖², the squared length of the mean gradient, estimated without bias; it may be
            below zero.
        noise: tr Σ, the variance of the gradients of single examples, summed over coordinates.
    """

    scale: float
    low: float
    high: float
    signal: float
    noise: float

    @property
    def known(self) -> bool:
        """Whether the signal was told from zero."""
        return all(map(math.isfinite, (self.scale, self.low, self.high)))


@checked(result="anything")
def noise_scale(
    signals: Sequence[float], noises: Sequence[float], *, examples: float | None = None
) -> NoiseScale:
    """The noise scale of several measurements together: a ratio of two means.

    The mean of ratios would be far too large, since a signal that is small by chance makes an
    enormous one. The interval comes from how far the measurements scatter about the ratio.

    Args:
        signals: An unbiased estimate of ‖G‖² each, such as the column ``gradient_signal`` of a
            monitor's history.
        noises: Of tr Σ, such as ``gradient_noise``.
        examples: n, if batches are drawn without replacement from n examples, the gradient of
            which is the signal; `None` where there are always new ones.

    Raises:
        ValueError: None, or not as many of one as of the other.

    Example:
        >>> found = noise_scale([1.0, 1.2, 0.9, 1.1], [20.0, 22.0, 19.0, 23.0])
        >>> found.scale, round(found.low, 1), round(found.high, 1)
        (20.0, 18.1, 22.3)
        >>> noise_scale([0.1, -0.1, 0.2, -0.1], [20.0, 20.0, 20.0, 20.0]).known
        False

    References:
        McCandlish, Kaplan, Amodei and others (2018), arXiv:1812.06162, appendix A.
    """
    expect(
        len(signals) == len(noises) and len(signals) > 0, "noise_scale(signals, noises)",
        "as many of one as of the other", f"{len(signals)} and {len(noises)}",
    )  # fmt: skip
    if examples is not None:
        signals = [g + s / examples for g, s in zip(signals, noises, strict=True)]
    return _judged(signals, noises)


def _judged(signals: Sequence[float], noises: Sequence[float]) -> NoiseScale:
    signal, noise, count = fmean(signals), fmean(noises), len(signals)
    unknown = NoiseScale(math.nan, 0.0, math.inf, signal, noise)
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return unknown
    if noise <= 0:  # all examples have the same gradient, as far as is known
        return NoiseScale(0.0, 0.0, 0.0, signal, noise) if signal > 0 and noise == 0 else unknown
    if count < FEWEST or outweighed(noises):
        return unknown
    # Of signal over noise, which is sure to be defined: the noise is far from zero.
    share = signal / noise
    scatter = [g - share * s for g, s in zip(signals, noises, strict=True)]
    error = math.sqrt(math.fsum(d * d for d in scatter) / (count * (count - 1))) / noise
    reach = _quantile(count - 1) * error
    low = 1 / (share + reach) if share + reach > 0 else 0.0
    if share - reach <= 0:
        return NoiseScale(math.nan, low, math.inf, signal, noise)
    return NoiseScale(1 / share, low, 1 / (share - reach), signal, noise)


def outweighed(noises: Sequence[float]) -> bool:
    """Whether one is more than all others together: it scatters about nothing but itself."""
    return 2 * max(noises) > math.fsum(noises)


def _quantile(freedom: int) -> float:
    """97.5 % of Student's distribution, to 4 % from three degrees of freedom on."""
    return 1.96 + 2.372 / freedom + 2.823 / freedom**2


@checked(result="anything")
def noise_scale_from_norms(
    small: Sequence[float],
    large: Sequence[float],
    *,
    sizes: tuple[float, float],
    examples: float | None = None,
) -> NoiseScale:
    """The noise scale from squared gradient norms at two batch sizes, which training has anyway.

        ‖G‖² = (B |g_B|² − b |g_b|²) / (B − b),    tr Σ = (|g_b|² − |g_B|²) / (1/b − 1/B)

    With accumulation, g_b is the gradient after the first part and g_B, the mean, that after the
    last; with data parallelism, the one of a process before it is averaged and the average. Both
    at the same weights.

    Args:
        small: |g_b|² of several steps, of one random batch of b examples each.
        large: |g_B|² of the same steps.
        sizes: (b, B), b < B.
        examples: As for `noise_scale`.

    Raises:
        ValueError: Sizes in another order, or not as many of one as of the other.

    Example:
        >>> found = noise_scale_from_norms(
        ...     [6.0, 5.8, 6.4, 5.9], [2.2, 2.0, 2.4, 2.1], sizes=(4, 16)
        ... )
        >>> round(found.signal, 2), round(found.noise, 1), round(found.scale, 1)
        (0.89, 20.5, 23.0)

    References:
        McCandlish, Kaplan, Amodei and others (2018), arXiv:1812.06162, appendix A.1.
    """
    b, large_size = sizes
    where = "noise_scale_from_norms"
    expect(0 < b < large_size, f"{where}(sizes=...)", "two sizes, the smaller first", sizes)
    expect(
        len(small) == len(large) and len(small) > 0, f"{where}(small, large)",
        "as many of one as of the other", f"{len(small)} and {len(large)}",
    )  # fmt: skip
    pairs = list(zip(small, large, strict=True))
    signals = [(large_size * g - b * s) / (large_size - b) for s, g in pairs]
    noises = [(s - g) / (1 / b - 1 / large_size) for s, g in pairs]
    return noise_scale(signals, noises, examples=examples)
