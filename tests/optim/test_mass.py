"""MaSS against other ways to write it, in float64, and what it does beyond torch's optimizers."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.testing import assert_close

from overparam.optim.critical_rate import critical_learning_rate
from overparam.optim.mass import MaSS

SETTINGS = [(0.05, 2.0), (0.05, 12.0), (0.01, 3.0), (0.3, 1.5), (0.2, 5.0), (0.4, 4.0)]
PATHS = [{"foreach": False}, {"foreach": True}, {"fused": True}]
LR, STEPS = 0.07, 200


def stochastic_gradients(seed: int = 0) -> Iterator[Callable[[Tensor], Tensor]]:
    """Gradients of f(w) = ½(xᵀw − 1)² for one random x after another."""
    draw = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        x = torch.randn(5, generator=draw, dtype=torch.float64) / 2
        yield lambda w, x=x: (x @ w - 1) * x


def follow(optimizer: torch.optim.Optimizer, w: nn.Parameter) -> Tensor:
    """The points at which gradients are taken, one row per step."""
    path = []
    for gradient in stochastic_gradients():
        w.grad = gradient(w.detach())
        optimizer.step()
        path.append(w.detach().clone())
    return torch.stack(path)


def start() -> Tensor:
    return torch.linspace(-1, 1, 5, dtype=torch.float64)


def mass(alpha: float, kappa_t: float, **options) -> Tensor:
    w = nn.Parameter(start())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of alpha * kappa_t above 1
        optimizer = MaSS([w], LR, alpha, kappa_t, **options)
    return follow(optimizer, w)


def three_states(alpha: float, kappa_t: float) -> Tensor:
    """The recursion in u, v and w that the authors of the method use."""
    u, v, path = start(), start(), []
    delta = LR / (alpha * kappa_t)
    for gradient in stochastic_gradients():
        g = gradient(u)
        w = u - LR * g
        v = (1 - alpha) * v + alpha * u - delta * g
        u = (alpha * v + w) / (1 + alpha)
        path.append(u)
    return torch.stack(path)


def two_states(alpha: float, kappa_t: float, sign: int = 1) -> Tensor:
    """The recursion of the paper's first pages, in u and w."""
    gamma, eta2 = (1 - alpha) / (1 + alpha), sign * LR * (1 - 1 / kappa_t) / (1 + alpha)
    u, w, path = start(), start(), []
    for gradient in stochastic_gradients():
        g = gradient(u)
        before, w = w, u - LR * g
        u = (1 + gamma) * w - gamma * before + eta2 * g
        path.append(u)
    return torch.stack(path)


def accelerated_sgd(alpha: float, kappa_t: float) -> Tensor:
    """AccSGD (Kidambi and others 2018) with its constant 0.7 replaced by 1."""
    long_step, advantage = 1 / (alpha**2 * kappa_t), 1 / (alpha * kappa_t)
    mix = advantage / long_step
    w, average, path = start(), start(), []
    for gradient in stochastic_gradients():
        g = gradient(w)
        average = (1 - mix) * average + mix * (w - long_step * LR * g)
        w = (w - LR * g) / (1 + mix) + mix * average / (1 + mix)
        path.append(w)
    return torch.stack(path)


def quasi_hyperbolic(alpha: float, kappa_t: float) -> Tensor:
    """QHM (Ma, Yarats 2019): a mean of plain SGD and SGD with an averaged gradient."""
    lr, beta = LR * (1 + 1 / (alpha * kappa_t)) / 2, (1 - alpha) / (1 + alpha)
    nu = (1 - alpha * kappa_t) / (1 + alpha * kappa_t)
    w, average, path = start(), torch.zeros(5, dtype=torch.float64), []
    for gradient in stochastic_gradients():
        g = gradient(w)
        average = beta * average + (1 - beta) * g
        w = w - lr * ((1 - nu) * g + nu * average)
        path.append(w)
    return torch.stack(path)


def dampened_nesterov(alpha: float, kappa_t: float) -> Tensor:
    """Torch's functional SGD, which accepts dampening with Nesterov momentum."""
    from torch.optim.sgd import sgd

    gamma, damping = (1 - alpha) / (1 + alpha), (1 - 1 / kappa_t) / (1 - alpha)
    w, buffer, path = start(), torch.zeros(5, dtype=torch.float64), []
    for gradient in stochastic_gradients():
        sgd(
            [w], [gradient(w)], [buffer], weight_decay=0.0, momentum=gamma, lr=LR,
            dampening=damping, nesterov=True, maximize=False, foreach=False,
        )  # fmt: skip
        path.append(w.clone())
    return torch.stack(path)


