"""Spikes of stochastic descent: where in the kernel's spectrum they lie, and descent without them.

Beside it an oracle: the AGOP of a network and its critical rate, each by its closed form.
"""

import itertools
import math
from collections import deque
from typing import Any

import torch
from torch import Tensor

from overparam.dynamics.catapult_counter import CatapultCounter
from overparam.optim.critical_rate import critical_learning_rate
from overparam.studies.zhu2024_sgd_catapults.synthetic import (
    FLOOR,
    N,
    Problem,
    batches,
    full_loss,
    mse,
    problem,
    tangent_kernel,
    train,
)
from overparam.tangents.input_gradients import agop

WINDOW = 25  # steps among which the loss before a spike is the least, as `CatapultCounter` has it
MOST = 6  # spikes of a run that are looked at
CAP = 0.9  # of a batch's critical rate, which no step exceeds in the control
Weights = list[Tensor]


def spectrum(at: Problem, weights: Weights) -> tuple[Tensor, float]:
    """Parts of the loss along the eigenvectors of the kernel there, the largest first; the loss."""
    with torch.no_grad():
        for parameter, value in zip(at.net.parameters(), weights, strict=True):
            parameter.copy_(value)
        residual = (at.net(at.x) - at.y)[:, 0].double()
    vectors = torch.linalg.eigh(tangent_kernel(at.net, at.x).double())[1]
    parts = (vectors.T @ residual).square().flip(0) / N
    return parts, float(parts.sum())


def sgd_spikes(width: int, batch: int, factor: float, steps: int, seed: int) -> dict[str, Any]:
    """The first spikes of the full loss in descent by batches, from before the rise to the peak.

    For each the part of the rise within the top five eigenvectors, and within the next five: of
    each network's own kernel on all training examples.
    """
    at = problem("x1x2", width, seed)
    optimizer = torch.optim.SGD(at.net.parameters(), lr=factor * at.critical())
    counter = CatapultCounter(WINDOW, floor=FLOOR)
    recent: deque[tuple[float, Weights]] = deque(maxlen=WINDOW)
    before: Weights = []
    peak: tuple[float, Weights] = (0.0, [])
    spikes: list[tuple[Weights, Weights]] = []
    taken = 0
    while taken < steps and len(spikes) < MOST:
        for index in batches(N, batch, at.draw):
            loss = full_loss(at)
            now = loss, [p.detach().clone() for p in at.net.parameters()]
            phase = counter.update(loss)
            if phase == "opened":
                before, peak = min(recent, key=lambda one: one[0])[1], now
            elif phase == "open":
                peak = max(peak, now, key=lambda one: one[0])
            elif phase == "closed":
                spikes.append((before, peak[1]))
            if phase == "quiet":
                recent.append(now)
            if not loss <= 1e6 or len(spikes) == MOST or taken == steps:
                taken = steps
                break
            optimizer.zero_grad()
            mse(at.net(at.x[index]), at.y[index]).backward()
            optimizer.step()
            taken += 1
    top, following = [], []
    for low, high in spikes:
        (first, start), (second, end) = spectrum(at, low), spectrum(at, high)
        gained = (second - first) / (end - start)
        top.append(float(gained[:5].sum()))
        following.append(float(gained[5:10].sum()))
    return {"share_top": top, "share_next": following, "spikes": len(spikes)}


def capped(width: int, batch: int, factor: float, steps: int, seed: int) -> dict[str, Any]:
    """Descent by batches in which no step exceeds 0.9 of its own batch's critical rate.

    Everything else is as in `by_batch_size`: the same examples, network and order of batches, and
    the same rate where the batch allows it.
    """
    at = problem("x1x2", width, seed)
    lr = factor * at.critical()
    optimizer = torch.optim.SGD(at.net.parameters(), lr=lr)
    counter, lowered, seen = CatapultCounter(floor=FLOOR), 0, itertools.count(1)

    def after(full: float, index: Tensor) -> bool:
        nonlocal lowered
        counter.update(full)
        largest = torch.linalg.eigvalsh(tangent_kernel(at.net, at.x[index]).double())[-1].item()
        limit = CAP * len(index) / largest
        lowered += limit < lr
        next(seen)
        optimizer.param_groups[0]["lr"] = min(lr, limit)
        return False

    taken = train(at, optimizer, batch, steps, after)
    return {
        **at.outcome(),
        "catapults": counter.count,
        "lowered": lowered / max(1, next(seen) - 1),
        "steps_taken": taken,
    }


def oracle(width: int, seed: int) -> dict[str, float]:
    """A network's AGOP against its formula, and its critical rate against n over the kernel's λ₁.

    f = Σ vᵢ relu(uᵢᵀx)/√(md), so ∇f = Σ vᵢ 1{uᵢᵀx > 0} uᵢ/√(md).
    """
    at = problem("x1x2", width, seed)
    first, last = (p.detach().double() for p in at.net.parameters())
    x = at.x.double()
    gates = (x @ first.T > 0).double()
    slopes = (gates * last[0]) @ first / math.sqrt(width * x.shape[1])
    truth = slopes.T @ slopes / len(x)
    found = agop(at.net, at.x).double()
    kernel = torch.linalg.eigvalsh(tangent_kernel(at.net, at.x).double())[-1].item()
    return {
        "agop_error": float((found - truth).norm() / truth.norm()),
        "critical_ratio": critical_learning_rate(at.net, at.x, at.y, mse) * kernel / N,
    }
