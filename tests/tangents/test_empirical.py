"""The kernel against dense autograd, for every kind of layer; nothing of the model changed."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.testing import assert_close

from overparam._batch import call, n_examples, take
from overparam._model import trainable
from overparam.errors import NumericalError
from overparam.tangents import empirical as module_under_test
from overparam.tangents import empirical_ntk, empirical_ntk_blocks, sum_of_logits_ntk
from overparam.tangents.engine import formed
from overparam.tangents.engine.factors import Differentiator
from overparam.tangents.engine.plan import make_plan
from overparam.tangents.engine.session import opened

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Lambda(nn.Module):
    """Layers by name, and a forward given as a function of self."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.function = forward

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        return self.function(self, *args, **kwargs)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape))


def tied() -> nn.Module:
    model = Lambda(lambda s, x: s.head(torch.tanh(s.inner(s.embedding(x)))).mean(1),
                   embedding=nn.Embedding(7, 4), inner=nn.Linear(4, 4),
                   head=nn.Linear(4, 7, bias=False))  # fmt: skip
    model.head.weight = model.embedding.weight
    return model


def reused() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), layer, nn.Linear(4, 2))


def conv(dims: int, *args: Any, **kwargs: Any) -> nn.Module:
    layer = getattr(nn, f"Conv{dims}d")(*args, **kwargs)
    return nn.Sequential(layer, nn.Tanh(), nn.Flatten(), nn.LazyLinear(2))


def encoder(**kwargs: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.1, **kwargs)
    return Lambda(lambda s, x: s.head(s.layer(x)[:, -1]), layer=layer, head=nn.Linear(4, 2))


def time_first(x: Tensor, layer: nn.Module) -> Tensor:
    out = layer(x.transpose(0, 1))
    return (out[0] if isinstance(out, tuple) else out).transpose(0, 1)


def recurrent(kind: type[nn.Module], batch_first: bool) -> nn.Module:
    layer = kind(4, 3, batch_first=batch_first, num_layers=2)
    if batch_first:
        return Lambda(lambda s, x: s.head(s.layer(x)[0][:, -1]), layer=layer, head=nn.Linear(3, 2))
    return Lambda(lambda s, x: s.head(time_first(x, s.layer)[:, -1]),
                  layer=layer, head=nn.Linear(3, 2))  # fmt: skip


def attention(s: nn.Module, x: Tensor) -> Tensor:
    return s.layer(x, x, x, need_weights=False)[0].mean(1)


def cross(s: nn.Module, x: Tensor) -> Tensor:
    return s.layer(x, x.flip(1) + 1, x.flip(1) + 1)[0][:, 0]


def flat(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(2))


VECTOR, TOKENS, IMAGE, IDS = (5, 4), (5, 6, 4), (5, 4, 6, 6), (5, 6)


