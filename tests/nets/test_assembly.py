import math

import pytest
import torch
from torch import nn

from overparam.curvature import hessian_norm
from overparam.errors import NumericalError
from overparam.expansions import linearize
from overparam.nets import AssemblyModel, NTKConv2d, dominance, ntk_mlp
from overparam.tangents import empirical_ntk

WEIGHTS = [1.0, -2.0, 0.5]


def parts(outputs=1):
    return [ntk_mlp([3, 4, outputs], seed=seed, dtype=torch.float64) for seed in range(3)]


@pytest.mark.parametrize(("scale", "divisor"), [("sqrt", 3**0.5), ("mean", 3.0), (0.7, 0.7)])
def test_is_the_weighted_sum(scale, divisor, normal):
    submodels, x = parts(2), normal(5, 3)
    model = AssemblyModel(submodels, WEIGHTS, scale=scale)
    expected = sum(v * part(x) for v, part in zip(WEIGHTS, submodels, strict=True)) / divisor
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
    plain = AssemblyModel(submodels, scale=scale)(x)
    torch.testing.assert_close(plain, sum(p(x) for p in submodels) / divisor)


def test_kernel_and_linearisation_are_those_of_autograd(normal, dense_kernel):
    model, x = AssemblyModel(parts(2), WEIGHTS), normal(4, 3)
    torch.testing.assert_close(empirical_ntk(model, x), dense_kernel(model, x), rtol=0, atol=1e-12)
    torch.testing.assert_close(linearize(model)(x), model(x), rtol=1e-12, atol=1e-12)


def test_the_hessian_is_block_diagonal(normal, dense_hessian):
    submodels, x = parts(), normal(1, 3)
    model = AssemblyModel(submodels, WEIGHTS)
    blocks = [
        abs(v) * torch.linalg.eigvalsh(dense_hessian(part, x)).abs().max().item() / 3**0.5
        for v, part in zip(WEIGHTS, submodels, strict=True)
    ]
    whole = torch.linalg.eigvalsh(dense_hessian(model, x)).abs().max().item()
    assert whole == pytest.approx(max(blocks), rel=1e-10)
    assert hessian_norm(model, x, tolerance=1e-6) == pytest.approx(max(blocks), rel=1e-6)


def test_weights_keep_their_precision():
    assert AssemblyModel(parts(), [0.1, 0.2, 0.3]).weights.tolist() == [0.1, 0.2, 0.3]


def test_submodels_are_copies_and_can_be_taken_out(normal):
    submodels, x = parts(), normal(2, 3)
    before = [p.detach().clone() for part in submodels for p in part.parameters()]
    model = AssemblyModel(submodels, WEIGHTS)
    for index in (0, -1):
        torch.testing.assert_close(model.submodel(index)(x), submodels[index](x), rtol=0, atol=0)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        for p in model.submodel(1).parameters():
            p.add_(1)
    assert model(x).abs().max() == 0
    after = [p for part in submodels for p in part.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    with pytest.raises(ValueError, match=r"`AssemblyModel\.submodel\(index=\.\.\.\)`.*3"):
        model.submodel(3)


def test_tied_weights_frozen_ones_and_buffers_stay_what_they_are(normal):
    def part(seed):
        draw = torch.Generator().manual_seed(seed)
        layer = nn.Linear(3, 3, dtype=torch.float64)
        norm = nn.BatchNorm1d(3, dtype=torch.float64).eval()
        with torch.no_grad():
            layer.weight.normal_(generator=draw)
            norm.running_mean.normal_(generator=draw)
        layer.bias.requires_grad_(False)
        return nn.Sequential(layer, nn.Tanh(), layer, norm).eval()

    submodels, x = [part(seed) for seed in range(3)], normal(4, 3)
    model = AssemblyModel(submodels, WEIGHTS)
    expected = sum(v * one(x) for v, one in zip(WEIGHTS, submodels, strict=True)) / 3**0.5
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"submodels.0.weight", "submodels.3.weight", "submodels.3.bias"}
    assert model.submodels[0] is model.submodels[2]


