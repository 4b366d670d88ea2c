"""What a training run shows about its labels, kept from the epoch that tells most."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from overparam._batch import call, chunks, n_examples, take
from overparam._model import undisturbed
from overparam._types import Inputs
from overparam.diagnosis.label_evidence import BEYOND_CHANCE, LabelEvidence, judge
from overparam.diagnosis.task import TrainingTask
from overparam.dynamics.clean_priority import split_losses
from overparam.dynamics.label_noise import LabelNoiseScorer
from overparam.dynamics.random_labels import implausible_labels

# Held-out and training examples that are looked at.
_HELD_OUT, _TRAINED = 2000, 1000
# Epochs that are all looked at; from there on, one of so many.
_EVERY, _SPACING = 10, 1.1
# A held-out loss that exceeds its least by no more than this part is as good, and a later epoch
# tells more.
_SLACK = 0.02
# The surest half of the predictions is asked; with two classes, where nothing else tells misfit
# from noise, the surest quarter.
_PARTS, _PARTS_OF_TWO = 2, 4
# A loss within this part of the cross entropy of the outputs is that, but for rounding.
_SAME = 1e-3
# A suspect's label costs at least this part of what a guess does, ln C.
_COSTLY = 0.9


@dataclass(frozen=True)
class LabelScores:
    """Every training label at the epoch that tells most.

    Attributes:
        given: The label.
        predicted: What the network took it for, averaged over its epochs; −1 if never seen.
        score: Of the scorer: larger for a more suspicious label.
        posterior: That it belongs to the suspicious component of the scores.
        suspect: Whether it looks wrong: the network believes another, and the label costs what
            a guess would.
    """

    given: np.ndarray
    predicted: np.ndarray
    score: np.ndarray
    posterior: np.ndarray
    suspect: np.ndarray


@dataclass(frozen=True)
class _Look:
    """One epoch: the held-out outputs, whether they are log likelihoods, and the scores so far."""

    epoch: int
    outputs: Tensor
    likely: bool
    predicted: Tensor
    losses: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class _Excess:
    """How much larger the error on training examples is: with its deviation, and that error."""

    size: float = 0.0
    deviation: float = 1.0
    error: float = 0.0

    @property
    def ratio(self) -> float:
        return self.size / self.deviation


class LabelWatch:
    """Look at the labels after an epoch; keep the last one at which the network did its best.

    Wrong labels are told from hard ones by a network that has learned what the others say and
    not yet them: that of the least held-out loss. What the network is sure of is counted on
    held-out examples, which it cannot have memorised. If their labels are right and those of
    the training part are not, it errs more on the latter; that is kept where it is clearest.

    Args:
        task: With a class for every example.
        seed: Chooses the examples where there are many.

    Cost:
        A forward pass over at most 2000 held-out and 1000 training examples after each of the
        first ten epochs, and then whenever the epochs have grown by a tenth.
    """

    def __init__(self, task: TrainingTask, seed: int = 0) -> None:
        self._task, generator = task, torch.Generator().manual_seed(seed)
        examples = task.examples
        self._held_out, self._trained = (
            torch.randperm(n_examples(x), generator=generator)[:most]
            for x, most in ((examples.x_test, _HELD_OUT), (examples.x, _TRAINED))
        )
        self._next, self._least, self._least_error = 1, math.inf, math.inf
        self._best: _Look | None = None
        self._least_wrong: _Look | None = None
        self._excess = _Excess()

    def look(self, epoch: int, scorer: LabelNoiseScorer) -> None:
        """Take the network as it is after an epoch, unless it is too soon after the last look."""
        if epoch < self._next or len(self._held_out) == 0:
            return
        self._next = epoch + 1 if epoch < _EVERY else math.ceil(_SPACING * epoch)
        examples = self._task.examples
        with undisturbed(self._task.model, evaluation=True), torch.no_grad():
            outputs = self._outputs(examples.x_test, self._held_out)
            given = examples.y_test[self._held_out]
            loss = float(self._task.loss(outputs, given))
            trained = self._outputs(examples.x, self._trained)
        if not math.isfinite(loss) or not bool(torch.isfinite(trained).all()):
            return
        wrong = _guesses(outputs) != given
        excess = _excess(_guesses(trained) != examples.y[self._trained], wrong)
        if excess.ratio > self._excess.ratio:
            self._excess = excess
        error = float(wrong.double().mean())
        self._least = min(self._least, loss)
        best = loss - self._least <= _SLACK * abs(self._least)
        least_wrong = error < self._least_error
        if not best and not least_wrong:
            return
        entropy = float(cross_entropy(_two_columns(outputs), given))
        likely = abs(loss - entropy) <= _SAME * abs(entropy)
        scores = scorer.scores("mean_loss"), scorer.scores()
        look = _Look(epoch, outputs, likely, scorer.predicted, *scores)
        if best:
            self._best = look
        if least_wrong:
            self._least_wrong, self._least_error = look, error

    def evidence(self) -> LabelEvidence | None:
        """What was counted; `None` before the first look."""
        return None if self._best is None else self._evidence(self._chosen())

    def scores(self) -> LabelScores | None:
        """Every training label, at the epoch that tells most; `None` before the first look."""
        return None if self._best is None else self._scores(self._chosen())

    def _chosen(self) -> _Look:
        """The epoch of the least loss; where only labels of the training part are wrong, error.

        The loss on right labels goes on falling while wrong ones are memorised.
        """
        assert self._best is not None
        if self._least_wrong is None or self._excess.ratio <= BEYOND_CHANCE:
            return self._best
        without = replace(self._evidence(self._best), excess=0.0)
        return self._best if judge(without).kind == "random" else self._least_wrong

    def _evidence(self, look: _Look) -> LabelEvidence:
        scores, excess = self._scores(look), self._excess
        given = self._task.examples.y_test[self._held_out].cpu()
        p = _probabilities(look.outputs)
        n, classes = p.shape
        guess = p.argmax(1)
        wrong = guess != given
        top = p.topk(2, dim=1).values
        parts = _PARTS_OF_TWO if classes == 2 else _PARTS
        sure = (top[:, 0] - top[:, 1]).argsort(descending=True, stable=True)[: max(n // parts, 1)]
        blind = 1 / classes
        confidence = (float(top[sure, 0].mean()) - blind) / (1 - blind) if look.likely else 1.0
        return LabelEvidence(
            epoch=look.epoch, classes=classes, n_train=len(scores.given), held_out=n,
            error=float(wrong.double().mean()), error_by_class=_error_by_class(guess, given),
            sure=len(sure), sure_wrong=int(wrong[sure].sum()),
            implausible=_implausible(p, guess, given) if classes > 2 else None,
            confidence=confidence,
            excess=excess.size, excess_deviation=excess.deviation, excess_error=excess.error,
            suspects=int(scores.suspect.sum()), learned=self._learned(scores),
        )  # fmt: skip

    def _scores(self, look: _Look) -> LabelScores:
        given = self._task.examples.y.cpu().numpy()
        predicted = look.predicted.numpy()
        classes = self._task.n_classes
        assert classes is not None
        contradicted = (predicted != given) & (predicted >= 0)
        with np.errstate(invalid="ignore"):  # of samples never seen
            costly = look.losses >= _COSTLY * math.log(classes)
        posterior = split_losses(look.scores).posterior
        return LabelScores(given, predicted, look.scores, posterior, contradicted & costly)

    def _learned(self, scores: LabelScores) -> float:
        """Share of the suspects whose label the network gives now; of a thousand at most."""
        index = torch.from_numpy(np.flatnonzero(scores.suspect))[:_TRAINED]
        if not len(index):
            return 0.0
        examples = self._task.examples
        with undisturbed(self._task.model, evaluation=True), torch.no_grad():
            guess = _guesses(self._outputs(examples.x, index))
        return float((guess == examples.y[index]).double().mean())

    def _outputs(self, x: Inputs, index: Tensor) -> Tensor:
        return torch.cat(
            [call(self._task.model, take(x, index[part])) for part in chunks(len(index), 256)]
        )


def _excess(trained: Tensor, held_out: Tensor) -> _Excess:
    """Of the wrong predictions on training examples over those on held-out ones."""
    errors = [float(wrong.double().mean()) for wrong in (trained, held_out)]
    # One more error in each does not let the deviation vanish.
    deviation = math.sqrt(
        sum(
            (error * (1 - error) + 1 / len(wrong)) / len(wrong)
            for error, wrong in zip(errors, (trained, held_out), strict=True)
        )
    )
    return _Excess(errors[0] - errors[1], deviation, errors[0])


def _two_columns(outputs: Tensor) -> Tensor:
    """Logits with a column per class, also of a network with one output for two classes."""
    outputs = outputs.reshape(len(outputs), -1)
    return torch.cat([torch.zeros_like(outputs), outputs], 1) if outputs.shape[1] == 1 else outputs


def _guesses(outputs: Tensor) -> Tensor:
    return _two_columns(outputs).argmax(1)


def _probabilities(outputs: Tensor) -> Tensor:
    return _two_columns(outputs).cpu().double().softmax(1)


def _error_by_class(guess: Tensor, given: Tensor) -> float:
    """Share of wrong ones among the predictions of a class, mean over those that occur."""
    classes = torch.cat([guess, given]).unique()
    wrong = guess != given
    shares = [float(wrong[guess == k].double().mean()) for k in classes if bool((guess == k).any())]
    return (sum(shares) + len(classes) - len(shares)) / len(classes)


def _implausible(p: Tensor, guess: Tensor, given: Tensor) -> int:
    """Labels in the lower half of the alternatives, each class relative to its mean probability.

    Without that a rare class is the last alternative of every example, its own included.
    """
    lifted = p / p.mean(0).clamp(min=1e-300)
    lifted = lifted.scatter(1, guess[:, None], 2 * float(lifted.max()) + 1)
    return int(implausible_labels(lifted, given).sum())
