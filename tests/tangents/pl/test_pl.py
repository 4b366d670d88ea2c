import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from overparam.nets import NTKLinear, ntk_mlp
from overparam.tangents import (
    PLCertificate,
    empirical_ntk,
    pl_certificate,
    pl_estimate,
    pl_trace,
    two_layer_smoothness,
)
from overparam.tangents.pl.radius import largest_smoothness, smallest_radius


def two_layers(width: int, seed: int = 0, outputs: int = 1) -> nn.Sequential:
    """m^(-1/2) Σ v_j tanh(w_jᵀx), v = ±1 fixed, zero at the start: the halves cancel."""
    hidden = NTKLinear(4, width, weight_scale=2.0, seed=seed, dtype=torch.float64)
    output = NTKLinear(width, outputs, seed=seed, dtype=torch.float64)
    with torch.no_grad():
        hidden.weight[width // 2 :] = hidden.weight[: width // 2]
        output.weight[:] = output.weight.sign()
        output.weight[:, width // 2 :] = -output.weight[:, : width // 2]
    output.weight.requires_grad_(False)
    return nn.Sequential(hidden, nn.Tanh(), output)


def data(n: int = 3, scale: float = 0.2) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(5)
    x, _ = torch.linalg.qr(torch.randn(4, 4, generator=draw, dtype=torch.float64))
    return x[:n], scale * torch.tensor([1.0, -1.0, 1.0, -1.0]).double()[:n, None]


def jacobian(model: nn.Module, x: Tensor) -> Tensor:
    """By autograd, one output at a time."""
    params = [p for p in model.parameters() if p.requires_grad]
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(f, params, retain_graph=True)])
        for f in model(x).flatten()
    ]
    return torch.stack(rows)


def descend(model: nn.Module, x: Tensor, y: Tensor, lr: float, steps: int, every: int = 1):
    """Gradient descent on ½ Σ r²; losses, path length, checkpoints."""
    losses, length, checkpoints = [], 0.0, {}
    params = [p for p in model.parameters() if p.requires_grad]
    for step in range(steps + 1):
        if step % every == 0:
            checkpoints[step] = {k: v.clone() for k, v in model.state_dict().items()}
        loss = 0.5 * (model(x) - y).square().sum()
        losses.append(float(loss.detach()))
        gradients = torch.autograd.grad(loss, params)
        with torch.no_grad():
            for p, g in zip(params, gradients, strict=True):
                p -= lr * g
        length += lr * math.sqrt(sum(float(g.square().sum()) for g in gradients))
    return torch.tensor(losses).double(), length, checkpoints


@pytest.mark.parametrize("kind", ["path", "paper"])
def test_the_certified_run_keeps_every_promise(kind: str) -> None:
    model, (x, y) = two_layers(20_000), data()
    found = pl_certificate(model, x, y, radius=kind)
    assert found.certified, found.reason
    assert found.level == "certificate"
    sigma = torch.linalg.svdvals(jacobian(model, x))
    assert found.sigma == pytest.approx((float(sigma[-1]), float(sigma[0])), rel=1e-9)
    # The fixed point: R is exactly as large as it makes itself.
    r0, low, high = found.residual, math.sqrt(found.mu), found.lipschitz
    expected = 2 * r0 / low if kind == "path" else 2 * high * r0 / low**2
    assert found.radius == pytest.approx(expected, rel=1e-9)
    assert low == pytest.approx(float(sigma[-1]) - found.smoothness * found.radius)
    assert found.lr == pytest.approx(1 / (high**2 + found.smoothness * r0))
    assert found.condition_number == pytest.approx(1 / (found.lr * found.mu))
    losses, length, checkpoints = descend(copy.deepcopy(model), x, y, found.lr, 8, 4)
    assert bool((losses <= found.loss_bound(range(9)) * (1 + 1e-6)).all())
    assert length <= found.radius
    trace = pl_trace(model, x, y, checkpoints, lr=found.lr, radius=kind)
    assert trace.within_bound
    assert trace.within_ball
    assert float(trace.mus.min()) >= found.mu
    assert float(trace.lipschitz.max()) <= found.lipschitz


