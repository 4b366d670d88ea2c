import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian

from overparam.curvature import OutputHessian, hessian_norm
from overparam.errors import NumericalError
from overparam.nets import ntk_mlp


def inputs(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def dense_norm(model, x, output=0, names=None):
    """Largest |eigenvalue| of the Hessian by autograd, formed."""
    point = {n: p.detach() for n, p in model.named_parameters() if names is None or n in names}
    sizes = [p.numel() for p in point.values()]

    def scalar(flat):
        parts = flat.split(sizes)
        params = {n: part.view_as(p) for (n, p), part in zip(point.items(), parts, strict=True)}
        return functional_call(model, params, x).flatten()[output]

    matrix = hessian(scalar)(torch.cat([p.flatten() for p in point.values()]))
    return torch.linalg.eigvalsh(matrix).abs().max().item()


MODELS = {
    "tanh net": (lambda: ntk_mlp([4, 6, 6, 2], seed=1, dtype=torch.float64), inputs(1, 4)),
    "with biases": (
        lambda: ntk_mlp([4, 6, 2], "gelu", bias_scale=1.0, seed=2, dtype=torch.float64),
        inputs(1, 4),
    ),
    "small enough to form": (lambda: ntk_mlp([2, 3, 1], seed=1, dtype=torch.float64), inputs(1, 2)),
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.SiLU(), nn.Flatten(), nn.Linear(12, 2)
        ).double(),
        inputs(1, 1, 4, 4),
    ),
    "embedding": (
        lambda: nn.Sequential(
            nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 1)
        ).double(),
        torch.tensor([[1, 3]]),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_is_the_norm_of_the_dense_hessian(name):
    torch.manual_seed(0)
    make, x = MODELS[name]
    model = make()
    for output in (0, -1):
        assert hessian_norm(model, x, output, tolerance=1e-10) == pytest.approx(
            dense_norm(model, x, output), rel=1e-8
        )


def test_closed_form_of_one_hidden_layer():
    # f = Σ v_i tanh(w_i x)/√m in w alone has a diagonal Hessian, v_i x² tanh''(w_i x)/√m.
    model = ntk_mlp([1, 50, 1], seed=3, dtype=torch.float64)
    w, v, x = model[0].weight[:, 0], model[2].weight[0], 1.7
    t = torch.tanh(w * x)
    expected = (v * x**2 * -2 * t * (1 - t**2)).abs().max().item() / math.sqrt(50)
    measured = hessian_norm(
        model, torch.tensor([[x]], dtype=torch.float64), names=["0.weight"], tolerance=1e-10
    )
    assert measured == pytest.approx(expected, rel=1e-8)


def test_attention_uses_a_kernel_with_second_derivatives():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0].mean(1)

    torch.manual_seed(0)
    model = Block().double()
    x = inputs(1, 3, 4)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        expected = dense_norm(model, x)
    assert hessian_norm(model, x, tolerance=1e-10) == pytest.approx(expected, rel=1e-7)


def test_linear_in_its_parameters_means_exactly_zero():
    assert hessian_norm(nn.Linear(40, 2), torch.ones(1, 40)) == 0.0
    model = ntk_mlp([4, 60, 1], "relu", seed=0)
    assert hessian_norm(model, torch.ones(1, 4), names=["0.weight"]) == 0.0


def test_nothing_of_the_models_changes():
    model, x = ntk_mlp([4, 6, 6, 1], seed=1), torch.ones(1, 4)
    model[0].requires_grad_(False)
    model(x).sum().backward()
    grads = [p.grad for p in model.parameters()]
    values = [p.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    hessian_norm(model, x)
    assert all(p.grad is g for p, g in zip(model.parameters(), grads, strict=True))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), values, strict=True))
    assert [p.requires_grad for p in model.parameters()] == [False, True, True]
    assert torch.equal(torch.get_rng_state(), state)


def test_same_seed_same_bits_and_work_under_no_grad():
    model, x = ntk_mlp([4, 9, 9, 1], seed=1), torch.ones(1, 4)
    with torch.no_grad():
        first = hessian_norm(model, x, seed=4)
    assert hessian_norm(model, x, seed=4) == first
    assert hessian_norm(model, x, seed=5) == pytest.approx(first, rel=1e-2)


def test_wrong_arguments_are_named():
    model = ntk_mlp([4, 6, 1], seed=1)
    with pytest.raises(ValueError, match=r"`hessian_norm\(x=\.\.\.\)` expected one example"):
        hessian_norm(model, torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"`OutputHessian\(x=\.\.\.\)` expected one example"):
        OutputHessian(model, torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"`hessian_norm\(output=\.\.\.\)`"):
        hessian_norm(model, torch.ones(1, 4), output=1)
    with pytest.raises(ValueError, match=r"`hessian_norm\(tolerance=\.\.\.\)`"):
        hessian_norm(model, torch.ones(1, 4), tolerance=0.0)
    with pytest.raises(ValueError, match=r"`hessian_norm\(names=\.\.\.\)`"):
        hessian_norm(model, torch.ones(1, 4), names=["nonsense"])
    with torch.no_grad():
        model[0].weight.fill_(math.nan)
    with pytest.raises(
        NumericalError, match=r"`hessian_norm\(model=\.\.\.\)` expected a finite gradient"
    ):
        hessian_norm(model, torch.ones(1, 4))


def test_giving_up_is_a_numerical_error():
    model = ntk_mlp([4, 30, 30, 1], seed=1, dtype=torch.float64)
    with pytest.raises(NumericalError, match="max_products"):
        hessian_norm(model, inputs(1, 4), tolerance=1e-15, max_products=1)
