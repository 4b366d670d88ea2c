"""Spikes: the counter on made-up losses, and the rule on twelve spikes of known cause."""

import math

import pytest
import torch
from torch import Tensor, nn

from overparam.dynamics import CatapultCounter, Spike, SpikeClassifier, spectral_loss_split
from overparam.dynamics.spikes.detector import Detector
from overparam.optim.stability import stability


def phases(counter: CatapultCounter, losses) -> list[str]:
    return [counter.update(float(loss)) for loss in losses]


def test_a_falling_loss_is_quiet():
    counter = CatapultCounter()
    assert set(phases(counter, [0.9**t for t in range(100)])) == {"quiet"}
    assert counter.count == 0


def test_a_rise_is_counted_once_and_measured():
    counter = CatapultCounter()
    found = phases(counter, [1, 0.5, 1.01, 4, 2, 0.7, 0.59, 0.5])
    assert found == ["quiet", "quiet", "opened", "open", "open", "open", "closed", "quiet"]
    assert (counter.count, counter.level, counter.peak, counter.length) == (1, 0.5, 4, 4)


def test_two_rises_are_two():
    counter = CatapultCounter()
    phases(counter, [1, 3, 1, 1, 3, 1])
    assert counter.count == 2


def test_the_minimum_forgets_what_left_the_window():
    short, long = CatapultCounter(window=3), CatapultCounter(window=10)
    drift = [1, 1.4, 1.7, 1.9, 2.3]
    phases(short, drift)
    phases(long, drift)
    assert (short.count, long.count) == (0, 1)


def test_below_the_floor_nothing_opens():
    counter = CatapultCounter(floor=0.1)
    phases(counter, [1.0, 1e-3, 0.09, 1e-3, 0.2])
    assert counter.count == 1


def test_a_rise_from_an_exact_zero_is_over_at_what_never_opens_one():
    losses = [1, 0, 0, 0.5, 0.2, 0, 0]
    counter = CatapultCounter(floor=0.05)
    told = ["quiet", "quiet", "quiet", "opened", "open", "closed", "quiet"]
    assert phases(counter, losses) == told
    assert (counter.level, counter.count) == (0, 1)
    detector = Detector(10)
    told = [detector.update(loss) for loss in [1.0, *[0.0] * 12, 0.5, *[0.0] * 3]]
    assert told.count("opened") == 1
    assert told[-1] == "quiet"
    assert detector.peak_ratio == math.inf


def test_noise_of_mini_batches_does_not_open():
    losses = torch.rand(2000, generator=torch.Generator().manual_seed(0)) + 0.3
    strict, tolerant = CatapultCounter(), CatapultCounter(noise=4)
    phases(strict, losses)
    phases(tolerant, losses)
    assert strict.count > 20
    assert tolerant.count == 0
    assert phases(tolerant, [20.0]) == ["opened"]


@pytest.mark.parametrize("last", [math.nan, math.inf, 2e6])
def test_what_does_not_come_back_is_lost(last):
    assert phases(CatapultCounter(), [1, 5, last]) == ["quiet", "opened", "lost"]


def test_patience_ends_and_counting_starts_afresh():
    counter = CatapultCounter(patience=3)
    assert phases(counter, [1, 5, 5, 5, 5, 5, 11])[4:] == ["lost", "quiet", "opened"]


@pytest.mark.parametrize(
    "block", [[1.0, 0.9, 1.5], [1.0, 0.4, 0.9], [1.0, 3.0, 1.0], [1.0, math.nan], [9.0]]
)
def test_a_block_is_as_its_losses(block):
    one, other = CatapultCounter(window=4), CatapultCounter(window=4)
    phases(one, [1.2, 1.1])
    phases(other, [1.2, 1.1])
    expected = phases(one, block)
    if other.quiet(block):
        assert set(expected) == {"quiet"}
        assert other.state_dict() == one.state_dict()
    else:
        assert len(other.recent) == 2
    assert CatapultCounter().quiet(block) is False


def test_state_goes_on():
    losses = [1, 0.5, 3, 9, 2, 0.5, 4]
    whole, half, rest = CatapultCounter(), CatapultCounter(), CatapultCounter()
    expected = phases(whole, losses)
    phases(half, losses[:3])
    rest.load_state_dict(half.state_dict())
    assert phases(rest, losses[3:]) == expected[3:]
    assert rest.state_dict() == whole.state_dict()


@pytest.mark.parametrize("change", [{"phases": 3}, {"level": None}])
def test_a_state_of_something_else_changes_nothing(change):
    counter = CatapultCounter()
    phases(counter, [1, 0.5])
    before = counter.state_dict()
    state = {key: value for key, value in before.items() if key not in change}
    state |= {key: value for key, value in change.items() if value is not None}
    with pytest.raises(ValueError, match=r"CatapultCounter.load_state_dict\(state\)"):
        counter.load_state_dict(state)
    assert counter.state_dict() == before


@pytest.mark.parametrize(
    "arguments",
    [{"window": 0}, {"rise": 1.0}, {"close": 3.0}, {"floor": -1.0}, {"noise": -1.0},
     {"patience": 0}, {"divergence": 1.5}],
)  # fmt: skip
def test_bad_arguments(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"CatapultCounter\({name}=...\)"):
        CatapultCounter(**arguments)


