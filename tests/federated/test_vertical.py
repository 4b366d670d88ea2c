"""A vertical split: what crosses, what it costs in privacy, and that it learns."""

import math

import mpmath
import pytest
import torch
from torch import nn

from overparam.federated.vertical import (
    DPZV,
    Channel,
    PrivacySpec,
    VerticalData,
    direction,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
    plan_noise,
    spent_epsilon,
    train_vertical,
    two_point,
)

N, BATCH = 60, 20


def data(n: int = N) -> VerticalData:
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(0))
    return VerticalData([x[:, :2], x[:, 2:]], (x.sum(1) > 0).long())


def modules() -> tuple[list[nn.Module], nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parties = [nn.Sequential(nn.Linear(2, 2), nn.Tanh()), nn.Linear(3, 1)]
        return parties, nn.Linear(3, 2)


def run(method=None, **given):
    parties, head = modules()
    return train_vertical(
        given.pop("parties", parties), given.pop("head", head), given.pop("data", data()),
        method or DPZV(lr=0.1),
        **{"epochs": 2, "batch_size": BATCH, "progress": False, **given},
    )  # fmt: skip


# The estimator.


@pytest.mark.parametrize(("kind", "length"), [("sphere", 50), ("gaussian", 52)])
def test_the_estimate_is_the_gradient_on_average_and_as_long_as_it_should_be(kind, length):
    """Of ½‖w‖² at a unit w in 50 dimensions, in five standard errors of 4000 directions."""
    size, count = 50, 4000
    w = torch.zeros(size, dtype=torch.float64)
    w[0] = 1.0
    u = torch.stack([direction(size, seed, kind=kind) for seed in range(count)])
    plus, minus = ((w + sign * 1e-3 * u).square().sum(1) / 2 for sign in (1, -1))
    slopes = two_point(plus, minus, 1e-3)
    estimates = slopes[:, None] * u
    assert abs(estimates[:, 0].mean() - 1) < 5 * estimates[:, 0].std() / math.sqrt(count)
    assert estimates[:, 1:].mean(0).abs().max() < 5 / math.sqrt(count)
    squares = estimates.square().sum(1)
    assert abs(squares.mean() - length) < 5 * squares.std() / math.sqrt(count)
    assert torch.equal(direction(size, 7, kind=kind), direction(size, 7, kind=kind))


# The accountant.


def exact_epsilon(mu: float, delta: float) -> mpmath.mpf:
    """Forty digits of it."""
    with mpmath.workdps(40):
        m, goal = mpmath.mpf(mu), mpmath.log(mpmath.mpf(delta))

        def log_delta(e):
            first = mpmath.ncdf(-e / m + m / 2)
            return mpmath.log(first - mpmath.exp(e) * mpmath.ncdf(-e / m - m / 2))

        low, high = mpmath.mpf(0), m * m / 2 + 12 * m + 1
        for _ in range(130):
            middle = (low + high) / 2
            low, high = (low, middle) if log_delta(middle) <= goal else (middle, high)
        return high


@pytest.mark.parametrize("delta", [1e-12, 1e-5, 0.1])
@pytest.mark.parametrize("mu", [0.03, 0.268, 1.0, 4.0, 30.0])
def test_epsilon_is_exact_and_never_less(mu, delta):
    found, right = gaussian_epsilon(mu, delta), exact_epsilon(mu, delta)
    if gaussian_delta(mu, 0.0) <= delta:
        assert found == 0.0
        return
    assert found >= right
    assert found == pytest.approx(float(right), rel=1e-7, abs=1e-9)
    back = gaussian_mu(found, delta)
    assert back == pytest.approx(mu, rel=1e-7)
    assert gaussian_epsilon(back, delta) <= found * (1 + 1e-9)


def test_the_ends_of_the_range_of_floats_have_answers():
    assert gaussian_delta(1e-300, 1.0) == 0.0
    assert gaussian_delta(1e300, 1.0) == 1.0
    assert gaussian_epsilon(1e-300, 1e-5) == 0.0
    assert 0 < gaussian_mu(1e-300, 1e-5) < 1e-4


def test_a_known_multiplier():
    assert spent_epsilon(45.691, 150, 1e-5) == pytest.approx(1.0, abs=1e-4)
    plan = plan_noise(
        PrivacySpec(epsilon=1.0, delta=1e-5), clip=1.0, batch_size=500, n_examples=20_000,
        epochs=30, releases_per_step=5,
    )  # fmt: skip
    assert plan.multiplier == pytest.approx(45.691, abs=1e-3)
    assert plan.releases == 150
    assert plan.epsilon == pytest.approx(1.0, abs=1e-8)
    spent = [plan.spent(k) for k in (0, 1, 75, 150)]
    assert spent[0] == 0.0
    assert spent == sorted(spent)
    assert spent[-1] == plan.epsilon


def test_the_two_conventions_differ_by_two_in_noise_and_not_in_multiplier():
    def planned(neighbouring):
        spec = PrivacySpec(epsilon=1.0, delta=1e-5, neighbouring=neighbouring)
        return plan_noise(
            spec, clip=0.5, batch_size=500, n_examples=20_000, epochs=30, releases_per_step=5
        )

    replace, add = planned("replace_one"), planned("add_remove")
    assert replace.multiplier == add.multiplier
    assert replace.sigma == pytest.approx(2 * add.sigma)
    assert (replace.sensitivity, add.sensitivity) == (2 * 0.5 / 500, 0.5 / 500)
    # Taken for the other's, the same noise is worth twice μ: 2.155 and not 1.
    assert spent_epsilon(add.sigma / replace.sensitivity, 150, 1e-5) == pytest.approx(
        2.155, abs=1e-3
    )


def test_the_published_formula_warns_of_what_it_keeps():
    spec = PrivacySpec(epsilon=1.0, delta=1e-5, noise="paper")
    with pytest.warns(UserWarning, match="it keeps ε = 6[78]"):
        plan = plan_noise(spec, clip=1.0, batch_size=64, n_examples=60_000, epochs=50)
    assert plan.epsilon > 60
    with pytest.warns(UserWarning, match="δ = 0.1 is more than 1/60"):
        plan_noise(
            PrivacySpec(epsilon=1.0, delta=0.1), clip=1.0, batch_size=5, n_examples=60, epochs=1
        )


def test_closed_form_and_distributions_agree():
    accounting = pytest.importorskip("dp_accounting")
    pld = pytest.importorskip("dp_accounting.pld")
    for multiplier, releases in ((45.691, 150), (6.12, 150), (2.0, 10)):
        event = accounting.SelfComposedDpEvent(accounting.GaussianDpEvent(multiplier), releases)
        accountant = pld.PLDAccountant(accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
        right = accountant.compose(event).get_epsilon(1e-5)
        assert spent_epsilon(multiplier, releases, 1e-5) == pytest.approx(
            right, abs=1e-4 * max(1, right)
        )
    # Under REPLACE_ONE it doubles the distance: z = σB/C is our z = σB/(2C) twice.
    event = accounting.SelfComposedDpEvent(accounting.GaussianDpEvent(2 * 45.691), 150)
    accountant = pld.PLDAccountant(accounting.NeighboringRelation.REPLACE_ONE)
    assert spent_epsilon(45.691, 150, 1e-5) == pytest.approx(
        accountant.compose(event).get_epsilon(1e-5), abs=1e-4
    )


@pytest.mark.parametrize("neighbouring", ["replace_one", "add_remove"])
def test_amplification_takes_less_noise_and_counts_a_batchs_releases_together(neighbouring):
    pytest.importorskip("dp_accounting.pld")
    given = {"clip": 1.0, "batch_size": 100, "n_examples": 2000, "epochs": 2}
    spec = PrivacySpec(epsilon=1.0, delta=1e-4, neighbouring=neighbouring, amplification="poisson")
    plain = PrivacySpec(epsilon=1.0, delta=1e-4, neighbouring=neighbouring)
    one, four = (plan_noise(spec, releases_per_step=k, **given) for k in (1, 4))
    assert 0.9 < one.epsilon <= 1.0
    assert one.sigma < plan_noise(plain, **given).sigma
    assert four.sigma == pytest.approx(2 * one.sigma, rel=1e-3)
    assert four.spent(4 * 20) < four.spent(4 * 40) == four.epsilon


def test_without_dp_accounting_the_message_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    spec = PrivacySpec(epsilon=1.0, delta=1e-5, amplification="poisson")
    with pytest.raises(ImportError, match=r"overparam\[dp\]"):
        plan_noise(spec, clip=1.0, batch_size=10, n_examples=1000, epochs=1)


# The split.


def test_only_scalars_go_down_and_only_embeddings_up():
    channel, directions, epochs = Channel(keep=True), 2, 2
    run(DPZV(directions=directions), channel=channel, epochs=epochs)
    widths, batches = (2, 1), epochs * N // BATCH
    first = channel.messages[:2]
    assert [(m.kind, m.sender, m.floats) for m in first] == [
        ("embeddings", "0", N * 2), ("embeddings", "1", N * 1),
    ]  # fmt: skip
    rest = channel.messages[2:]
    assert len(rest) == batches * 2 * 2
    for pair, scalar in zip(rest[::2], rest[1::2], strict=True):
        assert (pair.kind, pair.receiver) == ("pair", "server")
        assert pair.floats == 2 * directions * BATCH * widths[int(pair.sender)]
        assert (scalar.kind, scalar.sender, scalar.receiver) == ("scalar", "server", pair.sender)
        assert scalar.floats == directions


def test_no_gradient_is_taken_and_the_modules_are_as_they_were(monkeypatch):
    parties, head = modules()
    before = [p.detach().clone() for m in (*parties, head) for p in m.parameters()]
    monkeypatch.setattr(torch.autograd, "grad", None)
    done = run(parties=parties, head=head)
    after = [p for m in (*parties, head) for p in m.parameters()]
    assert all(torch.equal(p, b) and p.grad is None for p, b in zip(after, before, strict=True))
    assert any(
        not torch.equal(v, p) for v, p in zip(done.head.values(), head.parameters(), strict=True)
    )
    head.load_state_dict(done.head)


def test_it_learns_without_noise_and_the_same_seed_is_the_same_run():
    test = data(400)
    done = run(DPZV(lr=0.1), data=data(600), epochs=8, test=test)
    accuracy = done.history["test_accuracy"]
    assert accuracy.iloc[-1] > 0.8 > accuracy.iloc[0]
    assert done.history["epsilon"].iloc[-1] == math.inf
    again, other = run(seed=3), run(seed=4)
    assert torch.equal(again.head["weight"], run(seed=3).head["weight"])
    assert not torch.equal(again.head["weight"], other.head["weight"])


def test_noise_has_the_planned_size_and_is_nobodys_to_repeat():
    """Slopes of 0 (a loss that does not depend on anything): what moves the head is noise."""
    spec = PrivacySpec(epsilon=1.0, delta=1e-3)
    method = DPZV(lr=1.0, privacy=spec)
    constant = lambda outputs, y: 0 * outputs.sum(1)  # noqa: E731
    given = {"loss": constant, "epochs": 60, "data": data(20), "batch_size": 20}
    done = run(method, **given)
    assert done.plan is not None
    size, steps = 8, 60
    _, head = modules()
    moved = torch.cat([
        (done.head[name] - p.detach()).flatten() for name, p in head.named_parameters()
    ])  # fmt: skip
    expected = done.plan.sigma * math.sqrt(steps * size)
    assert moved.norm() == pytest.approx(expected, rel=0.8)
    secure = [run(method, secure_noise=True, **given).head["weight"] for _ in range(2)]
    assert not torch.equal(*secure)
    spent = done.history["epsilon"]
    assert (spent.diff().dropna() > 0).all()
    assert spent.iloc[-1] == done.plan.epsilon


def test_one_example_moves_a_release_by_its_sensitivity_at_most():
    """Clipped example by example and divided by B, in a last batch that is short as well."""
    from overparam.federated.vertical.parties import Server

    huge = lambda outputs, y: 1e6 * outputs[:, 0] * (2 * y - 1)  # noqa: E731
    head = nn.Linear(1, 1)
    for rows in (torch.arange(BATCH), torch.arange(3)):
        released = []
        for replaced in (0, 1):
            y = torch.ones(N).long()
            y[0] = replaced
            server = Server(0, head, y, DPZV(clip=0.5), BATCH, 0.0, huge, 0, secure=False)
            server.receive([torch.zeros(N, 1)])
            pairs = torch.stack([torch.ones(len(rows), 1), -torch.ones(len(rows), 1)])
            released.append(float(server.answer(0, rows, pairs.detach()).detach()))
        assert abs(released[0] - released[1]) == pytest.approx(2 * 0.5 / BATCH, rel=1e-5)
        assert abs(released[1]) <= len(rows) * 0.5 / BATCH + 1e-6


def test_a_loss_that_is_not_finite_is_no_number_and_no_error():
    """Either would tell a party that there is such an example."""

    def of_some(outputs, y):
        each = nn.functional.cross_entropy(outputs, y, reduction="none")
        return torch.where(y == 1, torch.nan, each)

    done = run(DPZV(lr=0.1), loss=of_some)
    assert all(
        torch.isfinite(part).all() for part in (*done.head.values(), *done.parties[0].values())
    )
    _, head = modules()
    assert not torch.equal(done.head["weight"], head.weight)


def test_parties_have_precisions_of_their_own():
    (first, second), head = modules()
    x = data()
    mixed = VerticalData([x.parts[0].double(), x.parts[1].bfloat16()], x.y)
    parties = [first.double(), second.bfloat16()]
    done = run(parties=parties, head=head, data=mixed, test=mixed)
    kinds = [next(iter(part.values())).dtype for part in (*done.parties, done.head)]
    assert kinds == [torch.float64, torch.bfloat16, torch.float32]


def over_the_mean(outputs, y):
    """A number for each example that the others of its batch move."""
    each = nn.functional.cross_entropy(outputs, y, reduction="none")
    return each / each.mean()


X = torch.ones(4, 2)
REFUSED = {
    "lambda 0": lambda: DPZV(smoothing=0.0),
    "clip 0": lambda: DPZV(clip=0.0),
    "a rate of 0": lambda: DPZV(lr=0.0),
    "no direction": lambda: DPZV(directions=0),
    "an unknown kind": lambda: DPZV(kind="axis"),
    "epsilon 0": lambda: PrivacySpec(epsilon=0.0, delta=0.1),
    "delta 0": lambda: PrivacySpec(epsilon=1.0, delta=0.0),
    "delta 1": lambda: PrivacySpec(epsilon=1.0, delta=1.0),
    "an unknown convention": lambda: PrivacySpec(epsilon=1.0, delta=0.1, neighbouring="swap"),
    "the formula with amplification": lambda: PrivacySpec(
        epsilon=1.0, delta=0.1, noise="paper", amplification="poisson"
    ),
    "rows that differ": lambda: VerticalData([X, X[:3]], torch.zeros(4)),
    "no party": lambda: VerticalData([], torch.zeros(4)),
    "a column alone": lambda: VerticalData([X[:, 0]], torch.zeros(4)),
    "NaN": lambda: VerticalData([X * math.nan], torch.zeros(4)),
    "a party too few": lambda: run(parties=modules()[0][:1]),
    "batches larger than the data": lambda: run(batch_size=N + 1),
    "no batch": lambda: run(batch_size=0),
    "no epochs": lambda: run(epochs=0),
    "batch norm": lambda: run(
        parties=[nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), nn.Linear(3, 1)]
    ),
    "dropout": lambda: run(parties=[nn.Sequential(nn.Dropout(), nn.Linear(2, 2)), nn.Linear(3, 1)]),
    "batch norm in the head": lambda: run(head=nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))),
    "a head of other inputs": lambda: run(head=nn.Linear(9, 2)),
    "a mean loss": lambda: run(loss=nn.functional.cross_entropy),
    "a loss over a batch's mean": lambda: run(loss=over_the_mean),
    "a test of other columns": lambda: run(test=VerticalData([X], torch.zeros(4))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name):
    with pytest.raises((ValueError, TypeError), match="expected"):
        REFUSED[name]()


def test_modules_that_are_no_chain_do_the_same_one_by_one(monkeypatch):
    chained = run(DPZV(lr=0.1, directions=2))
    monkeypatch.setattr("overparam.federated.vertical.parties.stacked_layers", lambda *given: None)
    for name, value in run(DPZV(lr=0.1, directions=2)).head.items():
        # λ = 1e-3 makes of single precision's rounding a relative 1e-4 of a slope.
        torch.testing.assert_close(value, chained.head[name], rtol=1e-3, atol=1e-3)
