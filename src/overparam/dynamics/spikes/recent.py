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

    def over(self, layers: Sequence[str], others: Sequence[str], groups: int) -> "Recent":
        """The columns of other layers and so many groups; what was not logged is not known.

        Args:
            layers: Names of those there are.
            others: Names of those that are wanted.
            groups: How many; more than there were come last.
        """
        places = {name: i for i, name in enumerate(layers)}
        columns: dict[str, np.ndarray] = {}
        for field in fields(self):
            old = columns[field.name] = getattr(self, field.name)
            if old.ndim < 2:
                continue
            if field.name == "rates":
                columns["rates"] = _wide(old, groups)[:, :groups]
                continue
            new = np.full((len(old), len(others)), False if old.dtype == bool else np.nan)
            known = [i for i, name in enumerate(others) if name in places]
            new[:, known] = old[:, [places[others[i]] for i in known]]
            columns[field.name] = new
        return Recent(**columns)

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
    changed = sample.differ(before, np.roll(after, 1, axis=0)) & follows[:, None]
    with np.errstate(all="ignore"):
        squares = sample.layered(np.square(gradient))
        norms = _norms(rows, squares[fresh], sample)
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
            cosines=np.where(follows, _cosines(gradient, squares, sample), np.nan)[fresh],
            moments=np.where(follows[:, None], _against_moments(chain, squares, sample), np.nan)[
                fresh
            ],
        )
    columns = {}
    for field in fields(Recent):
        old, more = getattr(recent, field.name), getattr(new, field.name)
        if field.name == "rates":  # an optimizer may be given another group on the way
            groups = max(old.shape[1], more.shape[1])
            old, more = _wide(old, groups), _wide(more, groups)
        columns[field.name] = np.concatenate([old, more])[-WINDOW:]
    return Recent(**columns)


def _wide(rates: np.ndarray, groups: int) -> np.ndarray:
    """The same with as many columns at least; `nan` is not known."""
    missing = max(groups - rates.shape[1], 0)
    return np.pad(rates, ((0, 0), (0, missing)), constant_values=np.nan)


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


def _norms(rows: Sequence[Row], squares: np.ndarray, sample: Sample) -> np.ndarray:
    """Lengths of the gradients: of a layer whose sample is whole from that."""
    norms = np.sqrt(squares)
    known = [i for i, row in enumerate(rows) if row.norms]
    if known:
        lengths = torch.stack([length for i in known for length in rows[i].norms or ()])
        found = lengths.cpu().double().numpy().reshape(len(known), -1)
        norms[np.ix_(known, sample.long)] = found
    return norms


def _cosines(gradient: np.ndarray, squares: np.ndarray, sample: Sample) -> np.ndarray:
    lengths = np.sqrt(squares.sum(axis=1))
    products = sample.layered(gradient[1:] * gradient[:-1]).sum(axis=1)
    return np.concatenate([[np.nan], products / (lengths[1:] * lengths[:-1])])


def _against_moments(chain: Sequence[Row], squares: np.ndarray, sample: Sample) -> np.ndarray:
    """The gradient's size over that which the second moments expect."""
    found = np.full((len(chain), len(sample.counts)), np.nan)
    kinds = [next((k for k in _SECOND if k in row.kinds), None) for row in chain[:-1]]
    second = [
        None if kind is None or row.moments is None else row.moments[row.kinds.index(kind)]
        for row, kind in zip(chain, kinds, strict=False)
    ]
    known = np.flatnonzero([moments is not None for moments in second])
    if len(known):
        expected = sample.layered(_stacked([second[i] for i in known]))
        found[known + 1] = np.sqrt(squares[known + 1] / expected)
    return found