ORACLES = [three_states, two_states, accelerated_sgd, quasi_hyperbolic, dampened_nesterov]


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.__name__)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: next(iter(path)))
def test_it_is(oracle, path):
    for alpha, kappa_t in SETTINGS:
        assert_close(mass(alpha, kappa_t, **path), oracle(alpha, kappa_t), rtol=0, atol=1e-12)


def test_it_is_what_another_package_has():
    """Where pytorch_optimizer is installed: its AccSGD and QHM."""
    package = pytest.importorskip("pytorch_optimizer")
    for alpha, kappa_t in SETTINGS[:5]:
        product = alpha * kappa_t
        w = nn.Parameter(start())
        peer = package.AccSGD([w], lr=LR, kappa=1 / (alpha * product), xi=1 / product, constant=1.0)
        assert_close(mass(alpha, kappa_t), follow(peer, w), rtol=0, atol=1e-12)
        w = nn.Parameter(start())
        peer = package.QHM(
            [w], lr=LR * (1 + 1 / product) / 2, momentum=(1 - alpha) / (1 + alpha),
            nu=(1 - product) / (1 + product),
        )  # fmt: skip
        assert_close(mass(alpha, kappa_t), follow(peer, w), rtol=0, atol=1e-12)


def test_a_minus_before_the_compensation_is_another_method():
    difference = mass(0.05, 2.0) - two_states(0.05, 2.0, sign=-1)
    assert difference.abs().max() > 0.1


@pytest.mark.parametrize("path", PATHS, ids=lambda path: next(iter(path)))
def test_without_compensation_it_is_nesterovs(path):
    w = nn.Parameter(start())
    expected = follow(SGD([w], LR, momentum=0.9, nesterov=True), w)
    w = nn.Parameter(start())
    found = follow(MaSS.from_nesterov([w], LR, 0.9, kappa_t=1.0, **path), w)
    assert_close(found, expected, rtol=0, atol=1e-12)


def test_without_momentum_it_is_sgd():
    w = nn.Parameter(start())
    assert_close(mass(0.25, 4.0), follow(SGD([w], LR), w), rtol=0, atol=1e-12)


def test_eta_and_gamma_are_the_papers():
    w = nn.Parameter(start())
    optimizer = MaSS.from_eta_gamma([w], eta1=LR, eta2=0.02, gamma=0.7, weight_decay=0.0)
    u = v = start()
    for i, gradient in enumerate(stochastic_gradients()):
        w.grad = gradient(w.detach())
        optimizer.step()
        g = gradient(u)
        before, v = v, u - LR * g
        u = 1.7 * v - 0.7 * before + 0.02 * g
        assert_close(w.detach(), u, rtol=0, atol=1e-12)
        if i % 50 == 0:
            with optimizer.main_params():
                assert_close(w.detach(), v, rtol=0, atol=1e-12)
            assert_close(w.detach(), u, rtol=0, atol=1e-12)


def test_paths_can_be_changed_between_steps():
    w = nn.Parameter(start())
    optimizer = MaSS([w], LR, 0.05, 2.0)
    for i, gradient in enumerate(stochastic_gradients()):
        optimizer.param_groups[0].update({"foreach": None, "fused": None} | PATHS[i % 3])
        w.grad = gradient(w.detach())
        optimizer.step()
    assert_close(w.detach(), mass(0.05, 2.0)[-1], rtol=0, atol=1e-12)


def test_the_state_of_nesterov_momentum_is_taken_over():
    w = nn.Parameter(start())
    before = SGD([w], LR, momentum=0.9, nesterov=True)
    gradients = list(stochastic_gradients())
    for gradient in gradients[:100]:
        w.grad = gradient(w.detach())
        before.step()
    saved = before.state_dict()
    adopted = MaSS.from_nesterov([w], 1.0, 0.9, kappa_t=2.0, weight_decay=0.5)
    adopted.load_state_dict(saved)
    group = adopted.param_groups[0]
    assert (group["lr"], group["kappa_t"], group["weight_decay"]) == (LR, 2.0, 0.0)
    assert "momentum" not in group
    # The buffer of SGD is the plain sum S of decayed gradients; MaSS moves by lr·c·S.
    alpha = group["alpha"]
    momentum, u = saved["state"][0]["momentum_buffer"].clone(), w.detach().clone()
    for gradient in gradients[100:]:
        g = gradient(u)
        momentum = 0.9 * momentum + g
        u = u - LR * (g + (1 / 2.0 - alpha) / (1 + alpha) * momentum)
        w.grad = gradient(w.detach())
        adopted.step()
    assert_close(w.detach(), u, rtol=0, atol=1e-12)
    assert_close(before.state_dict()["state"], saved["state"])


