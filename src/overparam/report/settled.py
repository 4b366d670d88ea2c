"""Which measurements settled: numbers rest on these alone, and drawings tell them apart."""

from collections.abc import Callable, Mapping

from overparam._curves import SETTLED
from overparam.report.series import Series, read_series

# Whether a measurement settled stands in a series of its own.
_SHARPNESS, _BATCHES = "sharpness_residual", "batch_critical_lr_converged"
_BY = {"sharpness": _SHARPNESS, "stability_ratio": _SHARPNESS, "batch_critical_lr": _BATCHES}
# They tell of other series, and are nothing to be looked at by themselves.
TELLING = frozenset({*_BY.values(), "loss_stretches", "loss_sample", "sharpness_converged"})


def steady(document: Mapping, name: str) -> Callable[[float], bool] | None:
    """Whether a series' measurement at a step settled; `None` where the document does not tell."""
    told = read_series(document, _BY[name]) if name in _BY else None
    if told is None:
        return None
    known = dict(zip(told.steps, told.values, strict=True))

    def settled(step: float) -> bool:
        # Of a long record not every step is kept; then the one before speaks for it.
        value = known[step] if step in known else told.at(step)
        if value is None:
            return False
        return value < SETTLED if _BY[name] == _SHARPNESS else bool(value)

    return settled


def parted(document: Mapping, name: str, series: Series) -> tuple[Series | None, Series | None]:
    """A series' measurements that settled, and those that did not; `None` where there are none."""
    settled = steady(document, name)
    if settled is None:
        return series, None
    good = [pair for pair in series.measured if settled(pair[0])]
    left = [pair for pair in series.measured if not settled(pair[0])]
    return _of(good), _of(left)


def _of(pairs: list[tuple[float, float]]) -> Series | None:
    return Series(*zip(*pairs, strict=True)) if pairs else None
