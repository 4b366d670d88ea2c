"""A monitor's gradient noise: against single examples' gradients, and where it cannot apply."""

import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from overparam.dynamics import Monitor
from overparam.dynamics.probes import GradientNoise
from overparam.optim import noise_scale

CE = nn.functional.cross_entropy


def data(n: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, generator=draw, dtype=torch.float64)
    return x, x[:, :3].argmax(1)


def network(*, norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    middle = [nn.BatchNorm1d(6)] if norm else []
    return nn.Sequential(nn.Linear(4, 6), *middle, nn.Tanh(), nn.Linear(6, 3)).double()


def watched(model, batches, loss=CE, **options):
    """A monitor of a run that moves nothing, and what was warned of."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    probes = options.pop("probes", None) or [GradientNoise()]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor = Monitor(model, loss, optimizer, probes=probes, max_overhead=math.inf, **options)
        for batch in batches:
            optimizer.zero_grad()
            sum(p.square().sum() for p in model.parameters()).backward()
            monitor.step(1.0, batch=batch)
            optimizer.step()
    return monitor, [str(w.message) for w in caught]


def drawn(n: int, size: int, times: int) -> list[tuple[Tensor, Tensor]]:
    x, y = data(n)
    draw = torch.Generator().manual_seed(1)
    index = torch.randint(n, (times, size), generator=draw)
    return [(x[i], y[i]) for i in index]


def of_examples(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    rows = []
    for a, b in zip(x, y, strict=True):
        grads = torch.autograd.grad(CE(model(a[None]), b[None]), list(model.parameters()))
        rows.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(rows)


@pytest.mark.parametrize(("size", "least"), [(6, 1), (64, 16)])
def test_it_is_that_of_single_examples(size: int, least: int) -> None:
    model = network()
    monitor, said = watched(model, drawn(40, size, 150), probes=[GradientNoise(least=least)])
    assert said == []
    columns = monitor.record.series()
    rows = of_examples(model, *data(40))
    mean = rows.mean(0)
    truth = float(mean @ mean), float((rows - mean).square().sum(1).mean())
    for name, true in zip(("gradient_signal", "gradient_noise"), truth, strict=True):
        values = torch.tensor(columns[name]["value"], dtype=torch.float64)
        assert len(values) == 150
        error = float(values.std()) / math.sqrt(len(values))
        assert abs(float(values.mean()) - true) < 4 * error
    pooled = noise_scale(*(columns[n]["value"] for n in ("gradient_signal", "gradient_noise")))
    assert pooled.low < truth[1] / truth[0] < pooled.high
    assert pooled.high < 4 * pooled.low


def test_the_scale_is_of_the_last_measurements_and_absent_where_it_is_not_known() -> None:
    monitor, _ = watched(network(), drawn(40, 32, 20))
    columns = monitor.record.series()
    assert columns["noise_scale_low"]["step"][0] == 3  # from the fourth measurement on
    last = noise_scale(*(
        columns[name]["value"][-16:] for name in ("gradient_signal", "gradient_noise")
    ))  # fmt: skip
    assert columns["noise_scale"]["value"][-1] == last.scale
    assert columns["noise_scale_high"]["value"][-1] == last.high

    class Nothing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3).double())

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight

    draw = torch.Generator().manual_seed(2)
    batches = [
        (torch.randn(8, 3, generator=draw, dtype=torch.float64), torch.zeros(8)) for _ in range(12)
    ]
    monitor, said = watched(Nothing(), batches, lambda f, y: f.mean())
    columns = monitor.record.series()
    assert said == []
    assert "noise_scale" not in columns
    assert columns["noise_scale_low"]["value"][-1] > 0


def test_parts_are_of_sixteen_examples_or_halves_each_with_its_statistics() -> None:
    from overparam.optim.gradient_noise import equal_parts, gradient, signal_and_noise

    for size, k in ((64, 4), (20, 2)):
        model = network(norm=True)
        (batch,) = drawn(40, size, 1)
        monitor, _ = watched(model, [batch])
        x, y = batch
        with torch.random.fork_rng():
            torch.manual_seed(0)
            pieces = equal_parts(torch.randperm(size), k)
        model.train()
        params = list(model.parameters())
        by_hand = signal_and_noise(
            (gradient(model, params, x[i], y[i], CE) for i in pieces), size // k
        )
        columns = monitor.record.series()
        found = [columns[n]["value"][0] for n in ("gradient_signal", "gradient_noise")]
        assert found == pytest.approx(by_hand, rel=1e-9)


def test_batches_of_one_example_are_said_to_be_too_small() -> None:
    monitor, said = watched(network(), drawn(40, 1, 5))
    assert said == []
    (status,) = monitor.status()
    assert status.status == "does not apply: batches of one example"
    # A short last batch is none.
    monitor, _ = watched(network(), [*drawn(40, 8, 2), *drawn(40, 1, 1), *drawn(40, 8, 2)])
    (status,) = monitor.status()
    assert (status.status, status.times) == ("measures", 4)


def test_a_loss_that_knows_its_whole_batch_is_no_reason_for_a_warning() -> None:
    weights = torch.ones(16).double()
    monitor, said = watched(
        network(), drawn(40, 16, 3), lambda f, y: (CE(f, y, reduction="none") * weights).mean()
    )
    assert said == []
    (status,) = monitor.status()
    assert status.status.startswith("does not apply: a part of the batch gives RuntimeError")


def test_nested_batches_and_forward() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, *, a: Tensor, b: Tensor) -> tuple[Tensor, int]:
            return self.inner(torch.cat([a, b], 1)), 7

    plain, _ = watched(network(), drawn(40, 32, 6))
    nested = [({"a": x[:, :1], "b": x[:, 1:]}, y) for x, y in drawn(40, 32, 6)]
    monitor, said = watched(Two(), nested, forward=lambda model, x: model(**x)[0])
    assert said == []
    for name in ("gradient_noise", "noise_scale_low"):
        expected = plain.record.series()[name]["value"]
        assert monitor.record.series()[name]["value"] == pytest.approx(expected, rel=1e-9)


def test_a_saved_state_goes_on() -> None:
    batches = drawn(40, 32, 10)
    through, _ = watched(network(), batches)
    first, _ = watched(network(), batches[:6])
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    second = Monitor(model, CE, optimizer, probes=[GradientNoise()], max_overhead=math.inf)
    second.load_state_dict(first.state_dict())
    for batch in batches[6:]:
        sum(p.square().sum() for p in model.parameters()).backward()
        second.step(1.0, batch=batch)
    for name in ("gradient_signal", "noise_scale", "noise_scale_low"):
        expected = through.record.series()[name]["value"]
        assert second.record.series()[name]["value"] == expected


@pytest.mark.parametrize(
    ("noises", "said"),
    [
        ([1.0, 1.0, 1.0], "it takes 4 measurements"),
        ([9.0, 1.0, 1.0, 1.0], "one measurement outweighs all others together"),
        ([1.0, 1.0, 1.0, 1.0], "the signal cannot be told from zero"),
    ],
)
def test_why_there_is_no_noise_scale_is_what_holds_of_the_measurements(noises, said):
    probe = GradientNoise()
    probe._pairs.extend((-2.0, noise) for noise in noises)
    assert probe._pooled() == {}
    assert probe.lacking(["noise_scale_low"]) == said