CATAPULT = {
    "ratio_before": 1.3, "top_share": 0.99, "sharpness_before": 10.0, "sharpness_after": 5.0,
    "steps_to_recover": 9,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ({}, "catapult", "stability ratio 1.3"),
        ({"ratio_before": 1.0}, "unexplained", "stability ratio 1"),
        ({"top_share": 0.94}, "unexplained", "spectral share 0.94"),
        ({"sharpness_after": 9.6}, "unexplained", "sharpness kept 0.96"),
        ({"ratio_before": math.nan}, "unexplained", "not measured: stability ratio"),
        ({"ratio_before": math.nan, "top_share": 0.5}, "unexplained", "spectral share 0.5"),
        ({"sharpness_after": math.nan, "top_share": math.nan}, "unexplained", "share, sharpness"),
        ({"sharpness_before": 0.0, "sharpness_after": 0.0}, "unexplained", "sharpness kept"),
        ({"top_share": 0.4, "quadratic": False}, "catapult", "stability ratio"),
        ({"probe_rise": 1.01}, "bad batch", "did not rise"),
        ({"ratio_before": 0.5, "batch_share": 0.9}, "bad batch", "90% of the rise shows at"),
        ({"diverged": True}, "divergence", "did not come back"),
        ({"finite": False, "diverged": True}, "non-finite", "NaN"),
    ],
)
def test_rule(change, kind, reason):
    event = SpikeClassifier().classify(Spike(step=3, **(CATAPULT | change)))
    assert event.kind == kind
    assert reason in event.reason
    assert event.step == 3


def test_an_event_is_plain_data():
    plain = SpikeClassifier().classify(Spike(step=3, ids=(1, 2))).to_dict()
    assert plain["ids"] == [1, 2]
    assert plain["ratio_before"] is None
    assert plain["kind"] == "unexplained"


class TwoLayer(nn.Module):
    """Two-layer ReLU network in the tangent-kernel parametrisation."""

    def __init__(self, d: int, m: int, generator: torch.Generator) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.randn(m, d, generator=generator))
        self.v = nn.Parameter(torch.randn(m, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.u.T).relu() @ self.v / math.sqrt(self.u.numel())


def spike_of(cause: str, seed: int) -> Spike:
    """What is measured of one spike: y = x₁x₂ in 30 dimensions, n = 256, full batch.

    Twenty steps at half the critical rate; then 1.4 or 2.6 times it, or one step on 32 examples
    with labels of deviation 10 or inputs eight times as large.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(256, 30, generator=generator)
    y = x[:, 0] * x[:, 1]
    model = TwoLayer(30, 512, generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    mse = nn.functional.mse_loss

    def step(inputs: Tensor, targets: Tensor) -> None:
        optimizer.zero_grad()
        loss = mse(model(inputs), targets)
        loss.backward()
        optimizer.step()

    def measure(products: int = 6):
        return stability(model, x, y, mse, optimizer, products=products)

    optimizer.param_groups[0]["lr"] = 0.5 * measure().critical_learning_rate
    for _ in range(20):
        step(x, y)
    factor = {"catapult": 1.4, "divergence": 2.6}.get(cause, 0.5)
    before, split = measure(), spectral_loss_split(model, x, y, 5)
    optimizer.param_groups[0]["lr"] = factor * before.critical_learning_rate
    ratio = measure().ratio
    some = torch.randperm(256, generator=generator)[:32]
    batch = {"labels": (x[some], 10 * torch.randn(32, generator=generator)),
             "inputs": (8 * x[some], y[some])}.get(cause, (x, y))  # fmt: skip
    unusual = mse(model(batch[0]), batch[1]).item() / split.total
    if batch[0] is not x:
        step(*batch)
    counter, peak = CatapultCounter(), split
    counter.update(split.total)
    for _ in range(200):
        loss = mse(model(x), y).item()
        if counter.update(loss) in ("closed", "lost"):
            break
        if loss > 1.5 * peak.total:
            peak = spectral_loss_split(model, x, y, 5)
        step(x, y)
    assert counter.count == 1
    lost = counter.length == 0 or not loss < 1.2 * counter.level
    return Spike(
        step=20,
        peak_ratio=counter.peak / counter.level,
        steps_to_recover=None if lost else counter.length,
        ratio_before=ratio,
        top_share=peak.share_of_rise(split),
        probe_rise=peak.total / split.total,
        sharpness_before=before.sharpness,
        sharpness_after=math.nan if lost else measure().sharpness,
        diverged=lost,
        # No step has been taken since the loss was normal: what the batch shows is its own.
        batch_share=float(unusual > 2),
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("cause", "kind"),
    [("catapult", "catapult"), ("labels", "bad batch"), ("inputs", "bad batch"),
     ("divergence", "divergence")],
)  # fmt: skip
def test_rule_on_spikes_of_known_cause(cause, kind, seed):
    spike = spike_of(cause, seed)
    assert spike.peak_ratio > 2
    assert SpikeClassifier().classify(spike).kind == kind
    if cause == "catapult":
        assert spike.top_share > 0.98
    elif kind == "bad batch":
        assert spike.ratio_before < 0.6


def test_one_hard_batch_is_taken_back_and_a_lasting_rise_is_not():
    generator = torch.Generator().manual_seed(0)
    calm = (0.1 + 0.01 * torch.rand(30, generator=generator)).tolist()
    counter = CatapultCounter(noise=4)
    assert phases(counter, [1.0, *calm, 0.4, 0.1])[-2:] == ["opened", "dismissed"]
    assert counter.count == 0
    assert phases(counter, [*calm, 0.4, 0.5, 0.4, 0.3, 0.1])[-1] == "closed"
    assert phases(counter, [*calm, 0.9, 0.1])[-1] == "closed"
    assert counter.count == 2
