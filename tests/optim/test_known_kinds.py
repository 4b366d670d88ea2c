"""Subclasses of known optimizers are known, unless they step in their own way."""

import functools
import math

import pytest
import torch
from torch import nn
from torch.optim import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
)

from overparam.diagnosis.edge import margin_for
from overparam.optim import MaSS, critical_learning_rate, has_stability_limit, stability
from overparam.optim.known_kinds import KNOWN, known_kind

MSE = nn.functional.mse_loss
SETTINGS: dict[type[Optimizer], dict[str, float]] = {
    SGD: {"lr": 0.1, "momentum": 0.5}, MaSS: {"lr": 0.1, "alpha": 0.05, "kappa_t": 3.0},
    AdamW: {"weight_decay": 0.1}, Adam: {"weight_decay": 0.1}, RMSprop: {}, Adagrad: {},
    NAdam: {}, RAdam: {}, Adamax: {}, Adafactor: {},
}  # fmt: skip


def problem():
    torch.manual_seed(0)
    return nn.Linear(3, 1).double(), torch.randn(8, 3).double(), torch.randn(8, 1).double()


def trivial(kind):
    """A subclass as one writes it: a method more, `step` untouched."""
    return type(f"My{kind.__name__}", (kind,), {"describe": lambda self: "mine"})


def made_first(kind):
    """As torch leaves a subclass of which there is an optimizer before there is one of its parent:
    its hook around the inherited step, on the subclass."""
    mine = trivial(kind)
    mine.step = Optimizer.profile_hook_step(kind.step)
    mine.step.hooked = True
    return mine


def overriding(kind):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.sign_()
        return kind.step(self, closure)

    return type(f"Sign{kind.__name__}", (kind,), {"step": step})


def disguised(kind):
    """The same, in a decorator that copies the parent's attributes."""
    mine = overriding(kind)
    mine.step = functools.wraps(kind.step)(mine.step)
    return mine


def grandchild(kind):
    return trivial(trivial(kind))


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("derive", [trivial, made_first, grandchild])
def test_a_subclass_with_its_parents_step_has_its_limit(kind, derive):
    limits = []
    for form in (kind, derive(kind), derive(kind)):  # the second of a class is hooked already
        model, x, y = problem()
        optimizer = form(model.parameters(), **SETTINGS[kind])
        assert known_kind(optimizer) is kind
        for _ in range(10):
            MSE(model(x), y).backward()
            optimizer.step()
        limits.append(critical_learning_rate(model, x, y, MSE, optimizer))
    assert limits[0] > 0
    assert limits[0] == limits[1] == limits[2]


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("derive", [overriding, disguised])
def test_one_with_a_step_of_its_own_is_not_known_and_that_is_said(kind, derive):
    model, x, y = problem()
    optimizer = derive(kind)(model.parameters(), **SETTINGS[kind])
    assert known_kind(optimizer) is None
    assert not has_stability_limit(optimizer)
    words = f"of Sign{kind.__name__} with a `step` of its own in place of {kind.__name__}'s is not"
    with pytest.warns(UserWarning, match=words):
        assert math.isnan(stability(model, x, y, MSE, optimizer).ratio)
    again = trivial(type(optimizer))(model.parameters(), **SETTINGS[kind])
    assert known_kind(again) is None  # nor is what derives from it


@pytest.mark.parametrize("derive", [lambda kind: kind, trivial])
def test_what_is_put_around_one_optimizers_step_changes_nothing(derive):
    model, x, y = problem()
    optimizer = derive(SGD)(model.parameters(), lr=0.1)
    expected = critical_learning_rate(model, x, y, MSE, optimizer)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    assert "step" in vars(optimizer)
    assert known_kind(optimizer) is SGD
    assert critical_learning_rate(model, x, y, MSE, optimizer) == expected


def test_others_are_not_known():
    model, _, _ = problem()
    assert known_kind(Adadelta(model.parameters())) is None


def test_the_edge_is_approached_alike():
    model, _, _ = problem()
    assert margin_for(trivial(SGD)(model.parameters(), lr=0.1)) == 1.0
    assert margin_for(trivial(SGD)(model.parameters(), lr=0.1, momentum=0.9)) == 0.25
    assert margin_for(overriding(SGD)(model.parameters(), lr=0.1)) == 0.25