def test_the_path_radius_is_the_smaller_one_and_certifies_narrower_networks() -> None:
    x, y = data()
    path = {m: pl_certificate(two_layers(m), x, y) for m in (2, 500, 20_000)}
    paper = {m: pl_certificate(two_layers(m), x, y, radius="paper") for m in (2, 500, 20_000)}
    assert not path[2].certified
    assert path[20_000].radius < paper[20_000].radius
    # β_F falls as m^(-1/2), and so a margin at 500 units says where it is 1.
    assert paper[500].margin < path[500].margin
    between = 2 * round(250 / (path[500].margin * paper[500].margin))
    assert pl_certificate(two_layers(between), x, y).certified
    assert not pl_certificate(two_layers(between), x, y, radius="paper").certified
    refused = path[2]
    assert (refused.mu, refused.condition_number != refused.condition_number) == (0.0, True)
    assert "the width is needed" in refused.reason
    assert str(refused).startswith("No PL* certificate (path radius): the Jacobian may change")
    assert "reaches zero loss" in str(path[20_000])
    for certificate in (*path.values(), *paper.values()):
        assert certificate.certified == (certificate.margin >= 1)


@pytest.mark.parametrize("kind", ["path", "paper"])
@pytest.mark.parametrize("smoothness", [0.0, 1e-9, 1e-3, 0.02])
def test_the_radius_is_the_smallest_that_suffices(kind: str, smoothness: float) -> None:
    low, high, residual = 0.6, 1.3, 0.4

    def needed(r: float) -> float:
        a, b = low - smoothness * r, high + smoothness * r
        if a <= 0:
            return math.inf
        return 2 * residual / a if kind == "path" else 2 * b * residual / a**2

    found = smallest_radius(low, high, smoothness, residual, kind)
    assert found is not None
    assert needed(found) == pytest.approx(found, rel=1e-10)
    assert needed(found * 0.99) > found * 0.99
    most = largest_smoothness(low, high, residual, kind)
    assert smallest_radius(low, high, most * 0.999, residual, kind) is not None
    assert smallest_radius(low, high, most * 1.001, residual, kind) is None


def test_a_mean_divides_mu_by_n() -> None:
    model, (x, y) = two_layers(20_000), data()
    total, mean = (pl_certificate(model, x, y, reduction=r) for r in ("sum", "mean"))
    assert mean.mu == pytest.approx(total.mu / 3)
    assert mean.lr == pytest.approx(total.lr * 3)
    assert mean.rate == pytest.approx(total.rate)
    assert (mean.radius, mean.lipschitz) == (total.radius, total.lipschitz)
    assert mean.initial_loss == pytest.approx(0.5 * float(y.square().mean()))
    _, _, path = descend(copy.deepcopy(model), x, y, total.lr, 5)
    traces = {r: pl_trace(model, x, y, path, lr=c.lr, reduction=r)
              for r, c in (("sum", total), ("mean", mean))}  # fmt: skip
    assert_close(traces["mean"].mus, traces["sum"].mus / 3)
    assert_close(traces["mean"].bounds, traces["sum"].bounds / 3)
    assert traces["mean"].radius == traces["sum"].radius


def test_several_outputs_use_the_full_kernel() -> None:
    model, (x, _) = two_layers(400, outputs=2), data()
    sigma = torch.linalg.svdvals(jacobian(model, x))
    found = pl_certificate(model, x, torch.zeros(3, 2).double())
    assert found.sigma == pytest.approx((float(sigma[-1]), float(sigma[0])), rel=1e-9)
    assert found.certified
    assert found.radius < 1e-12  # the targets are fitted already


