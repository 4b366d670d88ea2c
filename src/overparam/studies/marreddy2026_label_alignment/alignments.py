"""Statistics of the claims, and what is asked of every kind of images alike."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import seed_means, select
from overparam.datasets.named import names

# Whether MNIST lies in a folder of data. If not, quick leaves it out, its claims are not testable
# before the full size, and that fetches it or fails.
MNIST = "mnist" in names()
LABELS = {
    "digits": ("one-hot", "even", "below five", "random"),
    "mnist": ("one-hot", "even", "random"),
    "sphere 3": ("distance", "sign", "random"),
    "sphere 5": ("distance", "random"),
    "sphere 10": ("distance", "random"),
}
Statistic = Callable[[pd.DataFrame], float]
FLOOR = "far above what random labels give, below what every kind of true labels gives"


def mean(column: str) -> Statistic:
    """Mean over seeds; NaN if one is."""
    return lambda rows: float(np.mean(rows[column].to_numpy(float)))


def worst(column: str, *, largest: bool) -> Statistic:
    """Largest or smallest value over cells; NaN if one is."""
    return lambda rows: float((np.max if largest else np.min)(rows[column].to_numpy(float)))


def lowest_mean(column: str) -> Statistic:
    """The smallest seed mean over kinds of labels."""
    return lambda rows: float(np.min(list(seed_means(rows, "labels", column).values())))


def farthest_mean(column: str) -> Statistic:
    """The seed mean farthest from 0 over data sets, as a distance."""
    return lambda rows: float(np.max(np.abs(list(seed_means(rows, "data", column).values()))))


def farthest_from(value: float, column: str) -> Statistic:
    """The seed mean farthest from `value` over kinds of labels; NaN if one is."""

    def statistic(rows: pd.DataFrame) -> float:
        means = seed_means(rows, "labels", column).values()
        return max(means, key=lambda mean: (mean != mean, abs(mean - value)))

    return statistic


def farthest_ratio(rows: pd.DataFrame, column: str) -> float:
    """The value of a column whose logarithm is farthest from 0."""
    values = rows[column].to_numpy(float)
    return float(values[np.argmax(np.abs(np.log(values)))])


def gap_at_each_n(rows: pd.DataFrame) -> float:
    """Smallest bound over loss with true labels over the largest with random; the worst n."""
    parts = [rows.loc[rows["n"] == n] for n in sorted(set(rows["n"]))]
    low, high = worst("trace_over_test", largest=False), worst("trace_over_test", largest=True)
    true, random = {"labels": "even"}, {"labels": "random"}
    return float(np.min([low(select(p, true)) / high(select(p, random)) for p in parts]))


def upper_mean(column: str) -> Statistic:
    """Mean over draws with two of its standard errors added."""

    def statistic(rows: pd.DataFrame) -> float:
        values = rows[column].to_numpy(float)
        return float(values.mean() + 2 * values.std(ddof=1) / len(values) ** 0.5)

    return statistic


def share_decides(rows: pd.DataFrame) -> float:
    """Correlation of the log of bound over loss with the surplus on the first eigenvector."""
    logs = np.log(rows["early_over"].to_numpy(float))
    return float(np.corrcoef(rows["share"].to_numpy(float), logs)[0, 1])


LABELS_ALIGN = "Abstract: labels align with the kernel's eigenvectors, (v_iᵀy)² as λ_i²"
RESIDUALS_ALIGN = "Abstract: initial residuals align with them, (v_iᵀr_0)² as λ_i"
STABLE = "Abstract: alignment is stable along training"
REFINED = "Abstract: a refined bound tr[(I − ηK)^{2t} K] on the training loss, without λ_min"
GENERAL = "Abstract: a bound of order tr K/n on the test loss"
HEADLINES = (LABELS_ALIGN, RESIDUALS_ALIGN, STABLE, REFINED, GENERAL)
LIPSCHITZ = (
    "Derivation: similar inputs with similar labels, a Lipschitz target, give the exponent 2"
)
EXPERIMENTS = "Experiments: the refined bound overlays the loss, the classical one is flat"


def exponents(data: str, kinds: list[str], what: str, smallest: str) -> list[Claim]:
    """The paper's two exponents as such, to a quarter of each."""
    where = {"measure": "alignment", "data": data, "labels": kinds}
    return [
        Claim(
            f"{name}_exponent_is_{value:g}_{data.replace(' ', '_')}",
            f"On {what}, {symbol}² goes as λ^{value:g}, for every kind of labels.",
            paper=value,
            source="experiments, slopes of the alignment plots",
            statistic=farthest_from(value, column),
            passes=Range(0.75 * value, 1.25 * value),
            weaker=Range(0.5 * value, 1.5 * value),
            tolerance="a quarter of the paper's exponent, half for weaker, the share being ours: 1 "
            "and 2 are apart by more; mean over seeds, the kind farthest from it",
            where=where,
            smallest=smallest,
            kind="paper",
            sentence=sentence,
            criterion="beforehand" if data == "digits cnn" else "seen",
        )
        for name, value, symbol, column, sentence in (
            ("label", 2.0, "(v_iᵀy)", "slope", LABELS_ALIGN),
            ("residual", 1.0, "(v_iᵀr_0)", "residual_slope", RESIDUALS_ALIGN),
        )
    ]


def aligned(data: str, kinds: list[str], what: str, smallest: str) -> list[Claim]:
    """Labels of images follow a power law whose exponent has a floor."""
    where = {"measure": "alignment", "data": data, "labels": kinds}
    source = "experiments, label alignment"
    return [
        Claim(
            f"label_exponent_{data}",
            f"On {what}, (v_iᵀy)² falls at least as λ^1, for every kind of labels.",
            paper="about 2; about 1.4 on digits here",
            source=source,
            statistic=lowest_mean("slope"),
            passes=Range(low=1.0),
            weaker=Range(low=0.5),
            tolerance=f"{FLOOR}; mean over seeds, the lowest kind",
            where=where,
            smallest=smallest,
            criterion="beforehand",
        ),
        Claim(
            f"label_correlation_{data}",
            f"On {what}, log (v_iᵀy)² and log λ correlate by 0.95 or more.",
            paper="a line in the plots",
            source=source,
            statistic=lowest_mean("corr"),
            passes=Range(low=0.95),
            weaker=Range(low=0.8),
            tolerance="correlation over 15 bins; mean over seeds, the lowest kind",
            where=where,
            smallest=smallest,
            kind="paper",
            sentence=LABELS_ALIGN,
            criterion="beforehand",
        ),
        Claim(
            f"residual_exponent_{data}",
            f"On {what}, (v_iᵀr_0)² falls at least as λ^0.7.",
            paper="about 1; about 1.4 on digits here",
            source="experiments, residual alignment",
            statistic=lowest_mean("residual_slope"),
            passes=Range(low=0.7),
            weaker=Range(low=0.35),
            tolerance="the paper's 1 less the difference between kinds of labels, lowest kind",
            where=where,
            smallest=smallest,
            criterion="seen",
        ),
        Claim(
            f"random_labels_{data}",
            f"On {what}, random labels do not align: the exponent is at most 0.25.",
            paper="0: not Lipschitz",
            source="follows from the derivation",
            statistic=farthest_mean("slope"),
            passes=Range(high=0.25),
            tolerance="distance of the seed mean from 0, a quarter of the floor",
            where={"measure": "alignment", "data": data, "labels": "random"},
            smallest=smallest,
            kind="control",
            criterion="beforehand",
        ),
    ]
