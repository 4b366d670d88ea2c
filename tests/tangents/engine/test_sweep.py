"""A sweep for all outputs against one call of autograd for each, in double precision."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.testing import assert_close

from overparam._model import trainable
from overparam.nets import NTKLinear
from overparam.tangents import empirical_ntk_blocks, sum_of_logits_ntk
from overparam.tangents.engine import factors
from overparam.tangents.engine.plan import make_plan
from overparam.tangents.engine.registry import ACTIVATIONS
from overparam.tangents.engine.session import opened
from overparam.tangents.engine.step import Step, name_of
from overparam.tangents.engine.sweep import Sweep, every_output

VECTOR, IMAGE = (5, 4), (5, 4, 6, 6)
L, C = nn.Linear, nn.Conv2d


class Lambda(nn.Module):
    """Layers by name, and a forward given as a function of self."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def head(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


def residual(s: nn.Module, x: Tensor) -> Tensor:
    x = s.a(x)
    return s.d((x + s.c(s.b(x).relu())).relu().mean((2, 3)))


def pooled_and_not(s: nn.Module, x: Tensor) -> Tensor:
    x = s.a(x).relu()
    return s.b(nn.functional.avg_pool2d(x, 2).flatten(1)) + s.c(x.flatten(1))


SWEPT: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: L(4, 3), VECTOR),
    "mlp": (lambda: nn.Sequential(L(4, 6), nn.ReLU(), L(6, 5), nn.Tanh(), L(5, 3)), VECTOR),
    "activations": (lambda: nn.Sequential(L(4, 6), nn.GELU(), L(6, 6), nn.SiLU(), L(6, 6),
                                          nn.LeakyReLU(), L(6, 6), nn.Softplus(), L(6, 3),
                                          nn.ELU(), nn.Sigmoid()), VECTOR),
    "scaled": (lambda: nn.Sequential(NTKLinear(4, 6, seed=0), nn.ReLU(), NTKLinear(6, 3, seed=1)),
               VECTOR),
    "numbers": (lambda: Lambda(lambda s, x: s.b((s.a(x) / 3).tanh() * 2).neg() * 0.5,
                               a=L(4, 6), b=L(6, 3)), VECTOR),
    "gated": (lambda: Lambda(lambda s, x: s.c(s.a(x) * s.b(x).sigmoid()) / (1 + s.d(x).exp()),
                             a=L(4, 6), b=L(4, 6), c=L(6, 3), d=L(4, 3)), VECTOR),
    "differences": (lambda: Lambda(lambda s, x: torch.sub(s.a(x), s.b(x).tanh(), alpha=2),
                                   a=L(4, 3), b=L(4, 3)), VECTOR),
    "alpha": (lambda: Lambda(lambda s, x: torch.addmm(s.b, s.a(x).tanh(), s.w, alpha=3),
                             a=L(4, 6), w=nn.Parameter(torch.randn(6, 3)),
                             b=nn.Parameter(torch.randn(3))), VECTOR),
    "re-used": (lambda: Lambda(lambda s, x: s.b(s.a(s.a(x).relu()).relu()), a=L(4, 4), b=L(4, 3)),
                VECTOR),
    "tokens": (lambda: head(L(4, 6), nn.ReLU(), L(6, 2), nn.Tanh()), (5, 3, 4)),
    "cnn": (lambda: head(C(4, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), C(6, 5, 2), nn.ReLU()),
            IMAGE),
    "cnn, no activation": (lambda: head(C(4, 6, 3), C(6, 5, 3)), IMAGE),
    "cnn, averaged": (lambda: nn.Sequential(C(4, 6, 3), nn.ReLU(), C(6, 3, 3), nn.Tanh(),
                                            nn.AdaptiveAvgPool2d(1), nn.Flatten()), IMAGE),
    "cnn, summed": (lambda: Lambda(lambda s, x: s.b(s.a(x).relu()).sum((2, 3)),
                                   a=C(4, 6, 3), b=C(6, 3, 2)), IMAGE),
    "cnn, pooled unevenly": (lambda: head(C(4, 6, 1), nn.Tanh(), nn.AvgPool2d((3, 2)), C(6, 5, 2)),
                             IMAGE),
    "cnn, pooled and not": (lambda: Lambda(pooled_and_not, a=C(4, 3, 3, padding=1), b=L(27, 3),
                                           c=L(108, 3)), IMAGE),
    "cnn, maxima": (lambda: head(C(4, 6, 3, padding=1), nn.MaxPool2d(3, 2), nn.ReLU(), C(6, 5, 2)),
                    IMAGE),
    "cnn, strides": (lambda: head(C(4, 6, 3, stride=2, padding=1), nn.Tanh(), C(6, 5, 2, stride=2),
                                  nn.Tanh()), IMAGE),
    "cnn, groups": (lambda: head(C(4, 6, (3, 2), groups=2, dilation=(1, 2)), nn.Tanh(),
                                 C(6, 6, 2, groups=3), nn.Tanh(), C(6, 4, 1)), IMAGE),
    "cnn, dilated": (lambda: head(C(4, 6, 3, padding=2), nn.Tanh(), C(6, 5, 3, dilation=2)), IMAGE),
    "cnn, wide margins": (lambda: head(C(4, 6, 3), nn.Tanh(), C(6, 5, 1, padding=2), nn.Tanh(),
                                       C(5, 4, 3, padding=(3, 0))), IMAGE),
    "cnn, transposed": (lambda: head(
        C(4, 6, 3), nn.Tanh(),
        nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2), nn.Tanh(),
        C(4, 3, 3)), IMAGE),
    "cnn, batch norm": (lambda: head(C(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), C(6, 5, 2)), IMAGE),
    "residual": (lambda: Lambda(residual, a=C(4, 6, 3), b=C(6, 6, 3, padding=1),
                                c=C(6, 6, 3, padding=1), d=L(6, 3)), IMAGE),
    "residual of convolutions": (lambda: head(Lambda(
        lambda s, x: s.c((y := s.a(x)) + s.b(y)), a=C(4, 6, 3), b=C(6, 6, 1), c=C(6, 5, 2))),
        IMAGE),
    "conv1d": (lambda: head(nn.Conv1d(4, 6, 3), nn.Tanh(), nn.Conv1d(6, 5, 2, stride=2)),
               (5, 4, 7)),
    "conv3d": (lambda: head(nn.Conv3d(2, 3, 2), nn.Tanh(), nn.Conv3d(3, 2, 2, padding=1)),
               (4, 2, 3, 4, 3)),
}  # fmt: skip