def test_refuses_what_cannot_be_fitted() -> None:
    model, (x, y) = two_layers(64), data()
    twice = torch.cat([x, x[:1]])
    other = pl_certificate(model, twice, torch.cat([y, -y[:1]]))
    assert "examples 0 and 3 are the same input with different targets" in other.reason
    same = pl_certificate(model, twice, torch.cat([y, y[:1]]))
    assert "keep one of them" in same.reason
    few = nn.Linear(4, 2)  # 4 examples of 2 outputs, 10 parameters: fits; 6 do not
    many = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    crowded = pl_certificate(few, many, torch.zeros(6, 2), smoothness=0.0)
    assert "12 outputs are to be fitted with 10 parameters" in crowded.reason
    parallel = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    flat = pl_certificate(nn.Linear(2, 1, bias=False), parallel, torch.ones(2, 1), smoothness=0.0)
    assert "singular to float64" in flat.reason
    for found in (other, same, crowded, flat):
        assert (found.certified, found.mu) == (False, 0.0)
        assert bool(found.loss_bound([1]).isnan().all())


def test_mu_of_an_ill_conditioned_kernel_comes_from_the_jacobian() -> None:
    # σ_min = 1e-7 beside 1: in J Jᵀ that is 1e-14, of which float64's eigenvalues keep a digit.
    draw = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(3, 3, generator=draw, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(5, 5, generator=draw, dtype=torch.float64))
    x = (left * torch.tensor([1.0, 0.1, 1e-7]).double()) @ right[:3]
    model = nn.Linear(5, 1, bias=False).double()
    found = pl_certificate(model, x, torch.zeros(3, 1), smoothness=0.0)
    assert found.mu == pytest.approx(1e-14, rel=1e-6)
    trace = pl_trace(model, x, torch.zeros(3, 1), {0: model.state_dict()})
    assert trace.mu == pytest.approx(1e-14, rel=1e-6)
    # Beyond float64 altogether: 0, never a negative number.
    x = (left * torch.tensor([1.0, 0.1, 1e-17]).double()) @ right[:3]
    found = pl_certificate(model, x, torch.zeros(3, 1), smoothness=0.0)
    assert (found.certified, found.mu) == (False, 0.0)
    trace = pl_trace(model, x, torch.zeros(3, 1), {0: model.state_dict()}, lr=0.1)
    assert (trace.mu, trace.radius, trace.condition_number) == (0.0, math.inf, math.inf)


def test_single_precision_models_are_measured_in_double() -> None:
    model, (x, y) = two_layers(200).float(), data()
    single = pl_certificate(model, x.float(), y.float()).sigma
    double = pl_certificate(copy.deepcopy(model).double(), x.float().double(), y).sigma
    assert single == pytest.approx(double, rel=1e-12)
    assert model[0].weight.dtype == torch.float32


@pytest.mark.parametrize(
    "activation", [nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.Softplus(2.0), nn.Identity()]
)
def test_the_closed_form_bounds_the_jacobian(activation: nn.Module) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 30), activation, nn.Linear(30, 2)).double()
        x = torch.randn(5, 4).double()
        model[2].weight.requires_grad_(False)
        beta, start = two_layer_smoothness(model, x), jacobian(model, x)
        worst = 0.0
        for size in (1e-4, 0.1, 1.0, 10.0):
            other = copy.deepcopy(model)
            moved = 0.0
            with torch.no_grad():
                for p in other.parameters():
                    if p.requires_grad:
                        step = size * torch.randn_like(p)
                        p += step
                        moved += float(step.square().sum())
            change = torch.linalg.matrix_norm(jacobian(other, x) - start, 2)
            worst = max(worst, float(change) / math.sqrt(moved))
    assert worst <= beta * (1 + 1e-9)
    assert (worst == 0) == isinstance(activation, nn.Identity)


