"""The gradient noise scale, against the gradients of single examples and against chance."""

import math

import pytest
import torch
from torch import Tensor, nn

from overparam.errors import InvalidValue
from overparam.optim import (
    gradient_noise_scale,
    noise_scale,
    noise_scale_from_norms,
)
from overparam.optim.gradient_noise import equal_parts, gradient, signal_and_noise

CE, MSE = nn.functional.cross_entropy, nn.functional.mse_loss


def network(*, dropout: float = 0.0, norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    middle = [nn.BatchNorm1d(6)] if norm else []
    layers = [nn.Linear(4, 6), *middle, nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 3)]
    return nn.Sequential(*layers).double()


def data(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=draw, dtype=torch.float64)
    return x, x[:, :3].argmax(1)


def of_examples(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The gradient of each example, one row each, by a way of its own."""
    params = {name: p.detach() for name, p in model.named_parameters()}

    def loss(params: dict[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
        return CE(torch.func.functional_call(model, params, (a[None],)), b[None])

    rows = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(params, x, y)
    return torch.cat([g.flatten(1) for g in rows.values()], 1)


def test_parts_of_one_example_have_the_moments_of_the_examples_own_gradients() -> None:
    model, (x, y) = network(), data(40)
    rows = of_examples(model, x, y)
    trace = float(rows.var(0).sum())
    signal = float(rows.mean(0).square().sum()) - trace / 40
    found = gradient_noise_scale(model, x, y, CE, parts=40)
    assert found.noise == pytest.approx(trace, rel=1e-10)
    assert found.signal == pytest.approx(signal, rel=1e-9)


def test_parts_of_several_examples_do_in_the_mean() -> None:
    model, (x, y) = network(), data(240)
    rows = of_examples(model, x, y)
    trace = float(rows.var(0).sum())
    signal = float(rows.mean(0).square().sum()) - trace / 240
    many = [gradient_noise_scale(model, x, y, CE, parts=16, seed=seed) for seed in range(60)]
    noises = torch.tensor([found.noise for found in many])
    signals = torch.tensor([found.signal for found in many])
    # Over divisions into parts, whose values hang together weakly.
    assert abs(float(noises.mean()) - trace) < 4 * float(noises.std()) / math.sqrt(60)
    assert abs(float(signals.mean()) - signal) < 4 * float(signals.std()) / math.sqrt(60)


def test_the_gradient_of_all_there_is_has_no_noise_of_its_own() -> None:
    """Of examples drawn without replacement from n, the signal is the gradient of those n."""
    model, (x, y) = network(), data(40)
    rows = of_examples(model, x, y)
    found = gradient_noise_scale(model, x, y, CE, parts=40, examples=40)
    assert found.signal == pytest.approx(float(rows.mean(0).square().sum()), rel=1e-9)


def test_the_interval_holds_the_scale_in_about_95_percent() -> None:
    """Gradients of f = w·x under half the squared error are −y for x = 1."""
    model = nn.Linear(3, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    draw = torch.Generator().manual_seed(1)
    held, tries, reaches = 0, 80, []
    for seed in range(tries):
        rows = 1 + 4 * torch.randn(256, 3, generator=draw, dtype=torch.float64)
        found = gradient_noise_scale(
            model, rows, torch.zeros(256, 1).double(), lambda f, y: f.mean(), seed=seed
        )
        held += found.low <= 16 <= found.high
        reaches.append(1 / found.low - found.signal / found.noise)
    # 95 %, less three standard errors.
    assert 0.875 * tries <= held
    # Nor is it wider than need be: |ḡ|² of 256 rows of three numbers with the mean 1 and the
    # variance 16 has the first of these variances; the noise, of which 1/16 and 1/256 are taken
    # off, is 48 and by 93 numbers known; 2.04 is the quantile of 31 degrees of freedom.
    variance = 4 * 3 * 16 / 256 + 2 * 3 * (16 / 256) ** 2
    variance += ((1 / 16 + 1 / 256) * 48) ** 2 * 2 / 93
    # A standard error of 32 values is known to 1/8, more or less, a mean of 80 to 1/70.
    assert sum(reaches) / tries == pytest.approx(2.04 * math.sqrt(variance) / 48, rel=0.15)


def test_what_is_not_told_from_zero_is_not_told() -> None:
    model = nn.Linear(3, 1, bias=False).double()
    rows = torch.randn(256, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = gradient_noise_scale(model, rows, torch.zeros(256, 1), lambda f, y: f.mean())
    assert not found.known
    assert math.isnan(found.scale)
    assert math.isinf(found.high)
    assert found.low > 30


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_reduction_does_not_change_the_scale(reduction: str) -> None:
    model, (x, y) = network(), data(64)
    plain = gradient_noise_scale(model, x, y, CE)
    found = gradient_noise_scale(model, x, y, lambda f, y: 3 * CE(f, y, reduction=reduction))
    assert found.scale == pytest.approx(plain.scale, rel=1e-9)
    assert found.high == pytest.approx(plain.high, rel=1e-9)


def test_large_gradients_are_computed_twice_and_give_the_same(monkeypatch) -> None:
    import overparam.optim.gradient_noise as module

    model, (x, y) = network(dropout=0.5).train(), data(64)
    kept = gradient_noise_scale(model, x, y, CE)
    monkeypatch.setattr(module, "_KEPT", 0)
    assert gradient_noise_scale(model, x, y, CE) == kept


def test_masks_are_noise_and_differ_between_parts() -> None:
    x, y = data(1)
    x, y = x.expand(64, 4), y.expand(64)
    assert gradient_noise_scale(network(), x, y, CE).noise == pytest.approx(0, abs=1e-12)
    assert gradient_noise_scale(network(dropout=0.5).train(), x, y, CE).noise > 1e-3


def test_parts_whose_statistics_enter_are_no_smaller_than_sixteen() -> None:
    model, (x, y) = network(norm=True), data(100)
    found = gradient_noise_scale(model, x, y, CE, parts=32)
    params = list(model.parameters())
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    pieces = equal_parts(order, 6)
    model.train()
    by_hand = signal_and_noise((gradient(model, params, x[i], y[i], CE) for i in pieces), 16)
    assert (found.signal, found.noise) == pytest.approx(by_hand, rel=1e-9)
    with pytest.raises(InvalidValue, match="64 examples or more"):
        gradient_noise_scale(model, x[:63], y[:63], CE)


def test_nothing_of_the_model_is_changed() -> None:
    model, (x, y) = network(norm=True, dropout=0.5).train(), data(100)
    model(x).sum().backward()
    before = [t.clone() for t in (*model.parameters(), *model.buffers())]
    grads = [p.grad.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    gradient_noise_scale(model, x, y, CE)
    assert all(map(torch.equal, before, (*model.parameters(), *model.buffers())))
    assert all(torch.equal(g, p.grad) for g, p in zip(grads, model.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training


def test_nested_inputs_and_models_that_return_more() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, *, a: Tensor, b: Tensor) -> tuple[Tensor, int]:
            return self.inner(torch.cat([a, b], 1)), 7

    x, y = data(64)
    plain = gradient_noise_scale(network(), x, y, CE)
    found = gradient_noise_scale(
        Two(), {"a": x[:, :1], "b": x[:, 1:]}, y, CE, forward=lambda model, x: model(**x)[0]
    )
    assert found.scale == pytest.approx(plain.scale, rel=1e-9)


def test_norms_at_two_sizes_give_the_same_as_parts() -> None:
    """In expectation, so with every part's norm in place of one part's exactly."""
    model, (x, y) = network(), data(64)
    params = list(model.parameters())
    parts = [gradient(model, params, x[i : i + 8], y[i : i + 8], CE) for i in range(0, 64, 8)]
    small = [sum(float(g.square().sum()) for g in part) for part in parts]
    mean = [torch.stack(g).mean(0) for g in zip(*parts, strict=True)]
    large = sum(float(g.square().sum()) for g in mean)
    found = noise_scale_from_norms(small, [large] * 8, sizes=(8, 64))
    signal, noise = signal_and_noise(parts, 8)
    assert (found.signal, found.noise) == pytest.approx((signal, noise), rel=1e-9)


def test_too_few_measurements_are_no_interval() -> None:
    assert not noise_scale([1.0, 1.1, 0.9], [8.0, 8.0, 8.0]).known
    assert noise_scale([1.0] * 4, [0.0] * 4).scale == 0
    with pytest.raises(InvalidValue, match="as many of one"):
        noise_scale([1.0], [])
    with pytest.raises(InvalidValue, match="the smaller first"):
        noise_scale_from_norms([1.0], [1.0], sizes=(8, 8))


def test_one_chance_signal_does_not_make_the_scale() -> None:
    """A mean of ratios would be a thousand."""
    found = noise_scale([1.0, 1.0, 1.0, 1e-3, 1.0, 1.0, 1.0, 1.0], [4.0] * 8)
    assert found.scale == pytest.approx(4 * 8 / 7.001)


def test_sparse_and_complex_gradients_count_as_what_they_are() -> None:
    class Odd(nn.Module):
        def __init__(self, *, odd: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed = nn.Embedding(5, 3, sparse=odd)
            turn = torch.randn(3, 2)
            self.turn = nn.Parameter(torch.view_as_complex(turn) if odd else turn)
            self.odd = odd

        def forward(self, i: Tensor) -> Tensor:
            parts = torch.view_as_real(self.turn) if self.odd else self.turn
            return self.embed(i) @ parts

    i = torch.randint(5, (64,), generator=torch.Generator().manual_seed(0))
    y = (i % 2).long()
    plain = gradient_noise_scale(Odd(odd=False), i, y, CE)
    found = gradient_noise_scale(Odd(odd=True), i, y, CE)
    assert found.noise == pytest.approx(plain.noise, rel=1e-5)
    assert found.signal == pytest.approx(plain.signal, rel=1e-5)


def test_half_precision_is_summed_in_single() -> None:
    """Gradients of 300: their squares are beyond what half precision holds."""
    model = nn.Linear(3, 1, bias=False).half()
    draw = torch.Generator().manual_seed(0)
    rows = (300 * (1 + torch.randn(64, 3, generator=draw))).half()
    found = gradient_noise_scale(model, rows, torch.zeros(64, 1), lambda f, y: f.float().mean())
    exact = gradient_noise_scale(
        nn.Linear(3, 1, bias=False).double(),
        rows.double(),
        torch.zeros(64, 1),
        lambda f, y: f.mean(),
    )
    assert found.noise == pytest.approx(exact.noise, rel=1e-2)
    assert found.scale == pytest.approx(exact.scale, rel=5e-2)
