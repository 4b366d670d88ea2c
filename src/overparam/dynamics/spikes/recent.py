"""The last optimizer steps as numbers by layer: what rows say once they are put side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from overparam.dynamics.spikes.sample import Sample
from overparam.dynamics.spikes.step_log import Row

# Steps that are kept.
WINDOW = 64
_SECOND = ("exp_avg_sq", "square_avg", "sum", "v", "exp_avg_sq_row")


@dataclass(frozen=True)
class Recent:
    """Columns over the last steps; k steps, L layers, G groups of parameters.

    Attributes:
        steps: The monitor's count, ``(k,)``.
        rates: ``(k, G)``.
        changed: Layers whose weights were not as the step before had left them, ``(k, L)``.
        lost: The same for moments and step counts.
        weights: Root mean square of the weights before the step, ``(k, L)``.
        updates: Of what the step added, ``(k, L)``.
        norms: Euclidean length of the gradient, ``(k, L)``; `nan` is not measured.
        bad: Layers whose gradient was not finite, ``(k, L)``.
        cosines: Of the gradient and that of the step before, all layers, ``(k,)``.
        moments: √(Σg²/Σv), v the second moments before the step, ``(k, L)``; `nan` without.
    """

    steps: np.ndarray
    rates: np.ndarray
    changed: np.ndarray
    lost: np.ndarray
    weights: np.ndarray
    updates: np.ndarray
    norms: np.ndarray
    bad: np.ndarray
    cosines: np.ndarray
    moments: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    def before(self, step: int) -> "Recent":
        """The rows of the steps before one."""
        return self._at(self.steps < step)

    def between(self, first: int, last: int) -> "Recent":
        """The rows of the steps from one to another, both included."""
        return self._at((self.steps >= first) & (self.steps <= last))

    def _at(self, chosen: np.ndarray) -> "Recent":
        return Recent(*(getattr(self, field.name)[chosen] for field in fields(self)))


def nothing(layers: int, groups: int) -> Recent:
    """Columns without rows."""
    by_layer, flags = np.empty((0, layers)), np.empty((0, layers), dtype=bool)
    alone = np.empty(0)
    return Recent(
        steps=alone.astype(int), rates=np.empty((0, groups)), changed=flags, lost=flags,
        weights=by_layer, updates=by_layer, norms=by_layer, bad=flags, cosines=alone,
        moments=by_layer,
    )  # fmt: skip


def extended(recent: Recent, rows: Sequence[Row], last: Row | None, sample: Sample) -> Recent:
    """The columns with more rows, without those that are too long ago.

    Args:
        recent: What there is.
        rows: The new ones, in order, at least one.
        last: The row before them, if there was one.
        sample: What their numbers stand for.
    """
    chain = ([last] if last is not None else []) + list(rows)
    # Whether a row follows on the one before it.
    follows = np.array([False] + [b.number == a.number + 1 for a, b in pairwise(chain)])
    fresh = slice(len(chain) - len(rows), None)
    before, after = _stacked([r.before for r in chain]), _stacked([r.after for r in chain])
    gradient = _stacked([r.gradient for r in chain], sum(sample.counts))
    norms = _stacked([r.norms for r in rows], len(sample.counts))
    changed = sample.differ(before, np.roll(after, 1, axis=0)) & follows[:, None]
    with np.errstate(all="ignore"):
        size = np.sqrt(sample.layered(np.square(before[fresh])))
        moved = np.sqrt(sample.layered(np.square((after - before)[fresh])))
        new = Recent(
            steps=np.array([r.step for r in rows]),
            rates=_rates(rows),
            changed=changed[fresh],
            lost=(_lost(chain, sample) & follows[:, None])[fresh],
            weights=size,
            updates=moved,
            norms=norms,
            bad=~np.isfinite(norms) & np.array([r.norms is not None for r in rows])[:, None],
            cosines=np.where(follows, _cosines(gradient, sample), np.nan)[fresh],
            moments=np.where(follows[:, None], _against_moments(chain, gradient, sample), np.nan)[
                fresh
            ],
        )
    columns = {}
    for field in fields(Recent):
        old, more = getattr(recent, field.name), getattr(new, field.name)
        # An optimizer may be given another group on the way.
        same = not len(old) or old.shape[1:] == more.shape[1:]
        columns[field.name] = np.concatenate([old, more])[-WINDOW:] if same else more
    shortest = min(map(len, columns.values()))
    return Recent(**{name: column[-shortest:] for name, column in columns.items()})


def _stacked(parts: Sequence[Tensor | None], width: int = 0) -> np.ndarray:
    """Tensors below each other in one array; `nan` for those that are missing."""
    known = [part for part in parts if part is not None]
    if not known:
        return np.full((len(parts), width), np.nan)
    numbers = torch.stack(known).cpu().double().numpy()
    if len(known) == len(parts):
        return numbers
    whole = np.full((len(parts), *numbers.shape[1:]), np.nan)
    whole[[part is not None for part in parts]] = numbers
    return whole


def _rates(rows: Sequence[Row]) -> np.ndarray:
    groups = max(len(r.rates) for r in rows)
    return np.array(
        [[float(rate) for rate in r.rates] + [np.nan] * (groups - len(r.rates)) for r in rows]
    )


def _lost(chain: Sequence[Row], sample: Sample) -> np.ndarray:
    """Layers whose moments are not what the step before had left."""
    found = np.zeros((len(chain), len(sample.counts)), dtype=bool)
    for i, row in enumerate(chain):
        counted, begins = row.counts
        if row.replaced or (counted != begins and not (np.isnan(counted) or np.isnan(begins))):
            found[i] = True
        elif i and row.restored is not None and (was := chain[i - 1].moments) is not None:
            if was.shape != row.restored.shape:
                found[i] = True
            else:
                one, other = _stacked([was])[0], _stacked([row.restored])[0]
                found[i] = sample.differ(one, other).any(axis=0)
    return found


def _cosines(gradient: np.ndarray, sample: Sample) -> np.ndarray:
    lengths = np.sqrt(sample.layered(np.square(gradient)).sum(axis=1))
    products = sample.layered(gradient[1:] * gradient[:-1]).sum(axis=1)
    return np.concatenate([[np.nan], products / (lengths[1:] * lengths[:-1])])


def _against_moments(chain: Sequence[Row], gradient: np.ndarray, sample: Sample) -> np.ndarray:
    """The gradient's size over that which the second moments expect."""
    found = np.full((len(chain), len(sample.counts)), np.nan)
    squares = sample.layered(np.square(gradient))
    for i, was in enumerate(chain[:-1], start=1):
        kind = next((k for k in _SECOND if k in was.kinds), None)
        if kind is not None and was.moments is not None:
            second = _stacked([was.moments[was.kinds.index(kind)]])[0]
            found[i] = np.sqrt(squares[i] / sample.layered(second))
    return found