@pytest.mark.parametrize(
    "activation", [nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.Softplus(2.0)]
)
def test_the_largest_curvature_is_the_largest(activation: nn.Module) -> None:
    z = torch.linspace(-6, 6, 20_001, dtype=torch.float64)
    curvature = torch.func.vmap(torch.func.grad(torch.func.grad(activation)))(z).abs().max()
    model = nn.Sequential(nn.Linear(1, 1, bias=False), activation, nn.Linear(1, 1)).double()
    model[2].weight.requires_grad_(False)[:] = 1.0
    found = two_layer_smoothness(model, torch.ones(1, 1).double())
    assert found == pytest.approx(float(curvature), rel=1e-6)


def test_the_formula_of_the_closed_form() -> None:
    x, _ = data(4)
    x = x + x.roll(1, 0)  # not orthogonal, lengths √2
    found = two_layer_smoothness(two_layers(100), x)
    spread = float(torch.linalg.matrix_norm(x, 2))
    assert found == pytest.approx(4 / (3 * math.sqrt(3)) * spread * math.sqrt(2) / 10, rel=1e-9)


def test_the_trace_agrees_with_dense_autograd() -> None:
    model = ntk_mlp([4, 12, 1], seed=0, dtype=torch.float64)
    x, y = data()
    _, _, path = descend(copy.deepcopy(model), x, y, 0.05, 20, 10)
    trace = pl_trace(model, x, y, path, lr=0.05)
    assert trace.steps == (0, 10, 20)
    for i, step in enumerate(trace.steps):
        twin = copy.deepcopy(model)
        twin.load_state_dict(path[step])
        dense = jacobian(twin, x)
        r = (twin(x) - y).detach().flatten()
        values = torch.linalg.eigvalsh(dense @ dense.T)
        assert float(trace.mus[i]) == pytest.approx(float(values[0]), rel=1e-8)
        assert float(trace.lipschitz[i]) == pytest.approx(float(values[-1]) ** 0.5, rel=1e-9)
        assert float(trace.losses[i]) == pytest.approx(0.5 * float(r @ r), rel=1e-9)
        ratio = 0.5 * float((dense.T @ r).square().sum()) / float(trace.losses[i])
        assert float(trace.ratios[i]) == pytest.approx(ratio, rel=1e-9)
        moved = [path[step][k] - path[0][k] for k in path[0]]
        expected = math.sqrt(sum(float(v.square().sum()) for v in moved))
        assert float(trace.distances[i]) == pytest.approx(expected)
    assert bool((trace.ratios >= trace.mus).all())
    assert "on the path only; proves nothing" in str(trace)
    unknown_lr = pl_trace(model, x, y, path)
    assert math.isnan(unknown_lr.bound_ratio)
    assert "not checked" in str(unknown_lr)


def test_a_run_that_breaks_the_bound_is_seen() -> None:
    model = nn.Linear(1, 1, bias=False)
    path = {0: {"weight": torch.zeros(1, 1)}, 1: {"weight": torch.full((1, 1), -9.0)}}
    trace = pl_trace(model, torch.ones(1, 1), torch.ones(1, 1), path, lr=0.5)
    assert not trace.within_bound
    assert not trace.within_ball
    assert "VIOLATED" in str(trace)
    assert "OUTSIDE" in str(trace)


def test_losses_of_rounding_are_not_held_against_a_run() -> None:
    # η λ = 1: the bound is 0 after one step, and rounding leaves more than that.
    for dtype in (torch.float32, torch.float64):
        model, one = nn.Linear(1, 1, bias=False).to(dtype), torch.ones(1, 1, dtype=dtype)
        for off, within in ((4 * torch.finfo(dtype).eps, True), (1e-3, False)):
            path = {0: {"weight": 0 * one}, 9: {"weight": (1 + off) * one}}
            trace = pl_trace(model, one, one, path, lr=1.0)
            assert float(trace.bounds[-1]) == 0 < float(trace.losses[-1])
            assert trace.within_bound == within


