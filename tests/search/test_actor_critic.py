import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from overparam.search import SACSettings
from overparam.search.actor_critic import ActorCritic, network
from overparam.search.history import history_of


def agent(dimension=2, seed=0, **settings):
    return ActorCritic(dimension, SACSettings(**settings), np.random.default_rng(seed))


def history(n=40, dimension=2, seed=1):
    draw = np.random.default_rng(seed)
    actions = draw.uniform(-1, 1, (n, dimension))
    return history_of(actions, -np.square(actions - 0.3).sum(1), 100, 10)


def test_density_is_that_of_a_squashed_gaussian():
    of, states = agent(), torch.from_numpy(history().states).float()
    noise = torch.randn(len(states), 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        actions, log_density = of.policy(states, noise)
        centre, log_scale = network(of.actor, states)[0].chunk(2, dim=1)
        base = Normal(centre.double(), log_scale.clamp(-5, 1).exp().double())
        squashed = TransformedDistribution(base, [TanhTransform()])
        expected = squashed.log_prob(actions.double()).sum(1)
    # atanh of a rounded action: its error grows with 1 / (1 - a²).
    inside = (actions.abs() < 0.99).all(1)
    assert inside.sum() > 20
    torch.testing.assert_close(log_density[inside].double(), expected[inside], rtol=1e-4, atol=1e-4)


def test_each_loss_moves_its_own_variables():
    """One step of all together against three losses, each differentiated by what it is for."""
    of, past = agent(regularisation="none"), history()
    draw = np.random.default_rng(5)
    pick = draw.integers(40, size=64)
    states = torch.from_numpy(past.states[:-1][pick]).float()
    pairs = torch.cat([states, torch.from_numpy(past.actions[pick]).float()], dim=1)
    y = torch.from_numpy(past.rewards[pick]).float()
    noise = torch.from_numpy(draw.standard_normal((64, 2))).float()

    critic_loss = sum((q[:, 0] - y).square().mean() for q in network(of.critics, pairs))
    actions, log_density = of.policy(states, noise)
    value = network(of.critics, torch.cat([states, actions], dim=1)).amin(0)[:, 0]
    actor_loss = (of.log_alpha.exp() * log_density - value).mean()
    alpha_loss = -(of.log_alpha * (log_density.detach() - 2)).mean()
    expected = [
        *torch.autograd.grad(actor_loss, of.actor, retain_graph=True),
        *torch.autograd.grad(critic_loss, of.critics),
        *torch.autograd.grad(alpha_loss, [of.log_alpha]),
    ]
    of._step(pairs, y, states, noise)
    found = [p.grad for p in (*of.actor, *of.critics, of.log_alpha)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("regularisation", ["none", "mixture", "hierarchical"])
def test_critics_learn_the_order_and_the_policy_follows(regularisation):
    of, past = agent(regularisation=regularisation), history()
    of.learn(past, 300)
    inputs = torch.from_numpy(np.hstack([past.states[:-1], past.actions])).float()
    with torch.no_grad():
        values = network(of.critics, inputs).mean(0)[:, 0].double().numpy()
    assert np.corrcoef(values, past.rewards)[0, 1] > 0.9
    points = np.array([of.act(past.states[-1]) for _ in range(50)])
    # Uniform points have a mean squared distance of 2 (1/3 + 0.09) = 0.85 from the optimum.
    assert np.square(points - 0.3).sum(1).mean() < 0.4


def test_a_discount_looks_ahead_through_targets_that_follow_slowly():
    of, past = agent(gamma=0.9, tau=0.5, regularisation="none"), history()
    before = [t.clone() for t in of.targets]
    of.learn(past, 1)
    for old, target, critic in zip(before, of.targets, of.critics, strict=True):
        torch.testing.assert_close(target, (old + critic.detach()) / 2)
    at_zero = agent(regularisation="none")
    at_zero.learn(past, 1)
    assert not torch.equal(at_zero.critics[0], of.critics[0])


def test_ends_of_episodes_cut_the_return_off():
    def learned(episode_length):
        of, past = agent(gamma=0.9, regularisation="none"), history()
        past = history_of(past.actions, past.rewards, 100, episode_length)
        of.learn(past, 3)
        return of.critics[0].detach()

    undiscounted = agent(regularisation="none")
    undiscounted.learn(history(), 3)
    assert torch.equal(learned(1), undiscounted.critics[0].detach())
    assert not torch.equal(learned(10), learned(1))


def test_same_seed_same_bits_and_no_global_randomness():
    state = torch.get_rng_state()
    first, second, other = agent(), agent(), agent(seed=1)
    for each in (first, second, other):
        each.learn(history(), 5)
    points = [each.act(history().states[-1]) for each in (first, second, other)]
    assert (points[0] == points[1]).all()
    assert (points[0] != points[2]).all()
    assert torch.equal(state, torch.get_rng_state())


def test_it_learns_the_same_inside_of_whatever_the_caller_is():
    def learned():
        of = agent()
        of.learn(history(), 3)
        return of.act(history().states[-1])

    expected = learned()
    for around in (
        torch.no_grad(),
        torch.inference_mode(),
        torch.autocast("cpu", dtype=torch.bfloat16),
        torch.device("meta"),
    ):
        with around:
            assert (learned() == expected).all()
    torch.set_default_dtype(torch.float64)
    try:
        assert (learned() == expected).all()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("target", "sign"), [(-50.0, -1), (50.0, 1)])
def test_the_temperature_moves_the_entropy_towards_its_target(target, sign):
    of = agent(target_entropy=target)
    of.learn(history(), 20)
    assert sign * (of.log_alpha.item() - math.log(0.1)) > 0.02
