"""Label scores against their definitions, and on real digits with wrong labels."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import nn

from overparam.dynamics import LabelNoiseScorer

METHODS = ("margin_loss", "mean_loss", "aum", "el2n")


def batch(n=6, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, generator=generator)
    return logits, torch.randint(0, classes, (n,), generator=generator), torch.arange(n)


def test_scores_equal_their_definitions():
    scorer = LabelNoiseScorer(6, 4)
    (first, labels, ids), (second, _, _) = batch(seed=0), batch(seed=1)
    scorer.update(first, labels, ids)
    scorer.update(second, labels, ids)
    expected = {"mean_loss": [], "aum": [], "el2n": []}
    squares = []
    for logits in (first, second):
        z, p = logits.double().numpy(), logits.double().softmax(1).numpy()
        rows = np.arange(6)
        given = labels.numpy()
        expected["mean_loss"].append(-np.log(p[rows, given]))
        others = z.copy()
        others[rows, given] = -np.inf
        expected["aum"].append(others.max(1) - z[rows, given])
        # The softmax loss if the given label and its strongest rival were the only two.
        pair = np.stack([z[rows, given], others.max(1)])
        squares.append((np.log(np.exp(pair).sum(0)) - pair[0]) ** 2)
        expected["el2n"].append(np.linalg.norm(p - np.eye(4)[given], axis=1))
    for method, values in expected.items():
        np.testing.assert_allclose(scorer.scores(method), np.mean(values, axis=0), rtol=1e-5)
    margin_loss = np.sqrt(np.mean(squares, axis=0))
    np.testing.assert_allclose(scorer.scores("margin_loss"), margin_loss, rtol=1e-5)
    np.testing.assert_array_equal(scorer.scores(), scorer.scores("margin_loss"))


def test_the_margin_loss_by_hand():
    # Margins of the first sample: ln 3 and −ln 3; the third label is never the strongest rival.
    # log(1 + 1/3) = ln 4 − ln 3, log(1 + 3) = ln 4. The second leads by far: its loss vanishes.
    ln3, ln4 = math.log(3), math.log(4)
    scorer = LabelNoiseScorer(2, 3)
    for z in ([ln3, 0.0, -1.0], [-ln3, 0.0, -1.0]):
        scorer.update(torch.tensor([z, [0.0, 90.0, 0.0]]), [0, 1], [0, 1])
    expected = math.sqrt(((ln4 - ln3) ** 2 + ln4**2) / 2)
    assert scorer.scores()[0] == pytest.approx(expected, rel=1e-6)
    assert scorer.scores()[1] == pytest.approx(0, abs=1e-30)


def test_the_margin_loss_reads_neither_lead_nor_indecision():
    # One contradiction, then a lead of 8 or of 80 three times: the mean margin forgets it.
    scorer = LabelNoiseScorer(2, 3)
    for margins in ([-2.0, -2.0], [8.0, 80.0], [8.0, 80.0], [8.0, 80.0]):
        logits = torch.tensor([[margin, 0.0, -1.0] for margin in margins])
        scorer.update(logits, [0, 0], [0, 1])
    assert scorer.scores()[0] == pytest.approx(scorer.scores()[1], rel=1e-6)
    assert scorer.scores("aum")[1] < scorer.scores("aum")[0] - 50
    # An undecided network of many classes loses ln C; of the given label and one rival, ln 2.
    undecided = LabelNoiseScorer(1, 1000)
    undecided.update(torch.zeros(1, 1000), [0], [0])
    assert undecided.scores()[0] == pytest.approx(math.log(2))
    assert undecided.scores("mean_loss")[0] == pytest.approx(math.log(1000))


def test_huge_logits_have_finite_scores():
    scorer = LabelNoiseScorer(2, 2)
    scorer.update(torch.tensor([[1e30, 0.0], [1e30, 0.0]]), [0, 1], [0, 1])
    np.testing.assert_allclose(scorer.scores(), [0, 1e30], rtol=1e-6)


def test_a_block_equals_its_batches():
    logits, labels, ids = batch(60)
    whole, parts = LabelNoiseScorer(60, 4), LabelNoiseScorer(60, 4)
    whole.update(logits, labels, ids)
    for part in torch.randperm(60, generator=torch.Generator().manual_seed(0)).split(7):
        parts.update(logits[part], labels[part], ids[part])
    for method in METHODS:
        np.testing.assert_allclose(parts.scores(method), whole.scores(method), rtol=1e-6)


def test_an_id_that_occurs_twice_counts_twice():
    scorer = LabelNoiseScorer(2, 3)
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    scorer.update(logits, torch.tensor([0, 0]), torch.tensor([1, 1]))
    losses = nn.functional.cross_entropy(logits, torch.tensor([0, 0]), reduction="none")
    assert scorer.scores("mean_loss")[1] == pytest.approx(float(losses.mean()))
    # Margins 2 and −4.
    squares = [math.log1p(math.exp(-2)) ** 2, math.log1p(math.exp(4)) ** 2]
    assert scorer.scores()[1] == pytest.approx(math.sqrt(sum(squares) / 2))
    for method in METHODS:
        assert math.isnan(scorer.scores(method)[0])


def test_samples_never_seen_are_unknown():
    scorer = LabelNoiseScorer(100, 4)
    scorer.update(*batch(60))
    table = scorer.issues()
    assert table["score"].isna().sum() == 40
    assert table["label_score"].isna()[60:].all()
    assert (table["given_label"][60:] == -1).all()
    assert (table["predicted_label"][60:] == -1).all()
    assert not table["is_label_issue"][60:].any()


def test_ignored_labels_are_skipped():
    scorer = LabelNoiseScorer(6, 4)
    logits, labels, ids = batch()
    labels[2] = -100
    logits[2] = math.nan
    scorer.update(logits, labels, ids)
    for method in METHODS:
        assert math.isnan(scorer.scores(method)[2])
        assert np.isfinite(np.delete(scorer.scores(method), 2)).all()
    scorer.update(logits[2:3], labels[2:3], ids[2:3])  # a batch of nothing else


def test_one_logit_is_two_classes():
    one, two = LabelNoiseScorer(5, 2), LabelNoiseScorer(5, 2)
    second = torch.linspace(-2, 2, 5)
    labels, ids = torch.tensor([0, 1, 0, 1, 0]), torch.arange(5)
    one.update(second, labels, ids)
    two.update(torch.stack([torch.zeros(5), second], 1), labels, ids)
    np.testing.assert_array_equal(one.scores(), two.scores())
    expected = nn.functional.binary_cross_entropy_with_logits(
        second, labels.float(), reduction="none"
    )
    np.testing.assert_allclose(one.scores("mean_loss"), expected, rtol=1e-5)
    # Of two labels the other one is the strongest rival, and the margin's loss the loss.
    np.testing.assert_allclose(one.scores(), expected, rtol=1e-5)
    one.update(2 * second, labels, ids)
    later = nn.functional.binary_cross_entropy_with_logits(
        2 * second, labels.float(), reduction="none"
    )
    both = torch.stack([expected, later])
    np.testing.assert_allclose(one.scores(), both.square().mean(0).sqrt(), rtol=1e-5)


def test_one_class_alone_is_no_error():
    scorer = LabelNoiseScorer(30, 3)
    logits = torch.zeros(30, 3)
    scorer.update(logits, torch.zeros(30, dtype=torch.int64), torch.arange(30))
    signal = scorer.end_epoch()
    assert not signal.armed
    assert scorer.noise_rate == 0
    assert scorer.issues()["label_score"].isna().all()


def test_mixed_precision_and_plain_lists_are_taken():
    scorer, reference = LabelNoiseScorer(6, 4), LabelNoiseScorer(6, 4)
    logits, labels, ids = batch()
    logits = logits.bfloat16()
    scorer.update(logits.requires_grad_(), labels.tolist(), ids.numpy())
    reference.update(logits.float(), labels, ids)
    np.testing.assert_array_equal(scorer.scores(), reference.scores())


def test_an_epoch_without_batches_is_no_error():
    assert not LabelNoiseScorer(5, 2).end_epoch().armed


def test_state_goes_on_exactly():
    scorer, copy = LabelNoiseScorer(60, 4), LabelNoiseScorer(60, 4)
    scorer.update(*batch(60))
    scorer.end_epoch()
    copy.load_state_dict(scorer.state_dict())
    for one in (scorer, copy):
        one.update(batch(60, seed=2)[0], batch(60)[1], torch.arange(60))
    assert repr(copy.end_epoch()) == repr(scorer.end_epoch())  # NaN is not itself
    assert copy.issues().equals(scorer.issues())
    with pytest.raises(ValueError, match="load_state_dict"):
        LabelNoiseScorer(61, 4).load_state_dict(scorer.state_dict())
    # One saved before there was a margin loss cannot give it.
    older = scorer.state_dict()
    older["sums"] = older["sums"][:, :6]
    before = copy.issues()
    with pytest.raises(ValueError, match=r"load_state_dict\(state\).*7 sums.*\n.*new scorer"):
        copy.load_state_dict(older)
    assert copy.issues().equals(before)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"logits": torch.zeros(6, 3)}, r"update\(logits=...\)"),
        ({"logits": torch.full((6, 4), math.nan)}, r"NaN or inf for ids \[0, 1"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, r"update\(labels=...\)"),
        ({"labels": torch.full((6,), 4)}, r"update\(labels=...\)"),
        ({"labels": torch.full((6,), -1)}, r"update\(labels=...\)"),
        ({"labels": torch.tensor([3, 3, 3, 3, 3, 3])}, "the label an id had before"),
        ({"ids": torch.arange(6) + 1}, r"update\(ids=...\)"),
        ({"ids": torch.arange(6) - 1}, r"update\(ids=...\)"),
        ({"ids": torch.arange(7)}, r"update\(ids=...\)"),
    ],
)
def test_bad_batches_are_refused_and_leave_nothing(change, where):
    scorer = LabelNoiseScorer(6, 4)
    logits, _, ids = batch()
    good = {"logits": logits, "labels": torch.tensor([0, 1, 2, 3, 0, 1]), "ids": ids}
    scorer.update(**good)
    before = scorer.issues()
    with pytest.raises(ValueError, match=where):
        scorer.update(**(good | change))
    assert scorer.issues().equals(before)


def test_soft_labels_ask_for_the_hard_ones():
    logits, _, ids = batch()
    with pytest.raises(ValueError, match="hard label each sample came with"):
        LabelNoiseScorer(6, 4).update(logits, logits.softmax(1), ids)


def test_a_regression_has_losses_only():
    scorer = LabelNoiseScorer(60, None)
    losses = torch.cat([torch.linspace(0.1, 0.2, 50), torch.linspace(5, 6, 10)])
    for part in torch.randperm(60, generator=torch.Generator().manual_seed(0)).split(7):
        scorer.update_losses(losses[part], part)
    signal = scorer.end_epoch()
    assert not signal.armed
    assert signal.noise_rate == pytest.approx(1 / 6)
    np.testing.assert_allclose(scorer.scores(), losses)
    np.testing.assert_array_equal(scorer.scores(), scorer.scores("mean_loss"))
    issues = scorer.issues()
    assert issues["is_label_issue"].sum() == issues["is_label_issue"][50:].sum() == 10
    assert (issues[["given_label", "predicted_label"]] == -1).all(axis=None)
    for method in ("aum", "margin_loss"):
        with pytest.raises(ValueError, match="'mean_loss' without classes"):
            scorer.scores(method)
    with pytest.raises(ValueError, match="call `update_losses`"):
        scorer.update(torch.zeros(2, 1), torch.zeros(2), [0, 1])


def test_alignment_is_averaged_and_turned_round():
    scorer = LabelNoiseScorer(3, 2)
    scorer.update_alignment(torch.tensor([1.0, -2.0]), [0, 1])
    scorer.update_alignment(torch.tensor([3.0]), [0])
    np.testing.assert_array_equal(scorer.scores("alignment"), [-2.0, 2.0, math.nan])


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: LabelNoiseScorer(3, 2).update_losses(torch.ones(1), [0]), "n_classes=None"),
        (lambda: LabelNoiseScorer(3, None).update_losses(torch.ones(2, 1), [0, 1]), "losses=..."),
        (lambda: LabelNoiseScorer(3, None).update_losses(torch.ones(1), [3]), r"ids=...\)"),
        (lambda: LabelNoiseScorer(3, None).update_losses(torch.ones(2), [0]), r"ids=...\)"),
        (lambda: LabelNoiseScorer(3, 2).update_alignment(torch.full((1,), math.nan), [2]), "NaN"),
    ],
)
def test_bad_values_are_refused(call, where):
    with pytest.raises(ValueError, match=where):
        call()


def test_ids_missing_in_an_epoch_keep_their_means():
    scorer = LabelNoiseScorer(60, 4)
    logits, labels, ids = batch(60)
    scorer.update(logits, labels, ids)
    before = scorer.scores()
    scorer.end_epoch()
    scorer.update(logits[:30], labels[:30], ids[:30])
    np.testing.assert_allclose(scorer.scores(), before, rtol=1e-6)
    assert np.isnan(scorer.epoch_losses()[30:]).all()
    scorer.end_epoch()


def test_issues_are_only_where_the_network_believes_another_label():
    # Losses in two groups, but the given label is the first guess in both: no issue.
    logits = torch.zeros(60, 3)
    logits[:, 0] = torch.cat([torch.full((40,), 6.0), torch.full((20,), 0.1)])
    scorer = LabelNoiseScorer(60, 3)
    scorer.update(logits, torch.zeros(60, dtype=torch.int64), torch.arange(60))
    assert (scorer.issues()["label_score"][40:] < 0.5).all()
    assert not scorer.issues()["is_label_issue"].any()


def test_the_table_is_cleanlabs():
    # Names, types and order of Datalab(...).get_issues("label") in cleanlab 2.9.0.
    scorer = LabelNoiseScorer(60, 4)
    scorer.update(*batch(60))
    table = scorer.issues()
    assert table.dtypes.astype(str).to_dict() == {
        "is_label_issue": "bool",
        "label_score": "float64",
        "given_label": "int64",
        "predicted_label": "int64",
        "score": "float64",
    }
    assert table.index.equals(pd.RangeIndex(60))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"LabelNoiseScorer\(n_classes=...\)"):
        LabelNoiseScorer(10, 1)
    with pytest.raises(ValueError, match=r"LabelNoiseScorer\(n_samples=...\)"):
        LabelNoiseScorer(0, 2)
    with pytest.raises(ValueError, match="did you mean 'mean_loss'"):
        LabelNoiseScorer(5, 2).scores("mean_los")


def train(noise: float, epochs: int, seed: int = 0):
    """A scorer fed by training on digits, which labels are wrong, and the last signal."""
    x, y = load_digits(return_X_y=True)
    x = torch.tensor((x - x.mean(0)) / (x.std(0) + 1e-9), dtype=torch.float32)[:1000]
    generator = torch.Generator().manual_seed(seed)
    true = torch.tensor(y)[:1000]
    wrong = torch.rand(1000, generator=generator) < noise
    given = torch.where(
        wrong, (true + torch.randint(1, 10, (1000,), generator=generator)) % 10, true
    )
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scorer, signals = LabelNoiseScorer(1000, 10), []
    for _ in range(epochs):
        for ids in torch.randperm(1000, generator=generator).split(64):
            logits = model(x[ids])
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, given[ids]).backward()
            optimizer.step()
            scorer.update(logits, given[ids], ids)
        signals.append(scorer.end_epoch())
    return scorer, wrong.numpy(), signals


def test_finds_wrong_labels_among_digits():
    # Published figures for a 20 % share at the stopping epoch are 0.98 to 0.998.
    scorer, wrong, signals = train(noise=0.2, epochs=15)
    found = {method: roc_auc_score(wrong, scorer.scores(method)) for method in METHODS}
    assert min(found.values()) > 0.97
    assert signals[-1].armed
    assert signals[-1].noise_rate == pytest.approx(wrong.mean(), abs=0.08)
    issues = scorer.issues()
    assert wrong[issues["is_label_issue"]].mean() > 0.7
    assert issues["is_label_issue"][wrong].mean() > 0.9
    # Random flips are counted better than suspects, some of which are merely hard.
    assert signals[-1].noise_rate == pytest.approx(wrong.mean(), abs=0.03)


@pytest.mark.parametrize("epochs", [15, 60])
def test_the_margin_loss_ranks_best_where_examples_are_hard(epochs):
    # A draw in which the others take hard digits for wrong labels, near the stop and far beyond.
    scorer, wrong, _ = train(noise=0.2, epochs=epochs, seed=1)
    found = {method: roc_auc_score(wrong, scorer.scores(method)) for method in METHODS}
    assert found.pop("margin_loss") > 0.997 > max(found.values())


def test_never_arms_on_right_labels():
    _, _, signals = train(noise=0.0, epochs=25)
    assert not any(signal.armed for signal in signals)


def whole_or_not(labels, ids):
    scorer = LabelNoiseScorer(n_samples=4, n_classes=3)
    scorer.update(torch.eye(3)[[0, 1]], labels, ids)
    return scorer._given[:2].tolist()


@pytest.mark.parametrize(
    "kind", [torch.tensor, lambda v: torch.tensor(v, dtype=torch.float16), np.array]
)
def test_labels_and_ids_are_whole_numbers_in_whatever_type_they_come(kind):
    assert whole_or_not(kind([1.0, 2.0]), kind([0.0, 1.0])) == [1, 2]
    with pytest.raises(ValueError, match=r"update\(labels=...\)` expected whole numbers.*\n.*hard"):
        whole_or_not(kind([0.05, 0.95]), kind([0, 1]))
    with pytest.raises(ValueError, match=r"update\(labels=...\)` expected whole numbers"):
        whole_or_not(kind([1.0, math.nan]), kind([0, 1]))
    with pytest.raises(ValueError, match=r"update\(ids=...\)` expected whole numbers, got \[0.5\]"):
        whole_or_not(kind([1, 2]), kind([0.5, 1.0]))


def test_ids_of_losses_are_whole_numbers_too():
    scorer = LabelNoiseScorer(n_samples=4, n_classes=None)
    with pytest.raises(ValueError, match=r"update_losses\(ids=...\)` expected whole numbers"):
        scorer.update_losses(torch.ones(2), torch.tensor([0.2, 1.0]))
    with pytest.raises(ValueError, match=r"update_alignment\(ids=...\)` expected whole numbers"):
        scorer.update_alignment(torch.ones(2), torch.tensor([0.2, 1.0]))
    assert np.isnan(scorer.scores()).all()
