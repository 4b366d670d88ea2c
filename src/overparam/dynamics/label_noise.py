"""Which labels look wrong, from the outputs a training run produces anyway."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from overparam._errors import expect, unknown
from overparam.dynamics.clean_priority import (
    CleanPriorityStop,
    LossMixture,
    StopSignal,
    loss_mixture,
)

Method = Literal["mean_loss", "aum", "el2n"]
_COLUMNS = ("count", "loss", "margin", "distance", "epoch_count", "epoch_loss")


class LabelNoiseScorer:
    """Score every training sample for a wrong label, along a training run.

        mean_loss   (1/T) Σ_t −log p_t(given label)
        aum         −(1/T) Σ_t ( z_t[given] − max over the other labels of z_t )
        el2n        (1/T) Σ_t ‖ p_t − onehot(given) ‖₂

    with z the logits and p their softmax, averaged over the T times a sample was seen. All
    three are larger for a more suspicious label; the second is minus the area under the
    margin. Samples never seen have `nan`.

    Give `update` the logits of each batch as training produces them, or of a pass over the
    training set in evaluation mode (better with strong augmentation or dropout), and call
    `end_epoch` after each epoch. Stop updating where training should stop: a network that has
    memorised its labels no longer tells which are wrong.

    Args:
        n_samples: Size of the training set; ids run from 0 to n_samples − 1.
        num_classes: Number of classes, at least 2. With 2, a single logit per sample (of the
            second class) is understood as well.
        ignore_index: A label that marks samples to skip.

    Cost:
        `update` takes O(b · C) for a batch of b; memory n · C numbers for the mean prediction.

    Example:
        >>> scorer = LabelNoiseScorer(n_samples=3, num_classes=2)
        >>> logits = torch.tensor([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
        >>> scorer.update(logits, labels=torch.tensor([0, 1, 1]), ids=torch.tensor([0, 1, 2]))
        >>> int(scorer.scores().argmax())
        2

    References:
        Pleiss et al. (2020), arXiv:2001.10528: the area under the margin. Paul, Ganguli,
        Dziugaite (2021), arXiv:2107.07075: EL2N. Column names of `issues` follow cleanlab.
    """

    def __init__(self, n_samples: int, num_classes: int, *, ignore_index: int = -100) -> None:
        where = "LabelNoiseScorer"
        expect(n_samples >= 1, f"{where}(n_samples=...)", "at least one sample", n_samples)
        expect(num_classes >= 2, f"{where}(num_classes=...)", "at least 2 classes", num_classes)
        self.n_samples, self.num_classes, self.ignore_index = n_samples, num_classes, ignore_index
        # One table, so that a batch is added to all sums at once.
        self._sums = torch.zeros(n_samples, len(_COLUMNS), dtype=torch.float64)
        self._given = torch.full((n_samples,), -1, dtype=torch.int64)
        self._probabilities = torch.zeros(n_samples, num_classes)
        self._stop = CleanPriorityStop(num_classes)
        self.signal: StopSignal | None = None
        self.epochs = 0

    def update(
        self,
        logits: Float[Tensor, "b C"],
        labels: Tensor | Sequence[int],
        ids: Tensor | Sequence[int],
    ) -> None:
        """Take the outputs of a batch; an id that occurs twice counts twice.

        Args:
            logits: Outputs before the softmax.
            labels: Given labels, 0 … C−1 or `ignore_index`. The label of an id may not change.
            ids: Positions in the training set.

        Raises:
            ValueError: Shapes that do not fit, ids or labels out of range, a label that
                contradicts an earlier one, logits that are not finite. Nothing is recorded.
        """
        # On the processor: the tables live there, and a batch of logits is small.
        logits = torch.as_tensor(logits).detach().float().cpu()
        labels = torch.as_tensor(labels).detach().cpu().long()
        ids = torch.as_tensor(ids).detach().cpu().long()
        logits, labels, ids = self._checked(logits, labels, ids)
        if not len(ids):
            return
        log_p = logits.log_softmax(1)
        p = log_p.exp()
        column = labels[:, None]
        loss = -log_p.gather(1, column)[:, 0]
        given = logits.gather(1, column)[:, 0]
        others = logits.scatter(1, column, -math.inf).amax(1)
        # ‖p − onehot‖² without the onehot
        distance = (p.square().sum(1) - 2 * p.gather(1, column)[:, 0] + 1).clamp(min=0).sqrt()
        one = torch.ones_like(loss)
        rows = torch.stack([one, loss, given - others, distance, one, loss], dim=1)
        self._sums.index_add_(0, ids, rows.double())
        self._probabilities.index_add_(0, ids, p)
        self._given[ids] = labels

    def end_epoch(self, *, rho: float = math.nan) -> StopSignal:
        """Close an epoch: say whether to stop, and start averaging the next epoch's losses.

        Args:
            rho: ‖gradient of the others‖ / ‖gradient of the suspects‖, if it was measured.
        """
        means, present = self.scores("mean_loss"), self.epoch_losses()
        self.signal = self._stop.update(means, present, rho=rho)
        self._sums[:, 4:] = 0
        self.epochs += 1
        return self.signal

    def epoch_losses(self) -> Float[np.ndarray, " n"]:
        """Mean loss of each sample since the epoch began; `nan` if it was not seen in it."""
        return self._mean("epoch_loss", "epoch_count")

    def scores(self, method: Method = "mean_loss") -> Float[np.ndarray, " n"]:
        """One number per sample, larger for a more suspicious label; `nan` if never seen."""
        if method == "mean_loss":
            return self._mean("loss")
        if method == "aum":
            return -self._mean("margin")
        if method == "el2n":
            return self._mean("distance")
        unknown(f"scores(method={method!r})", "a method", str(method), ["mean_loss", "aum", "el2n"])

    def mixture(self, method: Method = "mean_loss") -> LossMixture:
        """The two groups the scores fall into, with each sample's posterior."""
        return loss_mixture(self.scores(method))

    @property
    def noise_rate(self) -> float:
        """Estimated share of wrong labels, `nan` if the scores do not split in two."""
        mixture = self.mixture()
        seen = int((self._sums[:, 0] > 0).sum())
        return math.nan if math.isnan(mixture.weight) else float(mixture.suspects.sum()) / seen

    def issues(self, method: Method = "mean_loss") -> pd.DataFrame:
        """One row per sample, with cleanlab's column names.

        Returns:
            ``is_label_issue``, ``label_score`` (1 minus the posterior of the suspicious
            component, in [0, 1], lower is worse; `nan` if unknown), ``given_label``,
            ``predicted_label`` (that of the mean prediction; −1 if never seen), and our
            ``score``. The index is the id.
        """
        mixture = self.mixture(method)
        predicted = self._probabilities.argmax(1)
        predicted[self._sums[:, 0] == 0] = -1
        return pd.DataFrame(
            {
                "is_label_issue": mixture.suspects,
                "label_score": 1 - mixture.posterior,
                "given_label": self._given.numpy(),
                "predicted_label": predicted.numpy(),
                "score": self.scores(method),
            },
            index=pd.RangeIndex(self.n_samples, name="id"),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs to go on exactly."""
        return {
            "sums": self._sums.clone(),
            "given": self._given.clone(),
            "probabilities": self._probabilities.clone(),
            "stop": self._stop.state_dict(),
            "epochs": self.epochs,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state of a scorer of the same size.

        Raises:
            ValueError: If it was saved for another number of samples or classes.
        """
        expect(
            tuple(state["probabilities"].shape) == (self.n_samples, self.num_classes),
            "LabelNoiseScorer.load_state_dict(state)",
            f"a state of {self.n_samples} samples and {self.num_classes} classes",
            f"one of shape {tuple(state['probabilities'].shape)}",
        )
        self._sums = state["sums"].clone()
        self._given = state["given"].clone()
        self._probabilities = state["probabilities"].clone()
        self._stop.load_state_dict(state["stop"])
        self.epochs = state["epochs"]

    def _checked(self, logits: Tensor, labels: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        """The batch without ignored samples, or an error."""
        where = "LabelNoiseScorer.update"
        if self.num_classes == 2 and (logits.ndim == 1 or logits.shape[1:] == (1,)):
            second = logits.reshape(-1)
            logits = torch.stack([torch.zeros_like(second), second], dim=1)
        expect(
            logits.ndim == 2 and logits.shape[1] == self.num_classes,
            f"{where}(logits=...)",
            f"shape (batch, {self.num_classes})",
            tuple(logits.shape),
        )
        n = len(logits)
        expect(labels.shape == (n,), f"{where}(labels=...)", f"shape ({n},)", tuple(labels.shape))
        expect(ids.shape == (n,), f"{where}(ids=...)", f"shape ({n},)", tuple(ids.shape))
        kept = labels != self.ignore_index
        if not bool(kept.all()):
            logits, labels, ids = logits[kept], labels[kept], ids[kept]
        if not len(ids):
            return logits, labels, ids
        low, high = (int(end) for end in torch.aminmax(ids))
        expect(
            low >= 0 and high < self.n_samples,
            f"{where}(ids=...)",
            f"positions from 0 to {self.n_samples - 1}",
            f"{low} to {high}",
        )
        low, high = (int(end) for end in torch.aminmax(labels))
        expect(
            low >= 0 and high < self.num_classes,
            f"{where}(labels=...)",
            f"classes from 0 to {self.num_classes - 1}",
            f"{low} to {high}",
            hint="`ignore_index` marks samples to skip.",
        )
        if not math.isfinite(float(logits.sum())):  # cheaper than a test of every number
            bad = ids[~torch.isfinite(logits).all(1)].tolist()
            expect(
                not bad, f"{where}(logits=...)", "finite numbers", f"NaN or inf for ids {bad[:8]}"
            )
        before = self._given[ids]
        changed = (before >= 0) & (before != labels)
        if bool(changed.any()):
            bad = ids[changed].tolist()
            expect(
                False,
                f"{where}(labels=...)",
                "the label an id had before",
                f"another one for ids {bad[:8]}",
                hint="ids must name the sample, not its place in the batch.",
            )
        return logits, labels, ids

    def _mean(self, column: str, count: str = "count") -> np.ndarray:
        """A column's total over the count, `nan` where that is 0."""
        total = self._sums[:, _COLUMNS.index(column)]
        return (total / self._sums[:, _COLUMNS.index(count)]).numpy()
