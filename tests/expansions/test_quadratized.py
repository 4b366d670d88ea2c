"""The second Taylor polynomial against dense Hessians, differences, and its own remainder."""

import copy
import math
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, hessian, jacrev, vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from overparam.errors import NumericalError
from overparam.expansions import linearize, quadratization_error, quadratize


def inputs(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


class Between(nn.Module):
    """Any function between two linear layers."""

    def __init__(self, function):
        super().__init__()
        self.first, self.last, self.function = nn.Linear(3, 6), nn.LazyLinear(2), function

    def forward(self, x):
        return self.last(self.function(self.first(x)))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x, weight):
        h, _ = self.attention(x, x, x, need_weights=False)
        return (h * weight[..., None]).sum(1)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3, bias=False)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


def block():
    return nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).eval()


def convolution(norm):
    layers = [nn.Conv2d(2, 4, 3), norm, nn.Softplus(), nn.AvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(16, 2)).eval()


IMAGES, SEQUENCE = (2, 2, 6, 6), (2, 3, 4)
MODELS = {
    "mlp": (tiny, (4, 3)),
    "tied": (Tied, (4, 3)),
    "relu": (lambda: Between(torch.relu), (4, 3)),
    "gelu": (lambda: Between(functional.gelu), (4, 3)),
    "softmax": (lambda: Between(lambda h: h.softmax(-1)), (4, 3)),
    "gated linear unit": (lambda: Between(functional.glu), (4, 3)),
    "layer norm": (lambda: Between(nn.LayerNorm(6)), (4, 3)),
    "plain layer norm": (lambda: Between(lambda h: functional.layer_norm(h, (6,))), (4, 3)),
    "rms norm": (lambda: Between(nn.RMSNorm(6)), (4, 3)),
    "weight norm": (
        lambda: nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(3, 5)), nn.Tanh(), nn.Linear(5, 2)
        ),
        (4, 3),
    ),
    "batch norm in evaluation": (lambda: convolution(nn.BatchNorm2d(4)), IMAGES),
    "group norm": (lambda: convolution(nn.GroupNorm(2, 4)), IMAGES),
    "instance norm": (lambda: convolution(nn.InstanceNorm2d(4, affine=True)), IMAGES),
    "tracking instance norm": (
        lambda: convolution(nn.InstanceNorm2d(4, track_running_stats=True)),
        IMAGES,
    ),
    "transformer": (block, SEQUENCE),
}


def made(case):
    torch.manual_seed(1)
    make, shape = MODELS[case]
    model, x = make().double(), inputs(*shape)
    model(x)
    return model, x


