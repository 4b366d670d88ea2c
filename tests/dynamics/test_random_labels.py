"""Random labels are told from hard ones by their rank among the alternatives."""

import pytest
import torch

from overparam.dynamics import implausible_labels, random_label_share


def beliefs(n=4000, classes=10, seed=0):
    """A network's mean predictions, and the classes drawn from them."""
    draw = torch.Generator().manual_seed(seed)
    p = (2 * torch.randn(n, classes, generator=draw)).softmax(1)
    return p, p.argmax(1), draw


@pytest.mark.parametrize("classes", [3, 4, 10])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_the_share_is_that_of_random_flips(classes, rate):
    p, true, draw = beliefs(classes=classes)
    wrong = torch.rand(len(true), generator=draw) < rate
    other = (true + torch.randint(1, classes, true.shape, generator=draw)) % classes
    found = random_label_share(p, torch.where(wrong, other, true))
    # Four deviations of the binomial count, at most.
    assert found == pytest.approx(float(wrong.double().mean()), abs=0.05 if rate else 1e-12)


def test_hard_and_confused_samples_do_not_count():
    p, _, _ = beliefs()
    second = p.topk(2).indices[:, 1]
    assert random_label_share(p, second) == 0


def test_ranks_by_hand():
    p = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).expand(4, 4)
    assert implausible_labels(p, torch.arange(4)).tolist() == [0, 0, 0, 1]


def test_unknown_labels_are_left_out():
    p = torch.tensor([[0.5, 0.3, 0.2]]).expand(4, 3)
    labels = torch.tensor([2, 0, -1, -1])
    with pytest.raises(ValueError, match=r"`implausible_labels\(labels=...\)` expected labels"):
        implausible_labels(p, labels)
    assert random_label_share(p, labels) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("p", "labels"),
    [([[0.9, 0.1]], [1]), ([[0.5, 0.3, 0.2]], [-1]), ([[0.5, 0.3, 0.2]], [3])],
    ids=["two classes", "none known", "no such class"],
)
def test_where_there_is_nothing_to_rank_is_an_error(p, labels):
    with pytest.raises(ValueError, match=r"`random_label_share\(\w+=...\)` expected"):
        random_label_share(torch.tensor(p), torch.tensor(labels))


def test_labels_of_another_length():
    with pytest.raises(ValueError, match=r"implausible_labels\(labels=...\)"):
        implausible_labels(torch.eye(3), torch.zeros(2, dtype=torch.int64))
