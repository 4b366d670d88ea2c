"""What a run shows of its labels: clean ones raise no alarm, replaced ones do."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn

from overparam.datasets import load, prepare
from overparam.diagnosis.examples import as_examples
from overparam.diagnosis.label_evidence import judge
from overparam.diagnosis.label_watch import LabelWatch
from overparam.diagnosis.task import TrainingTask, build_task
from overparam.diagnosis.training import train_monitored
from overparam.dynamics import LabelNoiseScorer, Monitor


def watched(data: tuple, rate: float, steps: int, seed: int = 0) -> LabelWatch:
    """The watch of a run of the built-in network with plain SGD."""

    def sgd(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=rate)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        task = build_task(None, as_examples(data, seed=seed), None, sgd, 32)
    monitor = Monitor(
        task.model, task.loss, task.optimizer, probes=[], max_overhead=math.inf,
        n_classes=task.n_classes, n_samples=len(task.examples.y),
    )  # fmt: skip
    labels = train_monitored(task, monitor, math.inf, max_steps=steps, seed=seed).labels
    assert labels is not None
    return labels


def linear_map(classes: int, n: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=draw)
    return x, (x @ torch.randn(d, classes, generator=draw)).argmax(1)


def flipped(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    other = (y + draw.integers(1, y.max() + 1, len(y))) % (y.max() + 1)
    return np.where(draw.random(len(y)) < share, other, y)


def test_a_network_that_has_hardly_begun_is_not_sure_where_it_is_surest() -> None:
    """Its errors look like those of random labels: wine, after two epochs at a low rate."""
    x, y = (np.asarray(part) for part in load_wine(return_X_y=True))
    data = (((x - x.mean(0)) / x.std(0)).astype(np.float32), y)
    early, late = (watched(data, rate=0.01, steps=steps).evidence() for steps in (8, 400))
    assert early is not None
    assert late is not None
    assert early.confidence < 0.2 < 0.8 < late.confidence
    assert judge(early).kind in ("misfit", "few")


@pytest.mark.parametrize(
    ("classes", "n", "d", "rate"), [(2, 260, 40, 0.6), (4, 260, 20, 1.0), (10, 500, 30, 1.0)]
)
def test_labels_that_a_linear_map_gives_raise_no_alarm(
    classes: int, n: int, d: int, rate: float
) -> None:
    # Some are hard at such rates: their loss rises above that of guessing.
    evidence = watched(linear_map(classes, n, d, 0), rate, steps=400).evidence()
    assert evidence is not None
    assert judge(evidence).kind != "random", evidence


@pytest.mark.parametrize("test_too", [True, False], ids=["all", "training part"])
def test_a_fifth_of_the_digits_replaced_is_found(test_too: bool) -> None:
    data = prepare(load("digits"))
    given = flipped(data.y_train, 0.2, 1)
    y_test = flipped(data.y_test, 0.2, 2) if test_too else data.y_test
    labels = watched((data.x_train, given, data.x_test, y_test), 0.1, steps=600)
    evidence, scores = labels.evidence(), labels.scores()
    assert evidence is not None
    assert scores is not None
    verdict = judge(evidence)
    assert verdict.kind == "random", evidence
    assert verdict.low <= 0.2 <= verdict.high
    wrong = given != data.y_train
    assert scores.suspect[wrong].mean() >= 0.85
    assert wrong[scores.suspect].mean() >= 0.8
    assert evidence.suspects == scores.suspect.sum()


def constant(task: TrainingTask, outputs: Tensor) -> None:
    """Make the network give the same outputs for every input."""
    *_, last = (m for m in task.model.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(outputs)


def test_counts_by_hand() -> None:
    # Held out: 8 examples of which the first class is given 5 times, the third once.
    x = torch.arange(16.0)[:, None]
    y = torch.tensor([0, 1, 2, 0, 0, 1, 0, 2])
    y_test = torch.tensor([0, 0, 1, 0, 1, 0, 2, 0])
    task = build_task(None, as_examples((x[:8], y, x[8:], y_test)), None, None, 4)
    constant(task, torch.tensor([2.0, 1.0, 0.0]))
    scorer = LabelNoiseScorer(8, 3)
    scorer.update(torch.tensor([[2.0, 1.0, 0.0]]).expand(7, 3), y[:7], torch.arange(7))
    watch = LabelWatch(task)
    assert watch.evidence() is None
    watch.look(1, scorer)
    found = watch.evidence()
    assert found is not None
    assert (found.epoch, found.classes, found.n_train, found.held_out) == (1, 3, 8, 8)
    # Half of the training labels are contradicted, and three of the held-out ones; the classes
    # that are never predicted count as wrong.
    assert found.error == 3 / 8
    assert found.error_by_class == pytest.approx((3 / 8 + 1 + 1) / 3)
    assert found.sure == 4
    assert found.excess == pytest.approx(1 / 8)
    assert found.excess_error == 0.5
    # Never seen is never suspect; a label costs more than a guess for the last class, and for
    # the second, log(1 + e + 1/e) = 1.41 against 0.9 ln 3 = 0.99.
    scores = watch.scores()
    assert scores is not None
    assert scores.suspect.tolist() == [False, True, True, False, False, True, False, False]
    assert scores.predicted.tolist() == [0] * 7 + [-1]
    # The network never gives these labels.
    assert found.learned == 0


def test_a_rare_class_is_no_last_alternative() -> None:
    # The inputs raise the probability of the rare class, the third, where it is given.
    from overparam.diagnosis.label_watch import _implausible

    p = torch.tensor([[0.70, 0.25, 0.05], [0.74, 0.25, 0.01], [0.74, 0.25, 0.01]]).double()
    assert _implausible(p, p.argmax(1), torch.tensor([2, 0, 0])) == 0
    assert _implausible(p, p.argmax(1), torch.tensor([1, 2, 2])) == 3


def test_the_last_of_the_best_epochs_is_kept() -> None:
    x, y = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)), torch.ones(64).long()
    y[:24] = 0
    task = build_task(None, as_examples((x, y, x, y)), None, None, 8)
    scorer, watch = LabelNoiseScorer(64, 2), LabelWatch(task)
    scorer.update(torch.zeros(64, 2), y, torch.arange(64))
    # The loss is least where the odds are 40 to 24; nearby it is less than 2 % larger.
    least = math.log(40 / 24)
    for epoch, odds in enumerate((0.0, least, least + 0.1, 3.0, math.nan), start=1):
        constant(task, torch.tensor([0.0, odds]))
        watch.look(epoch, scorer)
    found = watch.evidence()
    assert found is not None
    assert found.epoch == 3
