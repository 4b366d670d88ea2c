"""Spikes of known cause, and what the classifier makes of them."""

import copy
import math
from typing import Any

import torch
from torch import Tensor

from overparam.dynamics.catapult_counter import CatapultCounter
from overparam.dynamics.events import Spike, SpikeClassifier
from overparam.dynamics.spectral_split import spectral_loss_split
from overparam.optim.stability import stability
from overparam.studies.zhu2024_sgd_catapults.synthetic import N, mse, problem

# What the classifier should say.
KINDS = {
    "catapult": "catapult",
    "labels": "bad batch",
    "inputs": "bad batch",
    "divergence": "divergence",
}


def attribute(cause: str, width: int, seed: int) -> dict[str, Any]:
    """Twenty calm steps, then a spike, and how it is classified.

    It comes from a rate of 1.4 or 2.6 times the critical one, or from one step on 32 examples
    with labels of deviation 10 or with inputs eight times as large.
    """
    at = problem("x1x2", width, seed)
    optimizer = torch.optim.SGD(at.net.parameters(), lr=1.0)

    def step(inputs: Tensor, targets: Tensor) -> float:
        optimizer.zero_grad()
        loss = mse(at.net(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    def full() -> float:
        with torch.no_grad():
            return mse(at.net(at.x), at.y).item()

    optimizer.param_groups[0]["lr"] = 0.5 * at.critical()
    losses = [full()]
    earlier = at.net
    for i in range(20):
        if i == 15:
            earlier = copy.deepcopy(at.net)
        step(at.x, at.y)
        losses.append(full())
    before = stability(at.net, at.x, at.y, mse, optimizer)
    base = spectral_loss_split(at.net, at.x, at.y, 5)
    factor = {"catapult": 1.4, "divergence": 2.6}.get(cause, 0.5)
    optimizer.param_groups[0]["lr"] = factor * before.critical_learning_rate
    some = torch.randperm(N, generator=at.draw)[:32]
    batch, seen = (at.x, at.y), math.nan
    if cause == "labels":
        batch = at.x[some], 10 * torch.randn(32, 1, generator=at.draw)
    elif cause == "inputs":
        batch = 8 * at.x[some], at.y[some]
    if cause in ("labels", "inputs"):
        seen = step(*batch)
    counter, peak = CatapultCounter(), base
    counter.update(base.total)
    phase = "quiet"
    for _ in range(200):
        loss = full()
        losses.append(loss)
        phase = counter.update(loss)
        if phase in ("closed", "lost"):
            break
        if loss > 1.5 * peak.total:
            peak = spectral_loss_split(at.net, at.x, at.y, 5)
        step(at.x, at.y)
    lost = phase != "closed"
    after = math.nan
    if not lost:
        after = stability(at.net, at.x, at.y, mse, optimizer).sharpness
    # The batch of the rise at weights that are not to blame, against what was seen of it.
    with torch.no_grad():
        shown = mse(earlier(batch[0]), batch[1]).item() - base.total
    rise = (counter.peak if math.isnan(seen) else seen) - base.total
    spike = Spike(
        step=20,
        peak_ratio=counter.peak / counter.level,
        steps_to_recover=None if lost else counter.length,
        ratio_before=factor,
        top_share=peak.share_of_rise(base),
        probe_rise=peak.total / base.total,
        sharpness_before=before.sharpness,
        sharpness_after=after,
        diverged=lost,
        batch_share=min(max(shown / rise, 0.0), 1.0),
    )
    kind = SpikeClassifier().classify(spike).kind
    return {
        "kind": kind,
        "right": float(kind == KINDS[cause]),
        "share_five": spike.top_share,
        "sharpness_kept": after / before.sharpness,
        "losses": losses,
    }
