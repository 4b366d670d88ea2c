"""What users of torch expect of an optimizer: every optimizer × path × behaviour.

A behaviour is a function of `make(params, **options)` that raises unless the optimizer so made
has it. Each also has a broken specimen, an optimizer without it, which it must reject.
"""

import copy
import io
import pickle
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, OneCycleLR
from torch.testing import assert_close

from overparam.optim.mass import MaSS

Make = Callable[..., Optimizer]

OPTIMIZERS: dict[str, Make] = {"MaSS": partial(MaSS, lr=0.05, alpha=0.1, kappa_t=2.5)}
PATHS: dict[str, dict[str, Any]] = {
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
CASES = [
    pytest.param(partial(make, **path), id=f"{name}-{kind}")
    for name, make in OPTIMIZERS.items()
    for kind, path in PATHS.items()
]


def tensors(dtype: torch.dtype = torch.float64, seed: int = 0) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(seed)
    shapes = [(3, 2), (4,), ()]
    return [nn.Parameter(torch.randn(s, generator=draw, dtype=dtype)) for s in shapes]


def loss(params: Iterable[Tensor], step: int = 0) -> Tensor:
    """Another function at every step, so that stale gradients show."""
    terms = ((p - 0.3 * step - 1).abs().square().sum() for p in params)
    return torch.stack(list(terms)).sum() / 2


def train(optimizer: Optimizer, params: list[nn.Parameter], steps: range = range(4)) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss(params, step).backward()
        optimizer.step()


def trained(make: Make, steps: int = 4, **options: Any) -> list[nn.Parameter]:
    params = tensors()
    train(make(params, **options), params, range(steps))
    return params


def fused(make: Make) -> bool:
    return bool(make(tensors()).defaults["fused"])


def without_path(make: Make, **options: Any) -> Callable[..., Any]:
    return partial(make, foreach=None, fused=None, **options)


def agrees_with_the_loop(make: Make) -> None:
    for options in ({}, {"weight_decay": 0.3}, {"maximize": True, "weight_decay": 0.3}):
        expected = trained(partial(make, foreach=False, fused=False), **options)
        assert_close(trained(make, **options), expected, rtol=1e-13, atol=1e-14)


def takes_every_form_of_params(make: Make) -> None:
    model = nn.Linear(2, 2)
    assert make(model.named_parameters()).param_groups[0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="empty"):
        make([])
    with pytest.raises(TypeError):
        make(model.weight)
    with pytest.raises(ValueError, match="non-leaf"):
        make([model.weight * 2])
    with pytest.raises(ValueError, match="more than one"):
        make([{"params": [model.weight]}, {"params": [model.weight]}])


def has_options_per_group(make: Make) -> None:
    params = tensors()
    groups = [{"params": params[:1], "lr": 0.0}, {"params": params[1:], "weight_decay": 0.5}]
    optimizer = make(groups)
    assert optimizer.param_groups[0]["weight_decay"] == optimizer.defaults["weight_decay"]
    optimizer.param_groups[1]["maximize"] = True
    train(optimizer, params)
    assert_close(params[0], tensors()[0], rtol=0, atol=0)
    expected = tensors()[1:]
    train(make(expected, weight_decay=0.5, maximize=True), expected)
    assert_close(params[1:], expected)


def rejects_bad_options(make: Make) -> None:
    nan = float("nan")
    bad = [("lr", -1.0), ("lr", nan), ("lr", float("inf")), ("lr", torch.ones(2)),
           ("lr", torch.tensor(nan)), ("weight_decay", -1.0), ("weight_decay", nan)]  # fmt: skip
    good = make(tensors())
    for name, value in bad:
        with pytest.raises(ValueError, match=rf"`\w+\({name}=...\)` expected"):
            make(tensors(), **{name: value})
        with pytest.raises(ValueError, match=rf"`\w+\({name}=...\)` expected"):
            good.add_param_group({"params": tensors(seed=1), name: value})
    assert len(good.param_groups) == 1
    for first, second in (("foreach", "fused"), ("fused", "differentiable")):
        with pytest.raises(RuntimeError):
            without_path(make)(tensors(), **{first: True, second: True})


def runs_the_closure_with_gradients(make: Make) -> None:
    params, expected = tensors(), trained(make, 1)
    optimizer = make(params)

    @torch.no_grad()
    def step() -> Any:
        def closure() -> Tensor:
            optimizer.zero_grad()
            value = loss(params)
            value.backward()
            return value

        return optimizer.step(closure)

    assert_close(step(), loss(tensors()))
    assert_close(params, expected, rtol=0, atol=0)


def runs_hooks(make: Make) -> None:
    params, seen = tensors(), []
    optimizer = make(params)
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    train(optimizer, params, range(1))
    assert seen == ["before", "after"]


def skips_only_missing_gradients(make: Make) -> None:
    params = tensors()
    optimizer = make(params, weight_decay=0.1)
    optimizer.step()
    assert not optimizer.state
    params[0].grad = torch.zeros_like(params[0])
    optimizer.step()
    assert list(optimizer.state) == [params[0]]
    assert not torch.equal(params[0], tensors()[0])
    assert_close(params[1:], tensors()[1:], rtol=0, atol=0)


def decays_weights_through_the_gradient(make: Make) -> None:
    expected = tensors()
    plain = make(expected)
    for step in range(4):
        plain.zero_grad()
        loss(expected, step).backward()
        for p in expected:
            p.grad += 0.3 * p.detach()
        plain.step()
    assert_close(trained(make, weight_decay=0.3), expected, rtol=1e-13, atol=1e-14)


def maximizes_by_the_negated_gradient(make: Make) -> None:
    params = tensors()
    optimizer = make(params, maximize=True)
    for step in range(4):
        optimizer.zero_grad()
        (-loss(params, step)).backward()
        optimizer.step()
    assert_close(params, trained(make), rtol=1e-13, atol=1e-14)


def keeps_one_buffer_in_the_dtype_of_its_parameter(make: Make) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        params = tensors(dtype)
        optimizer = make(params)
        train(optimizer, params)
        for p in params:
            (state,) = optimizer.state[p].values()
            assert (state.shape, state.dtype) == (p.shape, dtype)
            assert torch.isfinite(p).all()


def reads_gradients_only(make: Make) -> None:
    for options in ({}, {"weight_decay": 0.1}, {"maximize": True}):
        params = tensors()
        optimizer = make(params, **options)
        loss(params).backward()
        before = [p.grad.clone() for p in params]
        optimizer.step()
        optimizer.step()
        assert_close([p.grad for p in params], before, rtol=0, atol=0)


def takes_a_tensor_as_rate(make: Make) -> None:
    for rate in (
        torch.tensor(0.05, dtype=torch.float64),
        torch.tensor([0.05], dtype=torch.float64),
    ):
        assert_close(trained(make, lr=rate), trained(make, lr=0.05), rtol=1e-13, atol=1e-14)


def works_under_a_grad_scaler(make: Make) -> None:
    params, expected = tensors(torch.float32), tensors(torch.float32)
    optimizer, plain = make(params), make(expected)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for step in range(4):
        optimizer.zero_grad()
        plain.zero_grad()
        value = loss(params, step)
        if step != 2:
            loss(expected, step).backward()
            plain.step()
        else:
            value = value * float("inf")
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
    assert_close(params, expected)


def takes_sparse_gradients(make: Make) -> None:
    tables = [nn.Embedding(9, 2, sparse=sparse, dtype=torch.float64) for sparse in (True, False)]
    tables[0].load_state_dict(tables[1].state_dict())
    if fused(make):
        tables[0](torch.tensor([1])).sum().backward()
        with pytest.raises(RuntimeError):
            make(tables[0].parameters()).step()
        return
    draw = torch.Generator().manual_seed(0)
    optimizers = [make(table.parameters()) for table in tables]
    for _ in range(5):
        index = torch.randint(9, (6,), generator=draw)
        for table, optimizer in zip(tables, optimizers, strict=True):
            optimizer.zero_grad()
            table(index).square().sum().backward()
            optimizer.step()
    assert_close(tables[0].weight, tables[1].weight, rtol=1e-13, atol=1e-14)
    (buffer,) = optimizers[0].state[tables[0].weight].values()
    assert buffer.is_sparse
    assert buffer._nnz() <= 9
    decaying = make(tables[0].parameters(), weight_decay=0.1)
    with pytest.raises(RuntimeError):
        decaying.step()


def treats_complex_numbers_as_pairs(make: Make) -> None:
    params = tensors(torch.complex128)
    if fused(make):
        loss(params).real.backward()
        with pytest.raises(RuntimeError):
            make(params).step()
        return
    pairs = [nn.Parameter(torch.view_as_real(p.detach().clone())) for p in params]
    train(make(params), params)
    optimizer = make(pairs)
    for step in range(4):
        optimizer.zero_grad()
        loss([torch.view_as_complex(p) for p in pairs], step).backward()
        optimizer.step()
    assert_close([torch.view_as_real(p.detach()) for p in params], [p.detach() for p in pairs])


def is_differentiable(make: Make) -> None:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, 3, generator=draw, dtype=torch.float64).requires_grad_()
    rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)

    def final(inputs: Tensor, rate: Tensor) -> Tensor:
        start, *gradients = inputs
        w = start.clone()
        optimizer = without_path(make)([w], lr=rate, differentiable=True, weight_decay=0.1)
        for w.grad in gradients:
            optimizer.step()
        return w

    assert torch.autograd.gradcheck(final, (inputs, rate))


