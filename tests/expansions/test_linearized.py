import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev
from torch.nn.attention import SDPBackend, sdpa_kernel

from overparam.errors import NumericalError
from overparam.expansions.linearized import linearization_error, linearize


def tiny(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def inputs(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, tokens, weight):
        h = self.embed(tokens)
        h, _ = self.attention(h, h, h, need_weights=False)
        return self.head((h * weight[..., None]).sum(1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3, bias=False)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


def dense_polynomial(model, shift, x):
    """f + Σ J δ by full Jacobians."""
    point = {name: p.detach() for name, p in model.named_parameters() if name in shift}
    with sdpa_kernel(SDPBackend.MATH):
        jacobian = jacrev(lambda p: functional_call(model, p, x))(point)
    outputs = functional_call(model, point, x)
    for name in shift:
        outputs = outputs + (jacobian[name].flatten(2) @ shift[name].flatten())
    return outputs


def displace(linear, model, scale=1.0):
    """Give the linearised model a random displacement; return it by name."""
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in linear.displacement:
            p.copy_(scale * torch.randn(p.shape, dtype=p.dtype, generator=draw))
    return dict(zip(names, [p.detach() for p in linear.displacement], strict=True))


CASES = {
    "mlp": (tiny, lambda: inputs(4, 3)),
    "attention": (
        lambda: Attention().double(),
        lambda: (torch.arange(6).reshape(2, 3), inputs(2, 3)),
    ),
    "keywords": (
        lambda: Attention().double(),
        lambda: {"tokens": torch.arange(6).reshape(2, 3), "weight": inputs(2, 3)},
    ),
    "tied": (lambda: Tied().double(), lambda: inputs(4, 3)),
    "norm in evaluation": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double().eval(),
        lambda: inputs(4, 3),
    ),
}


def call(model, x):
    return model(**x) if isinstance(x, dict) else model(*x) if isinstance(x, tuple) else model(x)


@pytest.mark.parametrize("case", CASES)
def test_is_the_first_taylor_polynomial(case):
    torch.manual_seed(1)
    model, x = (make() for make in CASES[case])
    linear = linearize(model)
    torch.testing.assert_close(call(linear, x), call(model, x), rtol=1e-12, atol=1e-12)
    shift = displace(linear, model)
    if not isinstance(x, dict):
        expected = dense_polynomial(model, shift, x)
        torch.testing.assert_close(call(linear, x), expected, rtol=1e-10, atol=1e-10)
    # It is affine in its displacement, whatever the model.
    at_one = call(linear, x)
    displace(linear, model, scale=3.0)
    expected = call(model, x) + 3 * (at_one - call(model, x))
    torch.testing.assert_close(call(linear, x), expected, rtol=1e-10, atol=1e-10)


def test_gradient_is_the_models_at_the_reference():
    model, x = tiny(), inputs(4, 3)
    linear = linearize(model)
    displace(linear, model)
    (linear(x) * inputs(4, 2, seed=9)).sum().backward()
    (model(x) * inputs(4, 2, seed=9)).sum().backward()
    for ours, theirs in zip(linear.displacement, model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "LBFGS"])
def test_any_optimizer_trains_it_and_only_it(optimizer):
    model, x, y = tiny(), inputs(4, 3), inputs(4, 2, seed=3)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    linear = linearize(model)
    chosen = getattr(torch.optim, optimizer)(linear.parameters(), lr=0.05)

    def closure():
        chosen.zero_grad()
        loss = ((linear(x) - y) ** 2).mean()
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(30):
        last = chosen.step(closure).item()
    assert last < 0.7 * first
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    reference = linear.reference.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in reference.items())


def test_follows_neither_the_model_nor_its_mode():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).double().eval()
    linear, x = linearize(model), inputs(4, 3)
    expected = linear(x).detach()
    with torch.no_grad():
        model[0].weight.zero_()
    linear.train()
    torch.testing.assert_close(linear(x), expected, rtol=0, atol=0)