def test_down_to_a_floor() -> None:
    # Three examples, two of them at odds: λ_min = 0, and yet PL* holds above the floor ½.
    model = nn.Linear(2, 1, bias=False).double()
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]).double()
    y = torch.tensor([[1.0], [-1.0], [3.0]]).double()
    nn.init.zeros_(model.weight)
    _, _, path = descend(copy.deepcopy(model), x, y, 0.1, 40)
    trace = pl_trace(model, x, y, path, lr=0.1)
    assert trace.mu == 0
    # Only the third example moves: ½‖∇L‖² = ½ (2r)², L = 1 + ½ r².
    expected = [float(2 * r**2 / (1 + r**2 / 2)) for r in (3 * (1 - 0.4) ** t for t in (0, 3))]
    assert trace.mu_down_to(5.5) == pytest.approx(expected[0])
    assert trace.mu_down_to(1.2) == pytest.approx(expected[1])
    with pytest.raises(ValueError, match=r"`PLTrace.mu_down_to\("):
        trace.mu_down_to(100.0)


def test_the_output_map_keeps_pl() -> None:
    # λ_min(K_{φ∘F}) ≥ ρ² λ_min(K_F) with ρ the smallest |φ'|.
    x, y = data()
    inner = ntk_mlp([4, 200, 1], seed=1, dtype=torch.float64)
    outer = nn.Sequential(*inner, nn.Tanh())
    rho = float((1 - outer(x).detach().square()).abs().min())
    mus = [pl_trace(m, x, y, {0: m.state_dict()}).mu for m in (inner, outer)]
    assert mus[1] >= rho**2 * mus[0]
    # And what it is: that of D K_F D with D = φ'(F).
    rows = (1 - outer(x).detach().square()) * jacobian(inner, x)
    assert mus[1] == pytest.approx(float(torch.linalg.svdvals(rows)[-1]) ** 2, rel=1e-8)


def test_estimates_are_bounds_from_the_optimistic_side() -> None:
    model, (x, y) = two_layers(2000), data()
    beta = two_layer_smoothness(model, x)
    _, _, path = descend(copy.deepcopy(model), x, y, 0.5, 10, 5)
    found = pl_estimate(model, x, y, directions=3, path=path)
    assert found.level == "estimate"
    assert 0 < found.smoothness <= beta
    assert found.samples == 3 + 1 + 2
    assert found.smallest_mu <= pl_certificate(model, x, y).sigma[0] ** 2
    assert isinstance(found.conditional, PLCertificate)
    assert found.conditional.smoothness == found.smoothness
    assert "proves nothing" in str(found)
    assert found == pl_estimate(model, x, y, directions=3, path=path)
    assert found.smoothness != pl_estimate(model, x, y, directions=3, seed=1).smoothness
    assert found.smallest_mu / 3 == pytest.approx(
        pl_estimate(model, x, y, directions=3, path=path, reduction="mean").smallest_mu
    )


def test_an_estimate_of_one_parameter_is_exact() -> None:
    """f = x w²: J = 2xw, so that ΔJ/Δw = 2x at any distance, and w goes from 3 to 2 and 4."""

    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.w**2

    x, y = torch.tensor([[1.5]]).double(), torch.zeros(1, 1).double()
    found = pl_estimate(Square(), x, y, directions=4)
    assert found.smoothness == pytest.approx(3.0, rel=1e-12)
    assert found.smallest_mu == pytest.approx(6.0**2, rel=1e-12)
    assert found.samples == 5


def test_relu_has_an_estimate_and_no_certificate() -> None:
    model, (x, y) = ntk_mlp([4, 50, 1], "relu", seed=0, dtype=torch.float64), data()
    with pytest.raises(ValueError, match="output weights that do not train"):
        pl_certificate(model, x, y)
    model[2].weight.requires_grad_(False)
    with pytest.raises(ValueError, match="ReLU has a kink"):
        pl_certificate(model, x, y)
    assert pl_estimate(model, x, y, distance=0.1).smoothness > 0