def resumes_where_it_stopped(make: Make) -> None:
    expected = trained(make, 6)

    def stored(optimizer: Optimizer, params: list) -> Optimizer:
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        fresh = make(params)
        fresh.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
        return fresh

    def copied(optimizer: Optimizer, params: list) -> Optimizer:
        twin = copy.deepcopy(optimizer)
        params[:] = twin.param_groups[0]["params"]
        return twin

    def pickled(optimizer: Optimizer, params: list) -> Optimizer:
        twin = pickle.loads(pickle.dumps(optimizer))
        params[:] = twin.param_groups[0]["params"]
        return twin

    for how in (stored, copied, pickled):
        params = tensors()
        optimizer = make(params)
        train(optimizer, params, range(3))
        train(how(optimizer, params), params, range(3, 6))
        assert_close(params, expected, rtol=0, atol=0)


def loads_the_state_of_an_older_version(make: Make) -> None:
    params = tensors()
    optimizer = make(params)
    train(optimizer, params, range(1))
    saved = optimizer.state_dict()
    for name in set(saved["param_groups"][0]) - {"params", "lr"}:
        del saved["param_groups"][0][name]
    optimizer.load_state_dict(saved)
    train(optimizer, params, range(1, 4))
    assert torch.isfinite(loss(params))