def build(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = make(), torch.randn(shape)
        model.eval()(x)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        return model.double(), x.double()


def operations(outputs: Tensor) -> list:
    """Linear maps and convolutions in the graph of outputs."""
    found, queue, seen = [], [outputs.grad_fn], set()
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        queue.extend(source for source, _ in node.next_functions)
        if name_of(node) in ("AddmmBackward0", "MmBackward0", "ConvolutionBackward0"):
            found.append(node)
    return found


def by_autograd(outputs: Tensor, nodes: list) -> list[Tensor]:
    edges = [GradientEdge(node, 0) for node in nodes]
    rows = [
        torch.autograd.grad(outputs[:, c].sum(), edges, retain_graph=True, materialize_grads=True)
        for c in range(outputs.shape[1])
    ]
    return [torch.stack(row) for row in zip(*rows, strict=True)]


def dense_kernel(model: nn.Module, x: Tensor) -> Tensor:
    """From one backward pass for each output of each example."""
    params = list(model.parameters())
    rows = [
        [
            torch.cat([g.flatten() for g in torch.autograd.grad(value, params, retain_graph=True)])
            for value in model(example[None])[0]
        ]
        for example in x
    ]
    jacobian = torch.stack([torch.stack(row) for row in rows])
    return torch.einsum("icp,jdp->ijcd", jacobian, jacobian)


def spoil(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the rule of a node pass on what is a thousandth too large."""
    rule = ACTIVATIONS[name, 0]
    right = rule.passed

    def wrong(step: Step) -> Tensor | None:
        passed = right(step)
        return None if passed is None else passed * 1.001

    monkeypatch.setattr(rule, "passed", wrong)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert_close(actual, expected, rtol=1e-10, atol=1e-11 * float(expected.abs().max()))


@pytest.mark.parametrize("name", SWEPT)
def test_equals_autograd_for_each_output(name: str) -> None:
    model, x = build(*SWEPT[name])
    sweep = Sweep()
    for batch in (x, x[:3].flip(0), x):  # memory is used again, and by fewer examples
        outputs = model(batch)
        nodes = operations(outputs)
        with torch.no_grad():
            found = sweep(outputs, every_output(outputs), nodes)
        assert found is not None
        for node, expected in zip(nodes, by_autograd(outputs, nodes), strict=True):
            assert_close(found[node], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("functionals", [1, 2])
@pytest.mark.parametrize("name", SWEPT)
def test_functionals_that_differ_between_examples(name: str, functionals: int) -> None:
    model, x = build(*SWEPT[name])
    outputs = model(x)
    nodes = operations(outputs)
    weights = torch.randn(functionals, *outputs.shape, dtype=torch.float64)
    with torch.no_grad():
        found = Sweep()(outputs, weights, nodes)
    assert found is not None
    for k in range(functionals):
        edges = [GradientEdge(node, 0) for node in nodes]
        expected = torch.autograd.grad(outputs, edges, weights[k], retain_graph=True)
        for node, gradient in zip(nodes, expected, strict=True):
            assert_close(found[node][k], gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", SWEPT)
def test_a_kernel_is_made_by_it(name: str) -> None:
    model, x = build(*SWEPT[name])
    with opened(model, trainable(model)):
        assert make_plan(model, x, trainable(model), "test")[0].swept
    assert_same(empirical_ntk_blocks(model, x, chunk_size=2), dense_kernel(model, x))


@pytest.mark.parametrize("name", SWEPT)
def test_of_one_output_or_of_their_sum(name: str) -> None:
    model, x = build(*SWEPT[name])
    first = Lambda(lambda s, x: s.model(x)[:, :1] * 2, model=model)
    expected = dense_kernel(model, x)
    assert_same(empirical_ntk_blocks(first, x, chunk_size=2), 4 * expected[:, :, :1, :1])
    summed = expected.sum((2, 3)) / expected.shape[2]
    assert_same(sum_of_logits_ntk(model, x, chunk_size=2), summed)


@pytest.mark.parametrize("rule", [None, "ReluBackward0", "AvgPool2DBackward0"])
def test_one_output_is_swept_where_that_is_faster(
    rule: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def network(*pooling: nn.Module) -> nn.Module:
        layers = (C(4, 6, 3, padding=1), nn.ReLU(), *pooling, C(6, 5, 2), nn.Tanh())
        return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(1))

    if rule is not None:
        spoil(rule, monkeypatch)
    for pooling, faster in (((), False), ((nn.AvgPool2d(2),), True)):
        model, x = build(partial(network, *pooling), IMAGE)
        with opened(model, trainable(model)):
            swept = make_plan(model, x, trainable(model), "test")[0].swept
        assert swept is (faster and rule is None)
        assert_same(empirical_ntk_blocks(model, x, chunk_size=2), dense_kernel(model, x))


UNKNOWN: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "an operation without a rule": (lambda: nn.Sequential(L(4, 6), nn.Softmax(1), L(6, 3)), VECTOR),
    "windows that overlap": (lambda: head(C(4, 6, 1), nn.AvgPool2d(3, 1), C(6, 5, 2)), IMAGE),
    "windows over the edge": (lambda: head(C(4, 6, 1), nn.AvgPool2d(2, padding=1), C(6, 5, 2)),
                              IMAGE),
    "windows that leave some out": (lambda: head(C(4, 6, 1), nn.AvgPool2d(4), C(6, 5, 1)), IMAGE),
    "a sum with a smaller tensor": (lambda: Lambda(
        lambda s, x: s.b(s.a(x)[:, :1] + s.a(x)), a=L(4, 6), b=L(6, 3)), VECTOR),
    "another result than the first": (lambda: Lambda(
        lambda s, x: s.b(s.a(x).unbind(1)[1][:, None]), a=L(4, 6), b=L(1, 3)), VECTOR),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_has_no_rule_is_left_to_autograd(name: str) -> None:
    model, x = build(*UNKNOWN[name])
    outputs = model(x)
    with torch.no_grad():
        assert Sweep()(outputs, every_output(outputs), operations(outputs)) is None
    assert_same(empirical_ntk_blocks(model, x), dense_kernel(model, x))


def test_batch_norm_in_training_mode_has_no_rule() -> None:
    model, x = build(*SWEPT["cnn, batch norm"])
    outputs = model.train()(x)
    with torch.no_grad():
        assert Sweep()(outputs, every_output(outputs), operations(outputs)) is None


@pytest.mark.parametrize("rule", ["ReluBackward0", "ConvolutionBackward0", "AvgPool2DBackward0"])
def test_a_wrong_rule_is_found_before_it_is_used(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(rule, monkeypatch)
    model, x = build(*SWEPT["cnn"])
    with opened(model, trainable(model)):
        assert not make_plan(model, x, trainable(model), "test")[0].swept
    assert_same(empirical_ntk_blocks(model, x), dense_kernel(model, x))


def test_a_hook_that_changes_gradients_is_seen() -> None:
    """Autograd calls hooks, a sweep does not: what autograd gives is the kernel."""

    def reversed_gradient(s: nn.Module, x: Tensor) -> Tensor:
        x = s.a(x)
        if x.requires_grad:
            x.register_hook(lambda gradient: -2 * gradient)
        return s.b(x.tanh())

    model, x = build(lambda: Lambda(reversed_gradient, a=L(4, 6), b=L(6, 3)), VECTOR)
    with opened(model, trainable(model)):
        assert not make_plan(model, x, trainable(model), "test")[0].swept
    assert_same(empirical_ntk_blocks(model, x), dense_kernel(model, x))


def test_saved_tensors_are_as_they_were() -> None:
    """Gradients are overwritten only where nobody else has them."""
    model, x = build(*SWEPT["residual of convolutions"])
    outputs = model(x)
    nodes = operations(outputs)
    before = by_autograd(outputs, nodes)
    with torch.no_grad():
        Sweep()(outputs, every_output(outputs), nodes)
    for here, there in zip(by_autograd(outputs, nodes), before, strict=True):
        assert torch.equal(here, there)


def test_two_examples_in_passes_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass of one example differentiates it twice over: as many rows as there are in all."""
    monkeypatch.setattr(factors, "_NUMBERS", 1)
    for name in ("mlp", "cnn"):
        model, x = build(*SWEPT[name])
        assert_same(empirical_ntk_blocks(model, x[:2]), dense_kernel(model, x[:2]))
