"""The log of optimizer steps: what its rows hold, and what becomes of them when they are read."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from overparam.dynamics.spikes.early_warning import Lookout
from overparam.dynamics.spikes.evidence import Parts
from overparam.dynamics.spikes.recent import Recent, extended, nothing
from overparam.dynamics.spikes.step_log import StepLog

CE = nn.functional.cross_entropy
RATE = 0.1


class Decaying(torch.optim.Optimizer):
    """One that writes to the gradients it is given."""

    empties = False

    def __init__(self, params, lr) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.add_(p, alpha=0.5)
                p.sub_(p.grad, alpha=group["lr"])
        if self.empties:
            self.zero_grad()


class Emptying(Decaying):
    """One that takes them away as well."""

    empties = True


def trained(kind=torch.optim.SGD, *, closure=False, steps=34):
    """A log of some steps, and the gradients that they were taken with."""
    torch.manual_seed(0)
    # One layer of 1200 numbers, of which 256 are sampled, and three that are taken whole.
    model = nn.Sequential(nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 4))
    optimizer = kind(model.parameters(), lr=RATE)
    log = StepLog(dict(model.named_parameters()), optimizer, time.perf_counter)
    given = []

    def evaluate():
        optimizer.zero_grad()
        loss = CE(model(torch.randn(16, 40)), torch.randint(0, 4, (16,)))
        loss.backward()
        given.append([p.grad.clone() for p in model.parameters()])
        return loss

    for _ in range(steps):
        log.choose(2)  # which it waits for once it has found out what it costs
        if closure:
            optimizer.step(evaluate)
        else:
            evaluate()
            optimizer.step()
    return log, given


@pytest.mark.parametrize(
    ("kind", "closure"),
    [(torch.optim.SGD, False), (torch.optim.SGD, True), (Decaying, False), (Emptying, False)],
)
def test_a_row_holds_the_gradient_that_the_step_was_given(kind, closure):
    log, given = trained(kind, closure=closure)
    rows = log.taken()
    assert len(rows) == len(given)
    for number, (row, gradients) in enumerate(zip(rows, given, strict=True)):
        assert torch.equal(row.gradient, torch.cat(log.sample.views(gradients))), number
    recent = extended(nothing(4, 1), rows, None, log.sample)
    true = np.array([[float(g.double().norm()) for g in gradients] for gradients in given])
    # Lengths of 1200 numbers in single precision; √1200 ε is 4e-6.
    assert recent.norms == pytest.approx(true, rel=1e-5)


def test_a_gradient_that_is_not_finite_is_known_in_its_layer_wherever_it_is():
    log, _ = trained(steps=4)
    params = log.params
    for p in params:
        p.grad = torch.ones_like(p)
    params[0].grad.view(-1)[1] = torch.nan  # of which every fourth or fifth is sampled
    params[3].grad.view(-1)[1] = torch.inf
    log.optimizer.step()
    recent = extended(nothing(4, 1), log.taken(), None, log.sample)
    assert recent.bad[-1].tolist() == [True, False, False, True]


def history(steps=90, seed=0):
    draw = np.random.default_rng(seed)
    updates = np.exp(0.1 * draw.standard_normal((steps, 3)))
    updates[50, 1] = 9.0
    updates[70:, 2] *= np.exp(0.2 * np.arange(steps - 70))
    ones = np.ones((steps, 3))
    return Recent(
        steps=np.arange(steps), rates=np.ones((steps, 1)), changed=ones > 1, lost=ones > 1,
        weights=ones, updates=updates, norms=updates, bad=ones > 1, cosines=ones[:, 0],
        moments=ones,
    )  # fmt: skip


def test_warnings_do_not_depend_on_how_many_rows_are_read_at_once():
    whole, parts = history(), Parts(("a", "b", "c"), ("all",), (0, 0, 0))
    found = []
    for together in (1, 4, 30):
        lookout = Lookout()
        for start in range(0, len(whole), together):
            seen = whole.before(start + together).between(start + together - 64, start + together)
            lookout.look(seen, min(together, len(whole) - start), parts)
        found.append([(w.step, w.layer, w.signal) for w in lookout.warnings])
    assert found[0] == found[1] == found[2]
    assert found[0][0] == (50, "b", "update")
    assert [layer for _, layer, _ in found[0]] == ["b", "c"]