def clears_gradients(make: Make) -> None:
    params = tensors()
    optimizer = make(params)
    loss(params).backward()
    optimizer.zero_grad(set_to_none=False)
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


def stays_when_a_distributed_checkpoint_makes_its_state(make: Make) -> None:
    params = tensors()
    optimizer = make(params, weight_decay=0.1)
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.0)
    optimizer.step()
    assert_close(params, tensors(), rtol=0, atol=0)
    assert all(s.shape == p.shape for p in params for s in optimizer.state[p].values())


def follows_schedulers(make: Make) -> None:
    for rate in (0.05, torch.tensor(0.05, dtype=torch.float64)):
        params = tensors()
        optimizer = make(params, lr=rate)
        scheduler = LambdaLR(optimizer, lambda epoch: float(epoch == 0))
        train(optimizer, params, range(1))
        scheduler.step()
        moved = copy.deepcopy(params)
        train(optimizer, params, range(1, 3))
        assert not torch.equal(params[0], tensors()[0])
        assert_close(params, moved, rtol=0, atol=0)
    OneCycleLR(make(tensors()), max_lr=1.0, total_steps=10, cycle_momentum=False)
    OneCycleLR(make(tensors()), max_lr=1.0, total_steps=10)
    CyclicLR(make(tensors()), base_lr=0.1, max_lr=1.0)


