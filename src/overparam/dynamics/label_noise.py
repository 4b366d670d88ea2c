"""Which labels look wrong, from the outputs a training run produces anyway.

Longer than other files: the scores of a sample are one formula each, over the same counts.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from overparam._as_before import or_as_before
from overparam._batch import on_device
from overparam._checked import checked
from overparam._deprecated import OldName, renamed
from overparam._errors import expect, unknown
from overparam.dynamics.clean_priority import (
    CleanPriorityStop,
    LossMixture,
    StopSignal,
    split_losses,
)
from overparam.dynamics.random_labels import share_of_random_labels

if TYPE_CHECKING:
    import pandas as pd

Integers = Tensor | np.ndarray | Sequence[int]
Method = Literal["margin_loss", "mean_loss", "aum", "el2n", "alignment"]
# Sums over all visits, and those that start anew with each epoch.
_COLUMNS = ("count", "loss", "margin", "margin_loss", "distance", "epoch_count", "epoch_loss")
_EPOCH = _COLUMNS.index("epoch_count")


class LabelNoiseScorer:
    """Score every training sample for a wrong label, along a training run.

        margin_loss   √( (1/T) Σ_t log²(1 + exp(−m_t)) )
        mean_loss     (1/T) Σ_t −log p_t(given label)
        aum           −(1/T) Σ_t m_t
        el2n          (1/T) Σ_t ‖ p_t − onehot(given) ‖₂
        alignment     −(1/T) Σ_t ⟨∇ℓ_t, mean gradient⟩, from what `update_alignment` was given

    with z the logits, p their softmax, and m = z[given] − max over the other labels of z the
    margin, averaged over the T times a sample was seen. All are larger for a more suspicious
    label, and `nan` for samples never seen.

    The first, ours, is the root mean square of the logistic loss of the margin: what the
    sample would cost if the given label and its strongest rival were the only two. A mean of
    margins (minus the area under the margin) lets late, easy epochs make up for early, clear
    contradictions; here a label that leads clearly costs next to nothing. A mean of losses
    counts how undecided a young network is among all other labels; here only the strongest
    matters. The square weighs what the network contradicted with confidence. With two classes
    the score is the root mean square of the loss itself.

    Give `update` the logits of each batch as training produces them, or of a pass over the
    training set in evaluation mode (better with strong augmentation, dropout or batch norm),
    and call `end_epoch` after each epoch. Stop updating where training should stop: a network
    that has memorised its labels no longer tells which are wrong. With smoothed or mixed
    targets, give the hard label that the sample came with.

    Args:
        n_samples: Size of the training set; ids run from 0 to n_samples − 1.
        n_classes: Number of classes, at least 2. With 2, a single logit per sample (of the
            second class) is understood as well. `None` for a regression, or where only losses
            are known: use `update_losses`; no margins, and no signal to stop.
        ignore_index: A label that marks samples to skip.

    Cost:
        `update` takes O(b · C) for a batch of b; memory n · C numbers for the mean prediction,
        and a few for each sample. Scores are read off in O(n).

    Example:
        >>> scorer = LabelNoiseScorer(n_samples=3, n_classes=2)
        >>> logits = torch.tensor([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
        >>> scorer.update(logits, labels=torch.tensor([0, 1, 1]), ids=torch.tensor([0, 1, 2]))
        >>> int(scorer.scores().argmax())
        2

    References:
        Pleiss et al. (2020), arXiv:2001.10528: the area under the margin. Paul, Ganguli,
        Dziugaite (2021), arXiv:2107.07075: EL2N. Column names of `issues` follow cleanlab.
    """

    num_classes = OldName("n_classes")

    @renamed(num_classes="n_classes")
    @checked
    def __init__(self, n_samples: int, n_classes: int | None, *, ignore_index: int = -100) -> None:
        where = "LabelNoiseScorer"
        expect(n_samples >= 1, f"{where}(n_samples=...)", "at least one sample", n_samples)
        expect(
            n_classes is None or n_classes >= 2,
            f"{where}(n_classes=...)",
            "at least 2 classes, or None for a regression",
            n_classes,
        )
        self._stop = CleanPriorityStop(n_classes)
        self.n_samples, self.n_classes, self.ignore_index = n_samples, n_classes, ignore_index
        # One table, so that a batch is added to all sums at once.
        self._sums = torch.zeros(n_samples, len(_COLUMNS), dtype=torch.float64)
        self._aligned = torch.zeros(n_samples, 2, dtype=torch.float64)
        self._given = torch.full((n_samples,), -1, dtype=torch.int64)
        self._probabilities = torch.zeros(n_samples, n_classes or 0)
        self.signal: StopSignal | None = None
        self.epochs = 0

    @checked(result="anything")
    def update(
        self,
        logits: Float[Tensor, "b C"] | Float[Tensor, "b"],
        labels: Integers,
        ids: Integers,
    ) -> None:
        """Take the outputs of a batch; an id that occurs twice counts twice.

        Args:
            logits: Outputs before the softmax.
            labels: Given labels, 0 … C−1 or `ignore_index`. The label of an id may not change.
                Hard ones: where training mixes or smooths them, what it started from.
            ids: Positions in the training set.

        Raises:
            ValueError: Shapes that do not fit, ids or labels that are out of range or no whole
                numbers, a label that contradicts an earlier one, logits that are not finite.
                Nothing is recorded.
        """
        # On the processor: the tables live there, and a batch of logits is small.
        logits = torch.as_tensor(logits).detach().float().cpu()
        where = "LabelNoiseScorer.update"
        hint = "of soft or mixed targets give the hard label each sample came with."
        labels = _whole(f"{where}(labels=...)", labels, hint)
        ids = _whole(f"{where}(ids=...)", ids)
        logits, labels, ids = self._checked(logits, labels, ids)
        if not len(ids):
            return
        log_p = logits.log_softmax(1)
        p = log_p.exp()
        column = labels[:, None]
        loss = -log_p.gather(1, column)[:, 0]
        given = logits.gather(1, column)[:, 0]
        margin = given - logits.scatter(1, column, -math.inf).amax(1)
        # In double precision, where the square of no finite logit overflows.
        margin_loss = softplus(-margin.double()).square()
        # ‖p − onehot‖² without the onehot
        distance = (p.square().sum(1) - 2 * p.gather(1, column)[:, 0] + 1).clamp(min=0).sqrt()
        one = torch.ones_like(loss)
        rows = torch.stack([one, loss, margin, margin_loss, distance, one, loss], dim=1)
        self._sums.index_add_(0, ids, rows)
        self._probabilities.index_add_(0, ids, p)
        self._given[ids] = labels

    @checked(result="anything")
    def update_losses(self, losses: Float[Tensor, "b"], ids: Integers) -> None:
        """Take the losses of a batch, where there are no logits: in a regression.

        Args:
            losses: One per sample, before any mean over the batch.
            ids: Positions in the training set.

        Raises:
            ValueError: Shapes that do not fit, ids out of range, losses that are not finite,
                or a scorer of classes, which needs logits. Nothing is recorded.
        """
        where = "LabelNoiseScorer.update_losses"
        expect(
            self.n_classes is None,
            f"{where}(...)",
            "a scorer with n_classes=None",
            f"one of {self.n_classes} classes",
            hint="give `update` the logits: margins and probabilities come from them.",
        )
        losses, ids = self._checked_values(where, "losses", losses, ids)
        zero, one = torch.zeros_like(losses), torch.ones_like(losses)
        rows = torch.stack([one, losses, zero, zero, zero, one, losses], dim=1)
        self._sums.index_add_(0, ids, rows)

    @checked(result="anything")
    def update_alignment(self, alignment: Float[Tensor, "b"], ids: Integers) -> None:
        """Take what `gradient_alignment` measured, for the score "alignment".

        Args:
            alignment: Inner product of each sample's gradient with the mean one.
            ids: Positions in the training set.

        Raises:
            ValueError: Shapes that do not fit, ids out of range, or numbers not finite.
        """
        where = "LabelNoiseScorer.update_alignment"
        values, ids = self._checked_values(where, "alignment", alignment, ids)
        self._aligned.index_add_(0, ids, torch.stack([values, torch.ones_like(values)], dim=1))

    def end_epoch(self, *, rho: float = math.nan) -> StopSignal:
        """Close an epoch: say whether to stop, and start averaging the next epoch's losses.

        Args:
            rho: ‖gradient of the others‖ / ‖gradient of the suspects‖, if it was measured.
        """
        self.signal = self._stop.update(
            self.scores("mean_loss"), self.epoch_losses(), random_share=self.random_share, rho=rho
        )
        self._sums[:, _EPOCH:] = 0
        self.epochs += 1
        return self.signal

    def epoch_losses(self) -> Float[np.ndarray, "n"]:
        """Mean loss of each sample since the epoch began; `nan` if it was not seen in it."""
        return self._mean("epoch_loss", "epoch_count")

    @checked(result="anything")
    def scores(self, method: Method | None = None) -> Float[np.ndarray, "n"]:
        """One number per sample, larger for a more suspicious label; `nan` if never seen.

        Args:
            method: `None` is "margin_loss", or "mean_loss" without classes. The margin loss
                ranks best or nearly so up to where training should stop, see `x.py bench
                label_noise`; alignment is for the first epochs.

        Raises:
            ValueError: Another name, or one that needs logits without classes.
        """
        methods = ["margin_loss", "mean_loss", "aum", "el2n", "alignment"]
        if method is None:
            method = "mean_loss" if self.n_classes is None else "margin_loss"
        if method not in methods:
            unknown(f"scores(method={method!r})", "a method", str(method), methods)
        expect(
            self.n_classes is not None or method in ("mean_loss", "alignment"),
            f"scores(method={method!r})",
            "'mean_loss' without classes",
            method,
        )
        if method == "margin_loss":
            return np.sqrt(self._mean("margin_loss"))
        if method == "mean_loss":
            return self._mean("loss")
        if method == "aum":
            return -self._mean("margin")
        if method == "el2n":
            return self._mean("distance")
        return (-self._aligned[:, 0] / self._aligned[:, 1]).numpy()

    @checked(result="anything")
    def mixture(self, method: Method | None = None) -> LossMixture:
        """The two groups the scores fall into, with each sample's posterior."""
        return split_losses(self.scores(method))

    @property
    def random_share(self) -> float:
        """Share of labels that look drawn at random by the mean predictions so far.

        See `random_label_share`; `nan` with two classes, or before the first `update`.
        """
        return share_of_random_labels(self._probabilities, self._given)

    @property
    def noise_rate(self) -> float:
        """Estimated share of wrong labels.

        What the last `end_epoch` said; before any, the share of samples that are suspects;
        `nan` if the scores do not split in two. Plausible wrong labels are not in it.
        """
        if self.signal is not None:
            return self.signal.noise_rate
        mixture = self.mixture()
        seen = int((self._sums[:, 0] > 0).sum())
        return math.nan if math.isnan(mixture.weight) else float(mixture.suspects.sum()) / seen

    @property
    def predicted(self) -> Int[Tensor, "n"]:
        """Label of each sample's mean prediction; −1 if never seen, or without classes."""
        if self.n_classes is None:
            return torch.full_like(self._given, -1)
        return torch.where(self._given < 0, -1, self._probabilities.argmax(1))

    @checked(result="anything")
    def issues(self, method: Method | None = None) -> "pd.DataFrame":
        """One row per sample, with cleanlab's column names.

        It stands where cleanlab's own table of label issues does, as in
        ``CleanLearning(...).fit(x, labels, label_issues=scorer.issues())``.

        Returns:
            ``is_label_issue`` (the sample is in the suspicious component, and the network,
            averaged over its epochs, believes another label), ``label_score`` (1 minus the
            posterior of that component, in [0, 1], lower is worse; `nan` if unknown),
            ``given_label``, ``predicted_label`` (that of the mean prediction; −1 if never
            seen), and our ``score``. The index is the id. Without classes both labels are −1.
        """
        import pandas as pd

        mixture = self.mixture(method)
        predicted = self.predicted
        disagree = (predicted != self._given).numpy() | (self.n_classes is None)
        return pd.DataFrame(
            {
                "is_label_issue": mixture.suspects & disagree,
                "label_score": 1 - mixture.posterior,
                "given_label": self._given.numpy().copy(),
                "predicted_label": predicted.numpy(),
                "score": self.scores(method),
            },
            index=pd.RangeIndex(self.n_samples, name="id"),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs to go on exactly."""
        return {
            "sums": self._sums.clone(),
            "aligned": self._aligned.clone(),
            "given": self._given.clone(),
            "probabilities": self._probabilities.clone(),
            "stop": self._stop.state_dict(),
            "epochs": self.epochs,
        }

    @or_as_before
    @checked
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state of a scorer of the same size.

        Raises:
            ValueError: If it was saved for another number of samples or classes, or by a
                version that kept other sums.
        """
        expect(
            state["probabilities"].shape == self._probabilities.shape,
            "LabelNoiseScorer.load_state_dict(state)",
            f"a state of {self.n_samples} samples and {self.n_classes} classes",
            f"one of shape {tuple(state['probabilities'].shape)}",
        )
        expect(
            state["sums"].shape == self._sums.shape,
            "LabelNoiseScorer.load_state_dict(state)",
            f"{len(_COLUMNS)} sums for each of {self.n_samples} samples",
            f"shape {tuple(state['sums'].shape)}",
            hint="another version saved it; scores cannot be made up for, start with a new scorer.",
        )
        kept = on_device(state, self._sums.device)  # it may have been read onto another
        self.epochs = state["epochs"]
        self._sums, self._aligned = kept["sums"].clone(), kept["aligned"].clone()
        self._given = kept["given"].clone()
        self._probabilities = kept["probabilities"].clone()
        self._stop.load_state_dict(state["stop"])

    def _checked(self, logits: Tensor, labels: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        """The batch without ignored samples, or an error."""
        where = "LabelNoiseScorer.update"
        expect(
            self.n_classes is not None,
            f"{where}(...)",
            "a scorer of classes",
            "one with n_classes=None",
            hint="without classes there are only losses: call `update_losses`.",
        )
        assert self.n_classes is not None
        if self.n_classes == 2 and (logits.ndim == 1 or logits.shape[1:] == (1,)):
            second = logits.reshape(-1)
            logits = torch.stack([torch.zeros_like(second), second], dim=1)
        expect(
            logits.ndim == 2 and logits.shape[1] == self.n_classes,
            f"{where}(logits=...)",
            f"shape (batch, {self.n_classes})",
            tuple(logits.shape),
        )
        n = len(logits)
        expect(
            labels.shape == (n,),
            f"{where}(labels=...)",
            f"one class per sample, shape ({n},)",
            f"shape {tuple(labels.shape)}",
            hint="of soft or mixed targets give the hard label each sample came with.",
        )
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
            low >= 0 and high < self.n_classes,
            f"{where}(labels=...)",
            f"classes from 0 to {self.n_classes - 1}",
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

    def _checked_values(
        self, where: str, name: str, values: Tensor, ids: Integers
    ) -> tuple[Tensor, Tensor]:
        """One finite number per id, or an error."""
        values = torch.as_tensor(values).detach().double().cpu()
        ids = _whole(f"{where}(ids=...)", ids)
        expect(values.ndim == 1, f"{where}({name}=...)", "one per sample", tuple(values.shape))
        n = len(values)
        expect(ids.shape == (n,), f"{where}(ids=...)", f"shape ({n},)", tuple(ids.shape))
        inside = (ids >= 0) & (ids < self.n_samples)
        expect(
            inside.all(),
            f"{where}(ids=...)",
            f"positions from 0 to {self.n_samples - 1}",
            ids[~inside].tolist()[:8],
        )
        finite = torch.isfinite(values)
        expect(
            finite.all(),
            f"{where}({name}=...)",
            "finite numbers",
            f"NaN or inf for ids {ids[~finite].tolist()[:8]}",
        )
        return values, ids

    def _mean(self, column: str, count: str = "count") -> np.ndarray:
        """A column's total over the count, `nan` where that is 0."""
        total = self._sums[:, _COLUMNS.index(column)]
        return (total / self._sums[:, _COLUMNS.index(count)]).numpy()


def _whole(where: str, values: Integers, hint: str = "") -> Tensor:
    """Whole numbers on the processor, in whatever type they came, or an error."""
    given = torch.as_tensor(values).detach().cpu()
    if given.is_floating_point():
        strange = given[given.long() != given]  # NaN and infinity too
        expect(not len(strange), where, "whole numbers", strange[:4].tolist(), hint)
    expect(not given.is_complex(), where, "whole numbers", given.dtype, hint, error=TypeError)
    return given.long()