def test_displaced_loads_into_the_model():
    model = tiny()
    linear = linearize(model)
    shift = displace(linear, model)
    model.load_state_dict(linear.displaced())
    expected = linear.reference[0].weight + shift["0.weight"]
    torch.testing.assert_close(model[0].weight, expected, rtol=0, atol=0)


def test_frozen_parameters_are_not_displaced():
    model = tiny()
    model[0].requires_grad_(False)
    linear = linearize(model)
    assert [p.shape for p in linear.displacement] == [p.shape for p in model[2].parameters()]
    assert all(not p.requires_grad for p in linear.reference.parameters())
    assert all(p.requires_grad for p in model[2].parameters())


def test_linearize_refuses_what_has_no_derivative_per_example():
    with pytest.raises(ValueError, match=r"`linearize\(model=\.\.\.\)` .*BatchNorm1d"):
        linearize(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    with pytest.raises(ValueError, match=r"`linearize\(model=\.\.\.\)` .*trainable"):
        linearize(tiny().requires_grad_(False))


def test_error_is_zero_for_a_linear_model_and_without_movement():
    model, x = nn.Linear(3, 2).double(), inputs(4, 3)
    assert linearization_error(model, {"weight": torch.zeros(2, 3)}, x) < 1e-12
    model = tiny()
    start = {name: p.clone() for name, p in model.state_dict().items()}
    assert linearization_error(model, start, x) < 1e-12


def test_error_is_that_of_the_dense_polynomial():
    model, x = tiny(), inputs(4, 3)
    start = {name: p.clone() for name, p in model.state_dict().items()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3)
    shift = {name: torch.full_like(p, 0.3) for name, p in model.named_parameters()}
    expected = tiny()
    expected.load_state_dict(start)
    gap = model(x) - dense_polynomial(expected, shift, x)
    before = [p.clone() for p in model.parameters()]
    assert linearization_error(model, start, x) == pytest.approx(
        gap.norm().item() / math.sqrt(4), rel=1e-10
    )
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_parameters_left_out_have_not_moved():
    model, x = tiny(), inputs(4, 3)
    start = {"0.weight": model[0].weight.detach() + 0.5}
    full = {name: p.detach() for name, p in model.named_parameters()} | start
    assert linearization_error(model, start, x) == pytest.approx(
        linearization_error(model, full, x), rel=1e-12
    )


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"nonsense": torch.zeros(1)}, "nonsense"),
        ({}, "nothing"),
        ({"0.weight": torch.zeros(2)}, r"0\.weight"),
    ],
)
def test_wrong_references(reference, message):
    with pytest.raises(ValueError, match=rf"`linearization_error\(reference_params.*{message}"):
        linearization_error(tiny(), reference, inputs(4, 3))


def test_wrong_inputs_and_diverged_weights():
    model, bad = tiny(), inputs(4, 3)
    bad[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"`linearization_error\(x=\.\.\.\)`.*NaN"):
        linearization_error(model, model.state_dict(), bad)
    start = {name: p.clone() for name, p in model.state_dict().items()}
    with torch.no_grad():
        model[0].weight.fill_(math.inf)
    with pytest.raises(NumericalError, match="finite outputs"):
        linearization_error(model, start, inputs(4, 3))


def test_a_transformer_in_evaluation_mode_is_linearised_without_its_fused_layer():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).double().eval()
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    moves = {name: 1e-3 * torch.randn_like(p) for name, p in start.items()}
    errors = []
    for size in (1.0, 0.5):
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(start[name] + size * moves[name])
        errors.append(linearization_error(model, start, x))
    # What a tangent misses is of second order: half the way, a quarter of the error.
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert torch.backends.mha.get_fastpath_enabled()


def test_an_lstm_is_linearised_without_its_fused_operation():
    torch.manual_seed(0)
    model = nn.Sequential()
    model.core = nn.LSTM(3, 4, batch_first=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(5, 6, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)

    def last(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return module.core(x)[0][:, -1]

    assert 0 < linearization_error(model, before, x, forward=last) < 0.1
    assert torch.backends.mkldnn.enabled