def test_foreign_state_is_dropped():
    w = nn.Parameter(start())
    w.grad = start()
    adam = torch.optim.Adam([w])
    adam.step()
    optimizer = MaSS([w])
    optimizer.load_state_dict(adam.state_dict())
    optimizer.step()
    assert list(optimizer.state[w]) == ["momentum_buffer"]


def test_momentum_can_be_reset():
    w = nn.Parameter(start())
    optimizer = MaSS([w], LR, 0.05, 2.0)
    follow(optimizer, w)
    twin = nn.Parameter(w.detach().clone())
    optimizer.reset_momentum()
    assert_close(follow(optimizer, w), follow(MaSS([twin], LR, 0.05, 2.0), twin), rtol=0, atol=0)


def test_main_params_are_put_back_after_an_exception():
    w = nn.Parameter(start())
    optimizer = MaSS([w], LR, 0.05, 2.0)
    follow(optimizer, w)
    before = w.detach().clone()

    def fail() -> None:
        with optimizer.main_params():
            assert not torch.equal(w, before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.equal(w, before)


def test_main_params_inside_main_params_are_the_same():
    w = nn.Parameter(start())
    optimizer = MaSS([w], LR, 0.05, 2.0)
    follow(optimizer, w)
    before = w.detach().clone()
    with optimizer.main_params():
        main = w.detach().clone()
        with optimizer.main_params():
            assert torch.equal(w, main)
        assert torch.equal(w, main)
    assert torch.equal(w, before)


def test_a_step_inside_main_params_is_refused_and_nothing_moves():
    w = nn.Parameter(start())
    optimizer = MaSS([w], LR, 0.05, 2.0)
    follow(optimizer, w)
    before, buffer = w.detach().clone(), optimizer.state[w]["momentum_buffer"].clone()
    with (
        pytest.raises(RuntimeError, match=r"`MaSS.step\(\)` expected .* main_params\(\)"),
        optimizer.main_params(),
    ):
        optimizer.step()
    assert torch.equal(w, before)
    assert torch.equal(optimizer.state[w]["momentum_buffer"], buffer)
    optimizer.step()  # outside it is a step as ever
    assert not torch.equal(w, before)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"kappa_t": 0.99}, "kappa_t"),
        ({"kappa_t": math.nan}, "kappa_t"),
        ({"kappa_t": math.inf}, "kappa_t"),
    ],
)
def test_bad_options(options, where):
    with pytest.raises(ValueError, match=rf"`MaSS\({where}=...\)` expected"):
        MaSS([nn.Parameter(start())], **options)


@pytest.mark.parametrize(
    ("arguments", "where"),
    [((0.0, 0.0, 0.9), "eta1"), ((0.1, -0.01, 0.9), "eta2"), ((0.1, 0.1, 0.9), "eta2"),
     ((0.1, 0.0, 1.0), "gamma"), ((0.1, math.nan, 0.9), "eta2")],
)  # fmt: skip
def test_bad_eta_and_gamma(arguments, where):
    with pytest.raises(ValueError, match=rf"`MaSS.from_eta_gamma\({where}=...\)` expected"):
        MaSS.from_eta_gamma([nn.Parameter(start())], *arguments)


def test_bad_momentum():
    with pytest.raises(ValueError, match=r"`MaSS.from_nesterov\(momentum=...\)` expected"):
        MaSS.from_nesterov([nn.Parameter(start())], 0.1, 1.0)


def test_negative_momentum_warns_once():
    with pytest.warns(UserWarning, match="plain SGD") as caught:
        MaSS([nn.Parameter(start())], alpha=0.5, kappa_t=3.0)
    assert len(caught) == 1


def test_rejected_options_change_nothing():
    optimizer = MaSS([nn.Parameter(start())])
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="alpha"):
        optimizer.add_param_group({"params": [nn.Parameter(start())], "alpha": 2.0})
    assert optimizer.state_dict() == before