def test_dominance_is_the_largest_share_of_the_gradient(normal):
    submodels, x = parts(2), normal(4, 3)
    model = AssemblyModel(submodels, WEIGHTS)
    norms = torch.stack([
        abs(v) * (2 * empirical_ntk(part, x).diagonal()).sqrt()
        for v, part in zip(WEIGHTS, submodels, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(dominance(model, x), norms.amax(0) / norms.norm(dim=0))


@pytest.mark.parametrize("k", [1, 4, 100])
def test_dominance_of_equals_and_of_one(k):
    part, x = ntk_mlp([3, 4, 1], dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64)
    equal = dominance(AssemblyModel([part] * k, [(-1.0) ** i for i in range(k)]), x)
    torch.testing.assert_close(equal, torch.full_like(equal, 1 / math.sqrt(k)))
    one = dominance(AssemblyModel([part] * k, [1.0] + [0.0] * (k - 1)), x)
    torch.testing.assert_close(one, torch.ones_like(one))


def test_dominance_leaves_the_model_as_it_was():
    model = AssemblyModel(parts())
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    dominance(model, torch.ones(2, 3, dtype=torch.float64))
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])
        assert torch.equal(p.grad, torch.ones_like(p))


def test_moves_to_another_precision():
    model = AssemblyModel(parts(), WEIGHTS)
    x = torch.ones(2, 3, dtype=torch.float64)
    expected = model(x)
    torch.testing.assert_close(model.float()(x.float()), expected.float())
    assert "3 submodels" in repr(model)


def different():
    """Modules that differ in one setting that no shape shows."""
    one = NTKConv2d(1, 1, padding=1, seed=0)
    return [one, NTKConv2d(1, 1, padding=1, padding_mode="circular", seed=0)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"submodels": []}, ValueError, r"submodels=\.\.\.\)` expected at least one"),
        ({"submodels": [torch.sin]}, TypeError, r"submodels=\.\.\.\)` expected modules"),
        ({"submodels": [nn.Linear(1, 1), nn.Linear(2, 1)]}, ValueError, "of one form.*number 1"),
        ({"submodels": [nn.Tanh(), nn.ReLU()]}, ValueError, "of one form"),
        ({"submodels": [nn.Tanh(), nn.Tanh().eval()]}, ValueError, "of one form"),
        ({"submodels": different()}, ValueError, "of one form"),
        ({"weights": [1.0]}, ValueError, r"weights=\.\.\.\)` expected 2 finite numbers"),
        ({"weights": [1.0, math.nan]}, ValueError, r"weights=\.\.\.\)` expected 2 finite numbers"),
        ({"weights": ["a", "b"]}, TypeError, r"weights=\.\.\.\)` expected 2 finite numbers"),
        ({"scale": "root"}, ValueError, r"scale=\.\.\.\)` expected a scale"),
        ({"scale": 0.0}, ValueError, r"scale=\.\.\.\)` expected a finite number > 0"),
        ({"scale": math.nan}, ValueError, r"scale=\.\.\.\)` expected a finite number > 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    given = {"submodels": [nn.Linear(1, 1), nn.Linear(1, 1)], **arguments}
    with pytest.raises(error, match=f"AssemblyModel.*{message}"):
        AssemblyModel(given.pop("submodels"), **given)


@pytest.mark.parametrize(
    ("model", "x", "error", "named"),
    [
        (nn.Linear(3, 1), torch.ones(1, 3), TypeError, "model"),
        (AssemblyModel([nn.Dropout()]), torch.ones(1, 3), ValueError, "model"),
        (AssemblyModel([nn.Tanh()]), torch.ones(1, 3), ValueError, "model"),
        (AssemblyModel([nn.Linear(3, 1)]), torch.ones(0, 3), ValueError, "x"),
        (AssemblyModel([nn.Linear(3, 1)]), torch.full((1, 3), math.nan), ValueError, "x"),
        (AssemblyModel([nn.Linear(3, 1)]), [1.0], TypeError, "x"),
        (AssemblyModel([nn.Linear(3, 1)], [0.0]), torch.ones(1, 3), NumericalError, "x"),
    ],
)
def test_dominance_of_what_has_none(model, x, error, named):
    with pytest.raises(error, match=rf"`dominance\({named}=\.\.\.\)`"):
        dominance(model, x)