def displace(expanded, scale=1.0, seed=5):
    """Give an expansion a random displacement, and return it by name."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in expanded.displacement:
            p.copy_(scale * torch.randn(p.shape, dtype=p.dtype, generator=draw))
    return {n: p.detach() for n, p in zip(expanded._names, expanded.displacement, strict=True)}


def along_line(model, shift, x, t):
    """The model at w0 + t δ."""
    point = {name: p.detach() + t * shift[name] for name, p in model.named_parameters()}
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, p in copied.named_parameters():
            p.copy_(point[name])
        return copied(x)


@pytest.mark.parametrize("case", MODELS)
def test_second_derivative_is_that_of_differences(case):
    model, x = made(case)
    quadratic, linear = quadratize(model), linearize(model)
    torch.testing.assert_close(quadratic(x), model(x), rtol=1e-12, atol=1e-12)
    shift = displace(quadratic, 0.1)
    displace(linear, 0.1)
    step = 1e-3
    plus, middle, minus = (along_line(model, shift, x, t) for t in (step, 0.0, -step))
    expected = (plus - 2 * middle + minus) / step**2 / 2
    found = (quadratic(x) - linear(x)).detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * (1 + float(found.norm())))
    slope = (plus - minus) / (2 * step)
    torch.testing.assert_close(linear(x) - model(x), slope, rtol=1e-4, atol=1e-5)
    assert torch.backends.mha.get_fastpath_enabled()


def dense(model, shift, x):
    """f + J δ + ½ δᵀHδ by dense Jacobians and Hessians of every parameter pair."""
    point = {name: p.detach() for name, p in model.named_parameters()}
    function = lambda p: functional_call(model, p, x)  # noqa: E731
    outputs = function(point)
    jacobians, hessians = jacrev(function)(point), hessian(function)(point)
    n, c = outputs.shape
    for a in shift:
        outputs = outputs + jacobians[a].reshape(n, c, -1) @ shift[a].flatten()
        for b in shift:
            h = hessians[a][b].reshape(n, c, shift[a].numel(), shift[b].numel())
            outputs = outputs + (h @ shift[b].flatten()) @ shift[a].flatten() / 2
    return outputs


@pytest.mark.parametrize("make", [tiny, lambda: Tied().double()], ids=["mlp", "tied"])
def test_is_the_polynomial_of_dense_hessians(make):
    torch.manual_seed(1)
    model, x = make(), inputs(4, 3)
    quadratic = quadratize(model)
    shift = displace(quadratic)
    expected = dense(model, shift, x)
    torch.testing.assert_close(quadratic(x), expected, rtol=1e-11, atol=1e-11)


def test_gradient_is_jacobian_plus_hessian_times_displacement():
    model, x, weights = tiny(), inputs(4, 3), inputs(4, 2, seed=9)
    quadratic = quadratize(model)
    shift = displace(quadratic)
    (quadratic(x) * weights).sum().backward()
    expected = grad(lambda s: (dense(model, s, x) * weights).sum())(shift)
    for ours, name in zip(quadratic.displacement, shift, strict=True):
        torch.testing.assert_close(ours.grad, expected[name], rtol=1e-10, atol=1e-11)


def test_several_inputs_by_position_and_by_name():
    torch.manual_seed(0)
    model = Attention().double()
    x, weight = inputs(2, 3, 4), inputs(2, 3, seed=1)
    quadratic = quadratize(model)
    shift = displace(quadratic, 0.1)
    torch.testing.assert_close(quadratic(x, weight), quadratic(x=x, weight=weight))
    with sdpa_kernel([SDPBackend.MATH]):
        point = {name: p.detach() for name, p in model.named_parameters()}

        def line(t):
            moved = {name: point[name] + t * shift[name] for name in point}
            return functional_call(model, moved, (x, weight))

        t = torch.zeros((), dtype=torch.float64)
        slope, bend = torch.func.jacrev(line)(t), torch.func.jacrev(torch.func.jacrev(line))(t)
    torch.testing.assert_close(quadratic(x, weight), model(x, weight) + slope + bend / 2)


@pytest.mark.parametrize("case", ["mlp", "layer norm", "transformer", "group norm"])
def test_remainder_is_of_third_order(case):
    model, x = made(case)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    moves = {name: 0.005 * torch.randn_like(p) for name, p in start.items()}
    errors = []
    for size in (1.0, 0.5):
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(start[name] + size * moves[name])
        errors.append(quadratization_error(model, start, x))
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.1)


def test_is_exact_for_a_product_of_two_layers():
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double(), inputs(5, 3)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    assert quadratization_error(model, start, x) < 1e-13


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "LBFGS"])
def test_any_optimizer_trains_it_and_only_it(optimizer):
    model, x, y = tiny(), inputs(4, 3), inputs(4, 2, seed=3)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    quadratic = quadratize(model)
    chosen = getattr(torch.optim, optimizer)(quadratic.parameters(), lr=0.05)

    def closure():
        chosen.zero_grad()
        loss = ((quadratic(x) - y) ** 2).mean()
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(30):
        last = chosen.step(closure).item()
    assert last < 0.7 * first
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert quadratic.reference.state_dict().keys() == before.keys()
    model.load_state_dict(quadratic.displaced())


EXPANSIONS = {"linear": linearize, "quadratic": quadratize}


@pytest.mark.parametrize("kind", EXPANSIONS)
def test_vmap_over_examples_over_displacements_and_of_gradients(kind):
    model, x = Between(nn.LayerNorm(6)).double(), inputs(4, 3)
    model(x)
    expanded = EXPANSIONS[kind](model)
    shift = displace(expanded)
    alone = vmap(lambda row: expanded(row[None])[0])(x)
    torch.testing.assert_close(alone, expanded(x), rtol=1e-12, atol=1e-12)
    own = {name: p.detach() for name, p in expanded.named_parameters() if p.requires_grad}
    two = {name: torch.stack([p, 2 * p]) for name, p in own.items()}
    many = vmap(lambda p: functional_call(expanded, p, (x,)))(two)
    torch.testing.assert_close(many[0], expanded(x), rtol=1e-12, atol=1e-12)
    each = vmap(
        grad(lambda p, row: functional_call(expanded, p, (row[None],)).sum()), in_dims=(None, 0)
    )(own, x)
    expanded(x).sum().backward()
    for (_, gradients), p in zip(each.items(), expanded.displacement, strict=True):
        torch.testing.assert_close(gradients.sum(0), p.grad, rtol=1e-10, atol=1e-12)
    assert len(shift) == len(each)


@contextmanager
def own_context():
    yield


def doubled(x):
    with own_context():
        return 2 * x


@pytest.mark.parametrize("kind", EXPANSIONS)
@pytest.mark.untyped("torch.compile traces no checked function")
def test_compiles_as_one_graph(kind):
    try:
        torch.compile(doubled, backend="eager", fullgraph=True)(torch.ones(1))
    except torch._dynamo.exc.Unsupported:  # the first releases that are supported
        pytest.skip("this torch compiles no context manager of Python")
    model, x = Between(nn.LayerNorm(6)).double(), inputs(4, 3)
    model(x)
    expanded = EXPANSIONS[kind](model)
    displace(expanded)
    expanded(x).square().sum().backward()
    expected = [p.grad.clone() for p in expanded.displacement]
    expanded.zero_grad()
    compiled = torch.compile(expanded, backend="aot_eager", fullgraph=True)
    outputs = compiled(x)
    torch.testing.assert_close(outputs, expanded(x), rtol=1e-12, atol=1e-12)
    outputs.square().sum().backward()
    for p, gradient in zip(expanded.displacement, expected, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-10, atol=1e-12)


def test_refuses_what_has_no_derivative_per_example():
    with pytest.raises(ValueError, match=r"`quadratize\(model=\.\.\.\)` .*BatchNorm1d"):
        quadratize(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    with pytest.raises(ValueError, match=r"`quadratize\(model=\.\.\.\)` .*Dropout"):
        quadratize(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)))
    with pytest.raises(ValueError, match=r"`quadratize\(model=\.\.\.\)` .*trainable"):
        quadratize(tiny().requires_grad_(False))


class Once(torch.autograd.Function):
    """A layer without forward mode."""

    @staticmethod
    def forward(h):
        return h.exp()

    @staticmethod
    def setup_context(ctx, given, output):
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


def test_refuses_a_layer_without_forward_mode():
    model = Between(Once.apply).double()
    model(inputs(4, 3))
    with pytest.raises(ValueError, match=r"`quadratize\(model=...\)` .*twice in forward mode"):
        quadratize(model)(inputs(4, 3))


def test_wrong_references_inputs_and_diverged_weights():
    model, x = tiny(), inputs(4, 3)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(ValueError, match=r"`quadratization_error\(reference_params.*nonsense"):
        quadratization_error(model, {"nonsense": torch.zeros(1)}, x)
    with pytest.raises(ValueError, match=r"`quadratization_error\(x=\.\.\.\)`.*empty"):
        quadratization_error(model, start, x[:0])
    with torch.no_grad():
        model[0].weight.fill_(math.inf)
    with pytest.raises(NumericalError, match="finite outputs"):
        quadratization_error(model, start, x)
