"""The problems that searches are compared on, and the searches."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from overparam.claims import load_study
from overparam.studies.liu2021_sac_search import cells, noise_against_random, pooled, welch
from overparam.studies.liu2021_sac_search.problems import (
    DIMENSIONS,
    PROBLEMS,
    _gradients,
    _layer,
    hartmann6,
    network,
)
from overparam.studies.liu2021_sac_search.searches import evolution


def test_hartmanns_function_has_its_maximum_where_the_books_say():
    best = np.array([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573])
    assert hartmann6(2 * best - 1) == pytest.approx(3.32237, abs=1e-5)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_score_is_a_function_of_its_point(name):
    point = np.random.default_rng(0).uniform(-1, 1, DIMENSIONS[name])
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = PROBLEMS[name](point)
    torch.manual_seed(1)
    assert PROBLEMS[name](point) == first
    torch.manual_seed(0)
    assert torch.equal(before, torch.get_rng_state())


def test_what_diverges_is_as_bad_as_can_be():
    assert network(np.array([1.0, 1.0, 0.0, 1.0, -1.0])) < 0.2


def test_gradients_by_hand_are_those_of_autograd():
    draw = torch.Generator().manual_seed(0)
    parameters = [p for sizes in ((5, 7), (7, 10)) for p in _layer(*sizes, draw)]
    x, y = torch.randn(9, 5, generator=draw), torch.randint(10, (9,), generator=draw)
    leaves = [p.clone().requires_grad_() for p in parameters]
    outputs = (x @ leaves[0] + leaves[1]).relu() @ leaves[2] + leaves[3]
    expected = torch.autograd.grad(cross_entropy(outputs, y), leaves)
    for ours, theirs in zip(_gradients(parameters, x, torch.eye(10)[y]), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_evolution_strategy_climbs_from_the_best_random_point():
    def bowl(point):
        return -float(np.square(point - 0.3).sum())

    found = evolution(bowl, 4, 60, seed=0)
    assert len(found) == 60
    assert max(found) > max(found[:10]) / 4  # both are negative
    assert found == evolution(bowl, 4, 60, seed=0)


def test_searches_are_compared_by_welchs_t():
    ours, theirs = np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0])
    assert welch(ours, theirs) == pytest.approx(2 / np.sqrt(2 / 3))
    assert np.isnan(welch(ours[:1], theirs))
    table = pd.DataFrame(
        [
            {"problem": problem, "search": search, "seed": seed, "all": value}
            for problem in PROBLEMS
            for search, values in (("SAC, mixture", ours), ("random", theirs))
            for seed, value in enumerate(values)
        ]
    )
    expected = 3 * 2 / np.sqrt(2 / 3) / np.sqrt(3)
    assert pooled(table, "SAC, mixture", "all") == pytest.approx(expected)
    told = table.replace("SAC, mixture", "SAC, told noise")
    assert noise_against_random(told) == pytest.approx(2 / np.sqrt(2 / 3))


def test_every_search_has_ten_seeds_on_every_problem_at_quick():
    study = load_study("liu2021_sac_search")
    quick = pd.DataFrame(cells(study.sizes["quick"]))
    counts = quick.groupby(["problem", "search"]).size()
    for problem in PROBLEMS:
        for search in ("random", "TPE", "CMA-ES", "GP", "(1+1)-ES", "SAC, mixture"):
            assert counts[problem, search] == 10
    assert study.needs == {"optuna": "search", "cmaes": "search"}
