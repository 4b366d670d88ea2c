"""A module as a function of its parameters, and as it was afterwards."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import overparam
from overparam._batch import call, chunks, n_examples, take
from overparam._model import (
    as_function,
    expect_deterministic,
    expect_inputs,
    expect_own_outputs,
    expect_separate,
    trainable,
    undisturbed,
)
from overparam.optim import critical_learning_rate


class Twice(nn.Module):
    """One layer under two names, and a weight tied to another's."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.again = self.first
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(self.again(torch.tanh(self.first(x))))


def test_shared_parameters_are_replaced_in_every_place_and_put_back() -> None:
    model, x = Twice().double(), torch.randn(2, 3, dtype=torch.float64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    own = dict(model.named_parameters())
    params = {name: value.detach() * 2 for name, value in trainable(model).items()}
    assert set(params) == {"first.weight", "first.bias", "tied.bias"}
    w, b, c = params["first.weight"], params["first.bias"], params["tied.bias"]
    expected = (torch.tanh(x @ w.T + b) @ w.T + b) @ w.T + c
    torch.testing.assert_close(as_function(model)(params, x), expected)
    assert all(own[name] is value for name, value in model.named_parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_gradients_of_shared_parameters_add_up() -> None:
    model, x = Twice().double(), torch.randn(2, 3, dtype=torch.float64)
    point = {name: p.detach().requires_grad_() for name, p in trainable(model).items()}
    found = torch.autograd.grad(as_function(model)(point, x).sum(), list(point.values()))
    expected = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_undisturbed_puts_everything_back_also_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    model[2].eval()
    model[0].bias.requires_grad_(False)
    x = torch.randn(4, 3)
    model(x).sum().backward()
    grad, buffers = model[0].weight.grad, [b.clone() for b in model.buffers()]
    rng = torch.get_rng_state()

    def disturb() -> None:
        with undisturbed(model, evaluation=True):
            assert not model.training
            model.train()(x)
            torch.randn(1)
            model[0].weight.grad = None
            model.requires_grad_(True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        disturb()
    assert [module.training for module in model] == [True, True, False]
    assert model[0].weight.grad is grad
    assert not model[0].bias.requires_grad
    assert torch.equal(rng, torch.get_rng_state())
    assert all(torch.equal(b, old) for b, old in zip(model.buffers(), buffers, strict=True))


def test_batches_of_several_tensors() -> None:
    class Sum(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a + b

    a, b = torch.arange(4.0), torch.ones(4)
    for x in ((a, b), {"a": a, "b": b}):
        assert n_examples(x) == 4
        part = take(x, slice(1, 3))
        torch.testing.assert_close(call(Sum(), part), torch.tensor([2.0, 3.0]))
        torch.testing.assert_close(as_function(Sum())({}, part), torch.tensor([2.0, 3.0]))


def test_chunks_cover_everything_once() -> None:
    assert [(s.start, s.stop) for s in chunks(5, 2)] == [(0, 2), (2, 4), (4, 5)]
    assert [(s.start, s.stop) for s in chunks(5, None)] == [(0, 5)]
    assert chunks(0, 3) == []


def test_numbers_are_finite_though_their_sum_is_not() -> None:
    large = torch.full((4, 3), 3e38)
    expect_inputs(large, "f(x=...)")
    for bad in (torch.nan, torch.inf):
        x = large.clone()
        x[1, 2] = bad
        with pytest.raises(ValueError, match="1 of 12 that are NaN or infinite"):
            expect_inputs(x, "f(x=...)")
    opposite = torch.tensor([torch.inf, -torch.inf])
    with pytest.raises(ValueError, match="2 of 2"):
        expect_inputs(opposite, "f(x=...)")


def test_layers_that_mix_or_draw_are_named() -> None:
    with pytest.raises(ValueError, match="BatchNorm1d '0' in training mode"):
        expect_deterministic(nn.Sequential(nn.BatchNorm1d(3)), "f(model=...)")
    with pytest.raises(ValueError, match="Dropout '0' in training mode"):
        expect_deterministic(nn.Sequential(nn.Dropout(0.1)), "f(model=...)")
    expect_deterministic(nn.Sequential(nn.Dropout(0.0), nn.BatchNorm1d(3).eval()), "f")


def test_mixing_of_examples_is_found_by_its_effect() -> None:
    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0)

    x = torch.randn(4, 3)
    with pytest.raises(ValueError, match="does not depend on the others"):
        expect_separate(Centred(), x, Centred()(x), "f(model=...)")
    expect_separate(nn.Identity(), x, x, "f(model=...)")


class ByHand(nn.Module):
    """A layer with something between it and the next that no class of layers tells."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.between = between
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.between(self.first(x))))


DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "dropout": lambda h: nn.functional.dropout(h, 0.5, training=True),
    "noise": lambda h: h + torch.randn(h.shape[1:]),
}
MIXES: dict[str, Callable[[Tensor], Tensor]] = {
    "centred": lambda h: h - h.mean(0),
    "standardised": lambda h: (h - h.mean(0)) / (h.std(0) + 1e-3),  # of one example NaN
    "attention": lambda h: (h @ h.T).softmax(1) @ h,
    "by place": lambda h: h * torch.arange(1.0, len(h) + 1)[:, None],
}
IN_CHUNKS: dict[str, Callable[[nn.Module, Tensor, int], object]] = {
    "agop": lambda m, x, size: overparam.agop(m, x, chunk_size=size),
    "kernel": lambda m, x, size: overparam.empirical_ntk(m, x, chunk_size=size),
    "rate": lambda m, x, size: overparam.critical_learning_rate(
        m, x, x[:, :2], nn.functional.mse_loss, chunk_size=size
    ),
}


@pytest.mark.parametrize("size", [None, 1, 2])
@pytest.mark.parametrize("measured", IN_CHUNKS)
@pytest.mark.parametrize("between", [*DRAWS, *MIXES])
def test_layers_are_judged_by_what_they_do(between: str, measured: str, size: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = ByHand((DRAWS | MIXES)[between]), torch.randn(6, 3)
        if measured == "rate" and size is None:  # of all examples together, with one mask
            assert IN_CHUNKS[measured](model, x, size) == IN_CHUNKS[measured](model, x, size)
            return
        said = "without random layers" if between in DRAWS else "does not depend on the others"
        with pytest.raises(ValueError, match=rf"^`\w+\(model=...\)` expected a model.*{said}"):
            IN_CHUNKS[measured](model, x, size)


def test_outputs_that_cancel_are_not_taken_for_mixed_ones() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 64, bias=False), nn.Tanh(), nn.Linear(64, 1, bias=False))
        x = torch.randn(3, 4)
    with torch.no_grad():
        model[0].weight[32:] = model[0].weight[:32]
        model[2].weight[:, 32:] = -model[2].weight[:, :32]
    # Zero but for rounding, which a batch and a single example do in another order.
    outputs = model(x).detach() + 1e-8
    expect_separate(model, x, outputs, "f(model=...)")
    with pytest.raises(ValueError, match="does not depend on the others"):
        expect_separate(model, x, outputs + 0.01, "f(model=...)")


def test_parameters_on_two_devices_are_refused() -> None:
    model = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1, device="meta")])
    with pytest.raises(ValueError, match="parameters on one device, got parameters on cpu, meta"):
        trainable(model, None, "f(model=...)")


def test_unknown_parameter_names_are_told() -> None:
    with pytest.raises(ValueError, match=r"names from model.named_parameters\(\), got \['bais'\]"):
        trainable(nn.Linear(1, 1), ["bais"], "f(model=...)")


class Draws(nn.Module):
    """A layer that is doubled now and then, by a generator of which nobody told torch."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.layer, self.draw = nn.Linear(3, 2), draw

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * (2 if self.draw() < 0.2 else 1)


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.random_sample, lambda: float(torch.rand(()))],
    ids=["python", "numpy", "torch"],
)
def test_a_model_that_samples_is_called_random(draw: Callable[[], float]) -> None:
    for seed in range(3):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        with pytest.raises(ValueError, match="a model without random layers"):
            expect_own_outputs(Draws(draw), torch.ones(4, 3), "f(model=...)")


class Seldom(nn.Module):
    """One whose numbers come from elsewhere: every sixth call differs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(3, 2), [2]

    def forward(self, x: Tensor) -> Tensor:
        self.calls[0] += 1
        return self.layer(x) * (2 if self.calls[0] % 6 == 0 else 1)


def test_one_that_seldom_samples_is_not_said_to_mix_examples() -> None:
    with pytest.raises(ValueError, match="a model without random layers"):
        expect_own_outputs(Seldom(), torch.ones(4, 3), "f(model=...)")


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.last, self.reentrant = nn.Linear(3, 8), nn.Linear(8, 2), reentrant
        for p in self.parameters():
            p.data = torch.randn(p.shape, generator=generator) / 2

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant is None:
            return self.last(self.first(x).tanh())
        part = lambda x: self.first(x).tanh()  # noqa: E731
        return self.last(checkpoint(part, x, use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_parts_have_their_curvature(reentrant: bool) -> None:
    x, y = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), torch.ones(6, 2)
    loss = nn.functional.mse_loss
    limits = [critical_learning_rate(Checkpointed(r), x, y, loss) for r in (None, reentrant)]
    assert limits[1] == pytest.approx(limits[0], rel=1e-5)
    assert issubclass(torch.utils.checkpoint.CheckpointFunction, torch.autograd.Function)


def test_a_backward_pass_that_is_yet_to_come_is_not_broken() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    x = torch.randn(5, 3)
    loss = model(x).square().mean()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with undisturbed(model):
        model(x + 1)
        assert not torch.equal(model[1].running_mean, before["1.running_mean"])
    loss.backward()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_a_model_draws_from_python_and_numpy_is_put_back() -> None:
    class Draws(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * random.random() * np.random.rand()  # noqa: NPY002

    model, x = Draws(2, 1), torch.ones(3, 2)
    wanted = _drawn(lambda: None)

    def measure() -> None:
        with undisturbed(model):
            model(x)

    assert _drawn(measure) == wanted


def _drawn(before: Callable[[], None]) -> tuple[float, float]:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    before()
    return random.random(), float(np.random.rand())  # noqa: NPY002