@dataclass
class Case:
    """A network, the shape of its inputs, and how many parameters no rule covers."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = VECTOR
    direct: int = 0
    inputs: str = "tensor"


L = nn.Linear
CASES = [
    Case("linear", lambda: L(4, 3)),
    Case("mlp with in-place relu", lambda: nn.Sequential(L(4, 8), nn.ReLU(True), L(8, 3))),
    Case("residual in place", lambda: Lambda(lambda s, x: s.b(s.a(x).add_(x).relu_()),
                                             a=L(4, 4), b=L(4, 2))),
    Case("one output, no axis", lambda: nn.Sequential(L(4, 8), nn.Tanh(), L(8, 1),
                                                      nn.Flatten(0))),
    Case("one output", lambda: nn.Sequential(L(4, 8), nn.Tanh(), L(8, 1))),
    Case("output of two axes", lambda: nn.Sequential(L(4, 6), nn.Unflatten(1, (2, 3)))),
    Case("tokens", lambda: flat(L(4, 5), nn.GELU(), L(5, 3)), TOKENS),
    Case("tokens, no bias", lambda: flat(L(4, 5, bias=False), nn.GELU()), TOKENS),
    Case("tokens, wide", lambda: Lambda(lambda s, x: s.b(s.a(x).tanh()).mean(1),
                                        a=L(4, 40), b=L(40, 30)), (5, 2, 4)),
    Case("time first", lambda: Lambda(lambda s, x: time_first(x, s.a)[:, -1], a=L(4, 3)), TOKENS),
    Case("time first in a network", lambda: Lambda(
        lambda s, x: s.c(time_first(x, s.a).tanh().transpose(0, 1)).transpose(0, 1)[:, -1],
        a=L(4, 3), c=L(3, 2)), TOKENS),
    Case("non-contiguous tokens", lambda: flat(Lambda(lambda s, x: s.a(x.transpose(1, 2)),
                                                      a=L(6, 3))), TOKENS),
    Case("conv1d circular", lambda: conv(1, 6, 3, 3, padding="same", padding_mode="circular"),
         TOKENS),
    Case("conv1d even, same", lambda: conv(1, 6, 3, 2, padding="same"), TOKENS),
    Case("conv2d", lambda: conv(2, 4, 6, 3, stride=2, padding=1), IMAGE),
    Case("conv2d groups", lambda: conv(2, 4, 6, (3, 2), groups=2, dilation=(1, 2)), IMAGE),
    Case("conv2d depthwise", lambda: conv(2, 4, 4, 3, groups=4, padding=2), IMAGE),
    Case("conv2d reflect", lambda: conv(2, 4, 3, 3, padding=1, padding_mode="reflect"), IMAGE),
    Case("conv2d 1x1", lambda: conv(2, 4, 30, 1, bias=False), (5, 4, 1, 2)),
    Case("conv2d few places", lambda: Lambda(lambda s, x: s.b(s.a(x).tanh()).sum((2, 3)),
                                             a=nn.Conv2d(4, 20, 5), b=nn.Conv2d(20, 9, 2)), IMAGE),
    Case("conv3d replicate", lambda: conv(3, 2, 3, 3, padding=1, padding_mode="replicate"),
         (4, 2, 3, 4, 3)),
    Case("conv transposed", lambda: flat(nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2,
                                                            output_padding=1, padding=1)), IMAGE),
    Case("conv over time", lambda: flat(Lambda(
        lambda s, x: s.a(x.flatten(0, 1)[:, None]).unflatten(0, x.shape[:2]),
        a=nn.Conv1d(1, 3, 2))), TOKENS),
    Case("layer norm", lambda: nn.Sequential(L(4, 5), nn.LayerNorm(5), nn.Tanh(), L(5, 2))),
    Case("layer norm, two axes", lambda: flat(nn.LayerNorm((6, 4))), TOKENS),
    Case("rms norm", lambda: flat(L(4, 5), nn.RMSNorm(5)), TOKENS),
    Case("group norm", lambda: flat(nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6), nn.Tanh()), IMAGE),
    Case("batch norm", lambda: flat(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Tanh()), IMAGE),
    Case("batch norm, vectors", lambda: nn.Sequential(L(4, 5), nn.BatchNorm1d(5), L(5, 2))),
    Case("instance norm", lambda: flat(nn.InstanceNorm2d(4, affine=True)), IMAGE),
    Case("prelu", lambda: nn.Sequential(L(4, 5), nn.PReLU(5), L(5, 2))),
    Case("embedding", lambda: flat(nn.Embedding(7, 4, padding_idx=2), nn.Tanh()), IDS),
    Case("embedding, large table", lambda: Lambda(
        lambda s, x: s.b(s.a(x)).tanh().sum(1), a=nn.Embedding(900, 4), b=L(4, 2)), IDS),
    Case("positions", lambda: flat(Lambda(
        lambda s, x: s.a(x) + s.p(torch.arange(x.shape[1])), a=nn.Embedding(7, 4),
        p=nn.Embedding(6, 4)), nn.Tanh()), IDS),
    Case("positions, as many as examples", lambda: flat(Lambda(
        lambda s, x: s.a(x) + s.p(torch.arange(3)), a=nn.Embedding(7, 4),
        p=nn.Embedding(3, 4)), nn.Tanh()), (5, 3)),
    Case("tied embedding and head", tied, IDS),
    Case("re-used module", reused),
    Case("used in and outside a module", lambda: Lambda(
        lambda s, x: s.a(x).tanh() @ s.a.weight, a=L(4, 3))),
    Case("custom parameters", lambda: Lambda(
        lambda s, x: ((x * s.gain + s.shift) @ s.matrix - s.offset).tanh() * s.scale,
        gain=parameter(4), shift=parameter(1, 4), matrix=parameter(4, 3), offset=parameter(3),
        scale=parameter())),
    Case("scaled weight", lambda: Lambda(
        lambda s, x: nn.functional.linear(x, 0.5 * s.w / 3, s.b * 2).tanh(),
        w=parameter(3, 4), b=parameter(3))),
    Case("low rank", lambda: Lambda(lambda s, x: (x @ (s.u @ s.v)).tanh(),
                                    u=parameter(4, 2), v=parameter(2, 3))),
    Case("weight used twice over", lambda: Lambda(lambda s, x: (x @ (s.w + s.w.T)).tanh(),
                                                  w=parameter(4, 4))),
    Case("class token", lambda: Lambda(
        lambda s, x: s.a(torch.cat([s.token.expand(len(x), -1, -1), x], 1)).tanh().sum(1),
        token=parameter(1, 1, 4), a=L(4, 3)), TOKENS),
    Case("einsum", lambda: Lambda(lambda s, x: torch.einsum("nti,io->no", x, s.w).tanh(),
                                  w=parameter(4, 3)), TOKENS, direct=1),
    Case("bilinear", lambda: Lambda(lambda s, x: s.a(x, x), a=nn.Bilinear(4, 4, 2)), direct=1),
    Case("weight norm", lambda: nn.Sequential(parametrizations.weight_norm(L(4, 5)), nn.Tanh(),
                                              L(5, 2))),
    Case("attention", lambda: Lambda(
        attention, layer=nn.MultiheadAttention(4, 2, batch_first=True)), TOKENS),
    Case("cross attention", lambda: Lambda(
        cross, layer=nn.MultiheadAttention(4, 2, batch_first=True)), TOKENS),
    Case("attention with key and value biases", lambda: Lambda(
        attention, layer=nn.MultiheadAttention(4, 2, batch_first=True, add_bias_kv=True)), TOKENS),
    Case("encoder", lambda: encoder(batch_first=True), TOKENS),
    Case("encoder, norm first", lambda: encoder(batch_first=True, norm_first=True), TOKENS),
    Case("lstm", lambda: recurrent(nn.LSTM, True), TOKENS),
    Case("gru", lambda: recurrent(nn.GRU, True), TOKENS),
    Case("rnn, time first", lambda: recurrent(nn.RNN, False), TOKENS),
    Case("unused parameter", lambda: Lambda(lambda s, x: s.a(x), a=L(4, 2), b=L(3, 3))),
    Case("dead head", lambda: Lambda(
        lambda s, x: time_first(time_first(x, s.a), s.b)[:, 0] * 0 + x[:, 0, :2],
        a=L(4, 3), b=L(3, 2)), TOKENS),
    Case("tuple", lambda: Lambda(lambda s, x, y: s.a(x) * s.b(y), a=L(4, 3), b=L(4, 3)),
         inputs="tuple"),
    Case("mapping", lambda: Lambda(lambda s, x, y: s.a(x) * s.b(y), a=L(4, 3), b=L(4, 3)),
         inputs="mapping"),
]  # fmt: skip


def build(case: Case) -> tuple[nn.Module, Any]:
    """The case's network in double precision and inputs, a function of its name alone."""
    with torch.random.fork_rng():
        torch.manual_seed(len(case.name))
        model = case.build()
        shape = case.shape
        x = torch.randint(0, 7 if shape[1] > 3 else 3, shape) if case.shape in (
            IDS, (5, 3)) else torch.randn(shape)  # fmt: skip
        if "large table" in case.name:
            x = x * 100
        model.eval()(*(x, x) if case.inputs != "tensor" else (x,))  # lazy layers learn shapes
        model = model.double()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        x = x.double() if x.is_floating_point() else x
        y = torch.randn_like(x) if x.is_floating_point() else x
    if case.inputs == "tensor":
        return model, x
    return model, ((x, y) if case.inputs == "tuple" else {"x": x, "y": y})


