"""The parts of a module are those that torch finds, in its order."""

import torch
from torch import nn

from overparam._parts import Tree, named_parts, parts


def test_shared_and_absent_parts_are_as_torch_has_them():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.ModuleDict({"a": nn.ReLU(), "b": shared}), nn.Sequential())
    model.register_module("none", None)
    model.append(nn.TransformerEncoderLayer(4, 2, 8))
    assert named_parts(model) == list(model.named_modules())
    assert parts(model) == list(model.modules())


def test_a_tree_follows_what_changes():
    inner = nn.Sequential(nn.ReLU())
    model = nn.Sequential(nn.Linear(2, 2), inner)
    tree = Tree(model)
    assert tree.named() == list(model.named_modules())
    assert tree.named() is tree.named()
    inner[0] = nn.Tanh()
    assert tree.named() == list(model.named_modules())
    model.append(nn.Linear(2, 1))
    assert tree.named() == list(model.named_modules())
    del model[0]
    assert tree.named() == list(model.named_modules())
    torch.nn.utils.parametrizations.weight_norm(model[-1])
    assert tree.named() == list(model.named_modules())