def compiles(make: Make) -> None:
    params = tensors()
    optimizer = make(params, lr=torch.tensor(0.05, dtype=torch.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its profiler
        step = torch.compile(optimizer.step, backend="eager")
        for i in range(4):
            optimizer.zero_grad()
            loss(params, i).backward()
            step()
    assert_close(params, trained(make), rtol=1e-13, atol=1e-14)


def shows_its_options(make: Make) -> None:
    shown = repr(make(tensors()))
    assert all(f"{name}:" in shown for name in make(tensors()).defaults)


def leaves_the_generator_alone(make: Make) -> None:
    before = torch.get_rng_state()
    trained(make)
    assert torch.equal(before, torch.get_rng_state())


class Broken(MaSS):
    """Sound, to be broken in one respect by each subclass."""


class Flipped(Broken):
    """Another algorithm outside the loop."""

    def step(self, closure=None):
        for group in self.param_groups:
            if group["foreach"] or group["fused"]:
                group["kappa_t"] = 7.0
        return super().step(closure)


class Unnamed(Broken):
    def __init__(self, params, *args, **options):
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        super().__init__(params, *args, **options)


class OneRate(Broken):
    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = self.defaults["lr"]
        return super().step(closure)


class Credulous(Broken):
    def __init__(self, params, **options):
        Optimizer.__init__(self, params, {**MaSS(tensors()).defaults, **options})

    add_param_group = Optimizer.add_param_group


class Silent(Broken):
    def step(self, closure=None):
        super().step(closure)


class Unhooked(Broken):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.step = partial(type(self).step.__wrapped__, self)


class Eager(Broken):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        return super().step(closure)


class Decoupled(Broken):
    def step(self, closure=None):
        for group in self.param_groups:
            decay, group["weight_decay"] = group["weight_decay"], 0.0
            with torch.no_grad():
                for p in group["params"]:
                    p.mul_(1 - group["lr"] * decay)
            super().step(closure)
            group["weight_decay"] = decay


class NeverUp(Broken):
    def __init__(self, *args, maximize=False, **options):
        super().__init__(*args, **options)


class Wide(Broken):
    def step(self, closure=None):
        super().step(closure)
        for state in self.state.values():
            state["momentum_buffer"] = state["momentum_buffer"].double()


class Scribbles(Broken):
    def step(self, closure=None):
        super().step(closure)
        for p in self.param_groups[0]["params"]:
            p.grad.mul_(2)


class FixedRate(Broken):
    def __init__(self, params, lr=0.1, **options):
        super().__init__(params, float(lr) * (2 if isinstance(lr, Tensor) else 1), **options)


class Unscaled(Broken):
    def step(self, closure=None):
        self._step_supports_amp_scaling = True
        self.grad_scale = self.found_inf = None
        return super().step(closure)

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._step_supports_amp_scaling = True


class Dense(Broken):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad = p.grad.to_dense() if p.grad is not None else None
        return super().step(closure)


class RealOnly(Broken):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad = p.grad.real.to(p.dtype)
        return super().step(closure)


class Detached(Broken):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad = p.grad.detach()
        return super().step(closure)


class Forgetful(Broken):
    def state_dict(self):
        return {**super().state_dict(), "state": {}}


class Strict(Broken):
    __setstate__ = Optimizer.__setstate__


class Keeps(Broken):
    def zero_grad(self, set_to_none=True):
        pass


class Restless(Broken):
    def step(self, closure=None):
        super().step(closure)
        with torch.no_grad():
            self.param_groups[0]["params"][0].add_(1e-9)


class Uncompiled(Broken):
    def step(self, closure=None):
        return None if torch.compiler.is_compiling() else super().step(closure)


class Quiet(Broken):
    def __repr__(self):
        return "MaSS"


class Random(Broken):
    def step(self, closure=None):
        torch.rand(1)
        return super().step(closure)


BEHAVIOURS: dict[Callable[[Make], None], type[Optimizer]] = {
    agrees_with_the_loop: Flipped,
    takes_every_form_of_params: Unnamed,
    has_options_per_group: OneRate,
    rejects_bad_options: Credulous,
    runs_the_closure_with_gradients: Silent,
    runs_hooks: Unhooked,
    skips_only_missing_gradients: Eager,
    decays_weights_through_the_gradient: Decoupled,
    maximizes_by_the_negated_gradient: NeverUp,
    keeps_one_buffer_in_the_dtype_of_its_parameter: Wide,
    reads_gradients_only: Scribbles,
    takes_a_tensor_as_rate: FixedRate,
    works_under_a_grad_scaler: Unscaled,
    takes_sparse_gradients: Dense,
    treats_complex_numbers_as_pairs: RealOnly,
    is_differentiable: Detached,
    resumes_where_it_stopped: Forgetful,
    loads_the_state_of_an_older_version: Strict,
    clears_gradients: Keeps,
    stays_when_a_distributed_checkpoint_makes_its_state: Restless,
    follows_schedulers: OneRate,
    compiles: Uncompiled,
    shows_its_options: Quiet,
    leaves_the_generator_alone: Random,
}


REJECTIONS = (AssertionError, KeyError, TypeError, GradcheckError, pytest.fail.Exception)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda b: b.__name__)
@pytest.mark.parametrize("make", CASES)
def test_it(behaviour, make):
    behaviour(make)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda b: b.__name__)
def test_a_broken_specimen_is_rejected(behaviour):
    path = PATHS["foreach" if behaviour is agrees_with_the_loop else "loop"]
    make = partial(BEHAVIOURS[behaviour], lr=0.05, alpha=0.1, kappa_t=2.5, **path)
    with pytest.raises(REJECTIONS):
        behaviour(make)


def test_sgd_breaks_one_of_them():
    """Torch's own foreach path of Nesterov momentum writes into the gradients."""
    make = partial(SGD, lr=0.05, momentum=0.9, nesterov=True, foreach=True)
    with pytest.raises(AssertionError):
        reads_gradients_only(make)