def jacobian(model: nn.Module, x: Any, names: list[str] | None = None) -> Tensor:
    """(n, C, P), each row by one backward pass through a batch of one: the oracle."""
    params = [p for name, p in model.named_parameters()
              if (name in names if names is not None else p.requires_grad)]  # fmt: skip
    rows = []
    for i in range(n_examples(x)):
        outputs = call(model, take(x, slice(i, i + 1))).reshape(-1)
        rows.append(torch.stack([
            torch.cat([g.flatten() for g in torch.autograd.grad(
                value, params, retain_graph=True, allow_unused=True, materialize_grads=True)])
            if value.requires_grad else torch.zeros(sum(p.numel() for p in params)).double()
            for value in outputs
        ]))  # fmt: skip
    return torch.stack(rows)


def dense_kernel(model: nn.Module, x1: Any, x2: Any = None) -> Tensor:
    left = jacobian(model, x1)
    return torch.einsum("icp,jdp->ijcd", left, left if x2 is None else jacobian(model, x2))


def trace(blocks: Tensor) -> Tensor:
    return blocks.diagonal(dim1=2, dim2=3).mean(-1)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert_close(actual, expected, rtol=1e-10, atol=1e-11 * max(1.0, float(expected.abs().max())))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_dense_autograd(case: Case) -> None:
    model, x = build(case)
    expected = dense_kernel(model, x)
    blocks = empirical_ntk_blocks(model, x)
    assert_same(blocks, expected)
    assert torch.equal(blocks, blocks.permute(1, 0, 3, 2))
    assert_same(empirical_ntk(model, x), trace(expected))
    assert_same(sum_of_logits_ntk(model, x), expected.sum((2, 3)) / expected.shape[-1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rules_cover_what_they_should(case: Case) -> None:
    model, x = build(case)
    chosen = trainable(model)
    with opened(model, chosen):
        plan, _ = make_plan(model, x, chosen, "test")
    assert len(plan.direct) == case.direct, plan.direct
    assert sorted([*plan.direct, *plan.routes]) == sorted(chosen)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_chunks_change_nothing(case: Case) -> None:
    model, x = build(case)
    whole, part = empirical_ntk_blocks(model, x), take(x, slice(0, 3))
    tolerance = {"rtol": 1e-12, "atol": 1e-12 * max(1.0, float(whole.abs().max()))}
    assert_close(empirical_ntk_blocks(model, part, x), whole[:3], **tolerance)
    # In twos the last of five is alone; one by one, three are as good as five.
    for inputs, n, chunk_size in ((x, 5, 2), (part, 3, 1)):
        blocks = empirical_ntk_blocks(model, inputs, chunk_size=chunk_size)
        assert_close(blocks, whole[:n, :n], **tolerance)
        kernel = empirical_ntk(model, inputs, chunk_size=chunk_size)
        assert_close(kernel, trace(whole)[:n, :n], **tolerance)
        across = empirical_ntk_blocks(model, inputs, part, chunk_size=chunk_size)
        assert_close(across, whole[:n, :3], **tolerance)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_direct_differentiation_alone_agrees(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = build(case)
    expected = empirical_ntk(model, x)

    def without_rules(*args: Any) -> Any:
        return make_plan(*args)[0].without_rules(), {}

    monkeypatch.setattr(module_under_test, "make_plan", without_rules)
    assert_same(empirical_ntk(model, x), expected)


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_single_examples(case: Case) -> None:
    model, x = build(case)
    whole, one = dense_kernel(model, x), take(x, slice(0, 1))
    assert_same(empirical_ntk_blocks(model, one), whole[:1, :1])
    assert_same(empirical_ntk_blocks(model, one, take(x, slice(3, 4))), whole[:1, 3:4])
    assert_same(empirical_ntk_blocks(model, one, x), whole[:1])


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("n", [1, 130, 300])
def test_tiles_of_every_kind(n: int, outputs: int) -> None:
    """Large enough for several tiles of examples, and of outputs."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs)).double()
    x = torch.randn(n, 3).double()
    expected = dense_kernel(model, x)
    assert_same(empirical_ntk_blocks(model, x), expected)
    assert_same(empirical_ntk(model, x), trace(expected))
    assert_same(empirical_ntk(model, x, chunk_size=127), trace(expected))
    assert_same(empirical_ntk_blocks(model, x[:7], x), expected[:7])


def test_naive_hooks_are_wrong_where_a_layer_is_used_twice() -> None:
    """Without cross terms the kernel of a re-used layer is another one: the test can fail."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 4, bias=False).double()
    with torch.no_grad():
        layer.weight.add_(torch.eye(4))
    model, x = nn.Sequential(layer, nn.Tanh(), layer), torch.randn(5, 4).double()
    naive = torch.zeros(5, 5).double()
    calls: list[tuple[Tensor, Tensor]] = []
    handle = layer.register_forward_hook(lambda _, args, out: calls.append((args[0], out)))
    outputs = model(x)
    handle.remove()
    for c in range(4):
        for a, out in calls:
            (delta,) = torch.autograd.grad(outputs[:, c].sum(), out, retain_graph=True)
            naive += (delta @ delta.T) * (a @ a.T) / 4
    expected = trace(dense_kernel(model, x))
    assert (naive - expected).norm() > 0.05 * expected.norm()
    assert_same(empirical_ntk(model, x), expected)


def test_frozen_parameters_are_left_out() -> None:
    model, x = build(CASES[1])
    model[0].weight.requires_grad_(False)
    assert_same(empirical_ntk_blocks(model, x), dense_kernel(model, x))
    assert not model[0].weight.requires_grad


def test_params_names_a_subset_even_a_frozen_one() -> None:
    model, x = build(CASES[1])
    model[2].weight.requires_grad_(False)
    names = ["0.bias", "2.weight"]
    j = jacobian(copy.deepcopy(model).requires_grad_(True), x, names)
    expected = torch.einsum("icp,jdp->ijcd", j, j)
    assert_same(empirical_ntk_blocks(model, x, names=names), expected)
    assert not model[2].weight.requires_grad
    assert model[0].weight.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_precision_is_at_least_single(dtype: torch.dtype) -> None:
    model, x = build(CASES[1])
    expected = trace(dense_kernel(model, x))
    kernel = empirical_ntk(model.to(dtype), x.to(dtype))
    assert kernel.dtype == torch.float32
    error = (kernel - expected).norm() / expected.norm()
    assert error < 20 * torch.finfo(dtype).eps


def test_lstm_in_single_precision_is_not_hidden_in_one_operation() -> None:
    model, x = build(next(case for case in CASES if case.name == "lstm"))
    expected = trace(dense_kernel(model, x))
    assert_close(empirical_ntk(model.float(), x.float()), expected.float(), rtol=1e-3, atol=1e-4)


def test_graph_that_changes_with_the_batch() -> None:
    """The probe sees one branch, another chunk the other: rules are given up, not misused."""
    model = Lambda(lambda s, x: s.a(x) if x.sum() > 0 else s.a(x.tanh()) @ s.w,
                   a=nn.Linear(2, 2), w=parameter(2, 2)).double()  # fmt: skip
    x = torch.tensor([[1.0, 2.0], [-1.0, -3.0], [2.0, 1.0], [-2.0, -1.0], [4.0, 3.0]]).double()
    probe_is_positive = x[[0, 2, 4]].sum() > 0
    assert probe_is_positive
    expected = trace(dense_kernel(model, x))
    assert_same(empirical_ntk(model, x, chunk_size=1), expected)


def test_under_no_grad_and_inference_mode() -> None:
    model, x = build(CASES[1])
    expected = empirical_ntk(model, x)
    with torch.no_grad():
        assert torch.equal(empirical_ntk(model, x), expected)
    with torch.inference_mode():
        assert torch.equal(empirical_ntk(model, x), expected)


def state_of(model: nn.Module) -> dict[str, Any]:
    return {
        "weights": {k: v.clone() for k, v in model.state_dict().items()},
        "grads": [p.grad for p in model.parameters()],
        "flags": [p.requires_grad for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
                  for m in model.modules()],
        "rng": torch.get_rng_state(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
    }  # fmt: skip


def assert_untouched(model: nn.Module, before: dict[str, Any]) -> None:
    after = state_of(model)
    assert all(torch.equal(v, after["weights"][k]) for k, v in before["weights"].items())
    assert all(a is b for a, b in zip(before["grads"], after["grads"], strict=True))
    assert torch.equal(before["rng"], after["rng"])
    for key in ("flags", "modes", "hooks", "fast path"):
        assert before[key] == after[key]


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.name)
def test_nothing_is_changed(case: Case) -> None:
    model, x = build(case)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    before, saved = state_of(model), copy.deepcopy(x)
    empirical_ntk(model, x, chunk_size=2)
    assert_untouched(model, before)
    assert_close(x, saved, rtol=0, atol=0)


def test_nothing_is_changed_by_an_exception() -> None:
    def fails(s: nn.Module, x: Tensor) -> Tensor:
        s.calls += 1
        if s.calls > 3:
            raise RuntimeError("half way")
        return s.a(x)

    model = Lambda(fails, a=nn.Linear(4, 2))
    model.calls = 0
    model.a.weight.requires_grad_(False)
    x = torch.randn(6, 4)
    before = state_of(model)
    with pytest.raises(ValueError, match="RuntimeError: half way"):
        empirical_ntk(model, x, chunk_size=1)
    assert_untouched(model, before)


class Centring(nn.Module):
    """Mixes the examples of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class AsDict(nn.Linear):
    """Returns a dict."""

    def forward(self, x: Tensor) -> Any:
        return {"logits": super().forward(x)}


LINEAR = nn.Linear(4, 2)
X = torch.ones(3, 4)
NAN = torch.where(torch.eye(3, 4) > 0, torch.nan, 1.0)
WRONG: list[tuple[str, str, tuple, dict, str]] = [
    ("nan", "x1", (LINEAR, NAN), {}, "3 of 12 that are NaN"),
    ("nan in x2", "x2", (LINEAR, X, NAN), {}, "NaN"),
    ("batch norm", "model", (nn.Sequential(LINEAR, nn.BatchNorm1d(2)), X), {}, "model.eval()"),
    ("dropout", "model", (nn.Sequential(LINEAR, nn.Dropout()), X), {}, "model.eval()"),
    ("mixing", "model", (nn.Sequential(LINEAR, Centring()), torch.eye(3, 4)), {}, "alone"),
    ("dict", "model", (AsDict(4, 2), X), {}, "picks the tensor"),
    ("no parameter", "model", (nn.ReLU(), X), {}, "at least one trainable"),
    ("empty", "x1", (LINEAR, torch.ones(0, 4)), {}, "at least one example"),
    ("empty x2", "x2", (LINEAR, X, torch.ones(0, 4)), {}, "at least one example"),
    ("shapes", "x2", (LINEAR, X, torch.ones(3, 5)), {}, r"\(4,\), like those of `x1`, got \(5,\)"),
    ("chunk size", "chunk_size", (LINEAR, X), {"chunk_size": 0}, "an integer ≥ 1"),
    ("no tensor", "x1", (LINEAR, [[1.0]]), {}, "a tensor, or a tuple or mapping"),
    ("device", "x1", (LINEAR, X.to("meta")), {}, "on the model's device cpu"),
    ("two devices", "model", (nn.Sequential(LINEAR, nn.Linear(2, 2, device="meta")), X), {},
     "on one device"),
    ("names", "names", (LINEAR, X), {"names": ["wieght"]}, "wieght"),
    ("no module", "model", (torch.tanh, X), {}, "a torch.nn.Module"),
    ("max norm", "model", (nn.Embedding(3, 2, max_norm=1.0), torch.zeros(2, 1).long()), {},
     "without max_norm"),
    ("integers", "model", (Lambda(lambda s, x: s.a(x).long(), a=LINEAR), X), {}, "real outputs"),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong[0])
@pytest.mark.parametrize("function", [empirical_ntk, empirical_ntk_blocks, sum_of_logits_ntk])
@pytest.mark.filterwarnings("ignore:.*meta.*")
def test_bad_input_is_one_clear_error(function: Callable, wrong: tuple) -> None:
    _, argument, args, kwargs, message = wrong
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        function(*args, **kwargs)
    assert str(caught.value).startswith(f"`{function.__name__}({argument}=...)` expected ")


def test_too_large_a_kernel_is_refused_before_memory_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("overparam._memory.available", lambda device: 1000)
    with pytest.raises(MemoryError, match="chunk_size"):
        empirical_ntk(LINEAR, torch.ones(50, 4))


def test_a_kernel_that_overflows_is_refused() -> None:
    with pytest.raises(NumericalError, match="finite kernel"):
        empirical_ntk(LINEAR, torch.full((2, 4), 1e30))


@pytest.mark.parametrize("case", CASES[::5], ids=lambda case: case.name)
def test_on_a_device_in_full_single_precision(case: Case, device: torch.device) -> None:
    """With TF32 allowed outside, errors are still those of single precision."""
    model, x = build(case)
    expected = dense_kernel(model, x)
    model, single = model.float().to(device), torch.float32
    move = {torch.float64: single}
    tensors = x if isinstance(x, dict) else dict(enumerate(x if isinstance(x, tuple) else (x,)))
    moved = {k: v.to(device=device, dtype=move.get(v.dtype, v.dtype)) for k, v in tensors.items()}
    batch: Any = moved if isinstance(x, dict) else tuple(moved.values())
    batch = batch if isinstance(x, (dict, tuple)) else batch[0]
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        kernel = empirical_ntk_blocks(model, batch)
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    assert kernel.device == device
    error = (kernel.cpu().double() - expected).norm()
    assert error <= 2e-5 * expected.norm()  # of a dead head both are 0


@pytest.mark.parametrize("laid", [1, 3000, 2**19])
@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("n", [1, 7, 120])
def test_formed_gradients_in_tiles_of_every_kind(
    n: int, outputs: int, laid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convolutions whose gradients are formed, in several tiles of examples and passes."""
    monkeypatch.setattr(formed, "_LAID", laid)
    torch.manual_seed(0)
    shared = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), shared, nn.Tanh(), shared, nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(27, outputs),
    ).double()  # fmt: skip
    x = torch.randn(n, 2, 6, 6).double()
    with opened(model, trainable(model)):
        plan, uses = make_plan(model, x if n > 1 else x[[0, 0]], trainable(model), "test")
        recipe = Differentiator(model, plan, uses, blocks=True, columns=n).recipe
    assert n < 7 or recipe.formed == [("0.weight", "0.bias"), ("2.weight", "2.bias")]
    expected = dense_kernel(model, x)
    blocks = empirical_ntk_blocks(model, x)
    assert_same(blocks, expected)
    assert torch.equal(blocks, blocks.permute(1, 0, 3, 2))
    assert_same(empirical_ntk(model, x, chunk_size=50), trace(expected))
    assert_same(empirical_ntk_blocks(model, x, x[:3]), expected[:, :3])


@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("n", [1, 20, 140])
def test_sequences_in_tiles_of_every_kind(n: int, outputs: int) -> None:
    """Pairs of sixteen rows an example: several parts of a tile, of examples and of outputs."""
    torch.manual_seed(0)
    model = Lambda(lambda s, x: s.b(s.a(x).tanh().sum(1)), a=nn.Embedding(3000, 3),
                   b=L(3, outputs)).double()  # fmt: skip
    x = torch.randint(3000, (n, 16))
    x[:, :8] %= 20  # indices that examples share, and that occur twice in one
    with opened(model, trainable(model)):
        plan, uses = make_plan(model, x if n > 1 else x[[0, 0]], trainable(model), "test")
        recipe = Differentiator(model, plan, uses, blocks=True, columns=n).recipe
    assert ("a.weight", None) in recipe.pairs
    expected = dense_kernel(model, x)
    blocks = empirical_ntk_blocks(model, x)
    assert_same(blocks, expected)
    assert torch.equal(blocks, blocks.permute(1, 0, 3, 2))
    assert_same(empirical_ntk(model, x), trace(expected))
    assert_same(empirical_ntk_blocks(model, x[:7], x), expected[:7])