def test_leaves_everything_as_it_was() -> None:
    model, (x, y) = two_layers(20).train(), data()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    for call in (pl_certificate, pl_estimate):
        call(model, x, y)
    pl_trace(model, x, y, {0: {"0.weight": before["0.weight"] + 1}})
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == [True, False]
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_the_kernel_is_the_librarys() -> None:
    model, (x, y) = two_layers(50), data()
    values = torch.linalg.eigvalsh(empirical_ntk(model, x))
    assert pl_certificate(model, x, y).sigma[0] ** 2 == pytest.approx(float(values[0]), rel=1e-9)


X, Y = data()
BAD = [
    ("y", {"y": Y[:2]}), ("y", {"y": torch.zeros(3)[None]}), ("y", {"y": Y * math.nan}),
    ("x", {"x": X * math.inf}), ("x", {"x": X[:0]}), ("radius", {"radius": "ball"}),
    ("reduction", {"reduction": "none"}), ("names", {"names": ["none"]}),
    ("chunk_size", {"chunk_size": 0}),
]  # fmt: skip


@pytest.mark.parametrize("name", ["pl_certificate", "pl_trace", "pl_estimate"])
@pytest.mark.parametrize(("argument", "change"), BAD)
def test_bad_input(name: str, argument: str, change: dict) -> None:
    function = {"pl_certificate": pl_certificate, "pl_trace": pl_trace, "pl_estimate": pl_estimate}
    model = two_layers(8)
    given = {"x": X, "y": Y, **change}
    if name == "pl_trace":
        given["checkpoints"] = {0: model.state_dict()}
    with pytest.raises(ValueError, match=rf"`{name}\({argument}=...\)` expected"):
        function[name](model, **given)
    with pytest.raises(TypeError, match=rf"`{name}\(y=...\)` expected a tensor"):
        function[name](model, **{**given, "x": X, "names": None, "chunk_size": None,
                                 "radius": "path", "reduction": "sum", "y": [1.0]})  # fmt: skip


def test_bad_input_of_one_function_alone() -> None:
    model = two_layers(8)
    state = model.state_dict()
    for value in (-1.0, math.inf, math.nan, "0.1"):
        with pytest.raises(ValueError, match=r"`pl_certificate\(smoothness=...\)` expected a fin"):
            pl_certificate(model, X, Y, smoothness=value)
    with pytest.raises(ValueError, match=r"`two_layer_smoothness\(model=...\)` expected a Seq"):
        pl_certificate(ntk_mlp([4, 5, 5, 1], dtype=torch.float64), X, Y)
    with pytest.raises(ValueError, match=r"`two_layer_smoothness\(x=...\)` expected a matrix"):
        two_layer_smoothness(model, X[None])
    for paths in ({}, {1: state}, {-1: state, 0: state}, {0.5: state, 0: state}):
        with pytest.raises(ValueError, match=r"`pl_trace\(checkpoints=...\)` expected whole"):
            pl_trace(model, X, Y, paths)
    for paths in ([state], {0: [1.0]}):
        with pytest.raises(TypeError, match=r"`pl_trace\(checkpoints=...\)` expected"):
            pl_trace(model, X, Y, paths)
    with pytest.raises(ValueError, match="missing or of another shape at step 0"):
        pl_trace(model, X, Y, {0: {}})
    with pytest.raises(ValueError, match="NaN or infinity in"):
        pl_trace(model, X, Y, {0: {"0.weight": state["0.weight"] * math.nan}})
    for lr in (0.0, math.nan, "1"):
        with pytest.raises(ValueError, match=r"`pl_trace\(lr=...\)` expected a number > 0"):
            pl_trace(model, X, Y, {0: state}, lr=lr)
    with pytest.raises(ValueError, match=r"`pl_estimate\(distance=...\)` expected"):
        pl_estimate(model, X, Y, distance=0.0)
    with pytest.raises(ValueError, match=r"`pl_estimate\(directions=...\)` expected"):
        pl_estimate(model, X, Y, directions=0)
    with pytest.raises(ValueError, match=r"`pl_estimate\(path=...\)` expected"):
        pl_estimate(model, X, Y, path={0: {}})