def test_float32_reaches_further_than_with_two_copies_of_the_weights():
    """The state of u and w loses in float32 what a buffer in gradient units keeps."""
    ratio, replicas, steps = 2.0**-9, 64, 6000
    eta1, alpha, kappa_t = 1 / 3, 1 / math.sqrt(6 / ratio * 6), 6.0
    gamma, eta2 = (1 - alpha) / (1 + alpha), eta1 * (1 - 1 / kappa_t) / (1 + alpha)
    draw = torch.Generator().manual_seed(0)
    target = torch.tensor([1.0, 1.0])
    p = nn.Parameter(torch.zeros(replicas, 2))
    optimizer = MaSS([p], eta1, alpha, kappa_t)
    u = w = torch.zeros(replicas, 2)
    for _ in range(steps):
        z = torch.randn(replicas, 1, generator=draw)
        first = torch.rand(replicas, 1, generator=draw) < 0.5
        x = z * torch.cat([first, ~first * math.sqrt(ratio)], dim=1)
        p.grad = x * (x * (p.detach() - target)).sum(1, keepdim=True)
        optimizer.step()
        g = x * (x * (u - target)).sum(1, keepdim=True)
        before, w = w, u - eta1 * g
        u = (1 + gamma) * w - gamma * before + eta2 * g
    errors = [(point.detach() - target).square().sum(1).median() for point in (p, u)]
    assert errors[0] < 1e-9
    assert errors[1] > 1e-8


def test_its_stability_limit_separates_convergence_from_divergence():
    model = nn.Linear(3, 1, bias=False).double()
    x, y = torch.diag(torch.tensor([2.0, 1.0, 0.5])).double(), torch.zeros(3, 1).double()

    def half_sum(f: Tensor, y: Tensor) -> Tensor:
        return (f - y).square().sum() / 2

    for alpha, kappa_t in SETTINGS[:5]:
        limit = critical_learning_rate(
            model, x, y, half_sum, MaSS(model.parameters(), 0.01, alpha, kappa_t)
        )
        for factor, diverges in ((0.98, False), (1.02, True)):
            w = nn.Parameter(torch.ones(3, dtype=torch.float64))
            optimizer = MaSS([w], factor * limit, alpha, kappa_t)
            far = False
            for _ in range(2000):
                w.grad = x.square() @ w.detach()
                optimizer.step()
                far = not float(w.detach().abs().max()) < 1e3
                if far:
                    break
            assert far is diverges


def test_a_closure_is_a_function_whose_errors_are_its_own():
    optimizer = MaSS([torch.ones(2, requires_grad=True)], lr=0.1)
    with pytest.raises(TypeError, match=r"`MaSS.step\(closure=...\)` expected a function"):
        optimizer.step(3)
    with pytest.raises(KeyError, match="batch"):
        optimizer.step(lambda: {}["batch"])


def test_a_scheduler_that_cycles_the_momentum_sets_that_of_the_steps() -> None:
    from torch.optim.lr_scheduler import OneCycleLR

    ends = []
    for cycled in (True, False):
        w = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
        optimizer = MaSS([w], lr=0.1, kappa_t=2.0)
        scheduler = OneCycleLR(optimizer, 0.2, total_steps=20)
        momenta = []
        for _ in range(19):
            group = optimizer.param_groups[0]
            momenta.append(group["momentum"])
            if not cycled:  # by hand: the same momentum as alpha
                group["momentum"], group["alpha"] = None, (1 - momenta[-1]) / (1 + momenta[-1])
            optimizer.zero_grad()
            (torch.tensor([1.0, 3.0]) * w**2).sum().backward()
            optimizer.step()
            scheduler.step()
        with optimizer.main_params():
            ends.append(w.detach().clone())
        assert max(momenta) == 0.95
        assert min(momenta) == pytest.approx(0.85, abs=1e-2)
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-12, atol=0)


def test_a_momentum_of_zero_is_plain_gradient_descent() -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = MaSS([w], lr=0.1)
    optimizer.param_groups[0]["momentum"] = 0.0
    for _ in range(3):
        optimizer.zero_grad()
        (w**2 / 2).sum().backward()
        optimizer.step()
    torch.testing.assert_close(w.detach(), torch.tensor([1.0, -2.0]).double() * 0.9**3)
