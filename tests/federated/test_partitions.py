"""Who has which examples, and numbers that are drawn by place."""

import numpy as np
import pytest
import torch

from overparam.federated import (
    ClientData,
    Participation,
    dirichlet_partition,
    iid_partition,
    pathological_partition,
)
from overparam.federated.streams import below, generator_seed, uniform

LABELS = torch.arange(10).repeat(50)


@pytest.mark.parametrize("alpha", [1e-12, 0.01, 0.1, 1.0, 1e6])
def test_dirichlet_deals_each_example_once_and_leaves_nobody_short(alpha):
    parts = dirichlet_partition(LABELS, 100, alpha, least=4, seed=1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(500))
    assert min(map(len, parts)) >= 4
    assert all((np.diff(part) > 0).all() for part in parts)


def test_a_small_alpha_makes_classes_rare_and_a_large_one_common():
    def classes(alpha):
        parts = dirichlet_partition(LABELS, 10, alpha)
        return np.mean([len(np.unique(LABELS[part])) for part in parts])

    assert classes(0.05) < 4 < 9 < classes(100.0)


def test_pathological_shards_and_even_parts_deal_each_example_once():
    shards = pathological_partition(LABELS, 25, 2, seed=3)
    assert sorted(np.concatenate(shards).tolist()) == list(range(500))
    assert max(len(np.unique(LABELS[part])) for part in shards) <= 2
    even = iid_partition(500, 7, seed=3)
    assert sorted(np.concatenate(even).tolist()) == list(range(500))
    assert {len(part) for part in even} == {71, 72}


def test_seeds_decide():
    one, other, again = (dirichlet_partition(LABELS, 5, 0.3, seed=s) for s in (0, 1, 0))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


X, Y = torch.randn(6, 2), torch.arange(6)
REFUSED = {
    "more examples than there are": lambda: dirichlet_partition(LABELS, 100, 1.0, least=6),
    "alpha 0": lambda: dirichlet_partition(LABELS, 10, 0.0),
    "no clients": lambda: iid_partition(10, 0),
    "more clients than examples": lambda: iid_partition(3, 4),
    "labels that are no classes": lambda: dirichlet_partition(torch.rand(9), 2, 1.0),
    "more shards than examples": lambda: pathological_partition(LABELS, 100, 6),
    "a client without data": lambda: ClientData(X, Y, [[0, 1], []]),
    "a row that is not there": lambda: ClientData(X, Y, [[0, 6]]),
    "a negative row": lambda: ClientData(X, Y, [[0, -1]]),
    "rows that are no numbers": lambda: ClientData(X, Y, [[0.5, 1.0]]),
    "a mask": lambda: ClientData(X, Y, [np.array([True, False])]),
    "no client": lambda: ClientData(X, Y, []),
    "targets of another length": lambda: ClientData(X, Y[:3], [[0]]),
    "NaN": lambda: ClientData(X * torch.nan, Y, [[0]]),
    "no pairs": lambda: ClientData.of([]),
    "pairs of one": lambda: ClientData.of([(X,)]),
    "a client that is not there": lambda: ClientData(X, Y, [[0]]).part(1),
    "a share of 0": lambda: Participation(share=0.0),
    "a share above 1": lambda: Participation(share=1.5),
    "a probability above 1": lambda: Participation(dropouts=2.0),
    "slow ones that do nothing": lambda: Participation(straggler_steps=0.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name):
    with pytest.raises((ValueError, TypeError), match="expected"):
        REFUSED[name]()


def test_pairs_are_a_pool_with_ranges():
    data = ClientData.of([(X[:2], Y[:2]), (X[2:], Y[2:])])
    assert data.sizes.tolist() == [2, 4]
    assert torch.equal(data.part(1)[1], Y[2:])


def test_batches_are_a_clients_own_whoever_else_takes_part():
    data = ClientData(torch.randn(500, 1), LABELS, dirichlet_partition(LABELS, 9, 0.2))
    together = data.batch_rows(5, 3, np.arange(9), 2, 20)
    alone = data.batch_rows(5, 3, np.array([4]), 2, 20)
    assert torch.equal(together[4:5], alone)
    for client, rows in enumerate(together.tolist()):
        assert set(rows) <= set(data.parts()[client].tolist())
    assert not torch.equal(together, data.batch_rows(5, 4, np.arange(9), 2, 20))


def test_numbers_by_place_are_uniform_and_unrelated():
    """Frequencies and correlations of 10⁵ numbers, within five standard deviations."""
    n = 100_000
    counts = np.bincount(below(7, "batches", 10, 0, np.arange(n)), minlength=10)
    assert (np.abs(counts - n / 10) < 5 * np.sqrt(n * 0.09)).all()
    first = uniform(7, "clients", 0, np.arange(n))
    assert abs(first.mean() - 0.5) < 5 / np.sqrt(12 * n)
    for other in (
        uniform(8, "clients", 0, np.arange(n)),
        uniform(7, "clients", 1, np.arange(n)),
        uniform(7, "drop-outs", 0, np.arange(n)),
        uniform(7, "clients", 0, np.arange(1, n + 1)),
    ):
        assert abs(np.corrcoef(first, other)[0, 1]) < 5 / np.sqrt(n)
    assert generator_seed(7, "noise", 1, 2) != generator_seed(7, "noise", 2, 1)


def test_participation_draws_its_share_at_its_rates():
    who = Participation(share=0.3, dropouts=0.2, stragglers=0.4, straggler_steps=0.25)
    steps = np.full(50, 8)
    rounds = [who.drawn(0, number, steps) for number in range(400)]
    assert {len(ids) for ids, _, _ in rounds} == {15}
    seen = np.bincount(np.concatenate([ids for ids, _, _ in rounds]), minlength=50)
    assert (np.abs(seen - 120) < 5 * np.sqrt(400 * 0.3 * 0.7)).all()
    slow = np.concatenate([steps for _, steps, _ in rounds])
    assert set(slow) == {2, 8}
    assert abs((slow == 2).mean() - 0.4) < 5 * np.sqrt(0.24 / len(slow))
    lost = ~np.concatenate([answers for _, _, answers in rounds])
    assert abs(lost.mean() - 0.2) < 5 * np.sqrt(0.16 / len(lost))
