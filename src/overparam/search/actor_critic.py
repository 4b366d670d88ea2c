"""Soft actor-critic on the cube [-1, 1]^D, with all networks learning in one step."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from overparam.search.history import History
from overparam.search.replay import draw_batches
from overparam.search.settings import SACSettings

LOG_SCALES = (-5.0, 1.0)  # of the policy before it is squashed


class ActorCritic:
    """A squashed Gaussian policy, two critics and a temperature, and what they learn from trials.

        J_Q = Σ_j mean (Q_j(s, a) − y)²,    y = r + γ (1 − end) [min_j Q̄_j(s', a') − α log π(a'|s')]
        J_π = mean [α log π(a|s) − min_j Q_j(s, a)],    J_α = −log α · mean [log π(a|s) + H]

    Both critics are one batched network, and one step of Adam serves all three losses, each with
    the others' variables held: at these sizes time goes into the number of operations.

    Args:
        dimension: D.
        settings: Everything else.
        draw: All randomness: initial weights, batches, actions.
    """

    def __init__(self, dimension: int, settings: SACSettings, draw: np.random.Generator) -> None:
        width, state = settings.hidden, dimension + 2
        self.dimension, self.settings, self.draw = dimension, settings, draw
        with by_itself(gradients=True):
            self.actor = layers((state, width, width, 2 * dimension), 1, draw)
            self.critics = layers((state + dimension, width, width, 1), 2, draw)
            self.targets = [p.detach().clone() for p in self.critics]
            self.log_alpha = numbers(np.log([settings.init_alpha])).requires_grad_()
            variables = [*self.actor, *self.critics, self.log_alpha]
            self.optimizer = torch.optim.Adam(variables, lr=settings.lr, fused=True)
        target = settings.target_entropy
        self.target_entropy = -float(dimension) if target is None else target

    def learn(self, history: History, steps: int) -> None:
        """So many steps on batches of a history of at least one trial."""
        batches = draw_batches(history.rewards, steps, self.settings, self.draw)
        noise = self.draw.standard_normal((2, *batches.trials.shape, self.dimension))
        with by_itself(gradients=True):
            trials, partners = map(torch.from_numpy, (batches.trials, batches.partners))
            states, shares = numbers(history.states), numbers(batches.shares)
            inputs = torch.cat([states[:-1], numbers(history.actions)], dim=1)[trials]
            rewards, going = numbers(history.rewards)[trials], numbers(1.0 - history.ends)[trials]
            partly = torch.take_along_dim(inputs, partners[..., None], dim=1)
            inputs = torch.lerp(partly, inputs, shares[..., None])
            # All at once: at these sizes it is the number of operations that takes time.
            before, after, (now, then) = states[trials], states[trials + 1], numbers(noise)
            for i in range(steps):
                y = rewards[i]
                if self.settings.gamma:
                    y = y + going[i] * self._return_from(after[i], then[i])
                y = torch.lerp(y[partners[i]], y, shares[i])
                self._step(inputs[i], y, before[i], now[i])

    def act(self, state: np.ndarray) -> np.ndarray:
        """An action (D,) for a state (D + 2,), drawn from the policy."""
        noise = self.draw.standard_normal((1, self.dimension))
        with by_itself(gradients=False):
            action, _ = self.policy(numbers(state)[None], numbers(noise))
            return action[0].double().numpy()

    def policy(self, states: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (B, D) that normal noise (B, D) makes of states, and log π of each (B,)."""
        centre, log_scale = network(self.actor, states)[0].chunk(2, dim=1)
        log_scale = log_scale.clamp(*LOG_SCALES)
        u = torch.addcmul(centre, log_scale.exp(), noise)
        # log(1 - tanh² u) = 2 (log 2 - u - softplus(-2u)), which does not cancel far out.
        log_slope = 2 * (math.log(2) - u - softplus(-2 * u))
        normal = -(noise.square() + math.log(2 * math.pi)) / 2 - log_scale
        return u.tanh(), (normal - log_slope).sum(1)

    def _step(self, inputs: Tensor, y: Tensor, states: Tensor, noise: Tensor) -> None:
        critic_loss = (network(self.critics, inputs)[..., 0] - y).square().mean(1).sum()
        actions, log_density = self.policy(states, noise)
        held = [p.detach() for p in self.critics]
        values = network(held, torch.cat([states, actions], dim=1)).amin(0)[:, 0]
        alpha = self.log_alpha.detach().exp()
        actor_loss = (alpha * log_density - values).mean()
        surplus = log_density.detach().mean() + self.target_entropy
        self.optimizer.zero_grad()
        (critic_loss + actor_loss - self.log_alpha * surplus).backward()
        self.optimizer.step()
        if self.settings.gamma:
            for target, critic in zip(self.targets, held, strict=True):
                target.lerp_(critic, self.settings.tau)

    def _return_from(self, states: Tensor, noise: Tensor) -> Tensor:
        """γ times what is expected from these states on, entropy included."""
        with torch.no_grad():
            actions, log_density = self.policy(states, noise)
            values = network(self.targets, torch.cat([states, actions], dim=1)).amin(0)[:, 0]
            return self.settings.gamma * (values - self.log_alpha.exp() * log_density)


@contextmanager
def by_itself(gradients: bool) -> Iterator[None]:
    """Whatever the caller is inside of: no gradients, inference mode, mixed precision."""
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
        torch.autocast("cpu", enabled=False),
    ):
        yield


def numbers(array: np.ndarray) -> Tensor:
    """An array in single precision, on the CPU."""
    return torch.from_numpy(np.asarray(array, dtype=np.float32))


def layers(sizes: Sequence[int], copies: int, draw: np.random.Generator) -> list[Tensor]:
    """Weights (copies, in, out) and biases (copies, 1, out) of a ReLU network, as torch draws."""
    found = []
    for inputs, outputs in pairwise(sizes):
        for rows in (inputs, 1):
            drawn = draw.uniform(-1, 1, (copies, rows, outputs)) / math.sqrt(inputs)
            found.append(numbers(drawn).requires_grad_())
    return found


def network(parameters: Sequence[Tensor], x: Tensor) -> Tensor:
    """Outputs (copies, B, out) of all copies for the same inputs (B, in)."""
    h = x.expand(len(parameters[0]), -1, -1)
    for i in range(0, len(parameters), 2):
        h = torch.baddbmm(parameters[i + 1], h.relu() if i else h, parameters[i])
    return h
