"""The mixture of losses and the gated stop, on losses made up to have a known answer."""

import math

import numpy as np
import pytest
import torch

from overparam.dynamics import CleanPriorityStop, loss_mixture


def two_groups(low=400, high=100, gap=2.0, seed=0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.concatenate(
        [
            0.3 + 0.1 * generator.standard_normal(low),
            0.3 + gap + 0.3 * generator.standard_normal(high),
        ]
    )


def test_mixture_finds_the_groups():
    found = loss_mixture(two_groups())
    assert found.weight == pytest.approx(0.2, abs=0.01)
    assert found.means == pytest.approx((0.3, 2.3), abs=0.1)
    assert found.suspects[:400].sum() == 0
    assert found.suspects[400:].all()


def test_mixture_does_not_depend_on_scale_or_order():
    losses = two_groups()
    order = np.random.default_rng(3).permutation(len(losses))
    first, second = loss_mixture(losses), loss_mixture(1000 * losses[order] + 5)
    np.testing.assert_allclose(second.posterior, first.posterior[order], atol=1e-6)


def test_posterior_never_falls_with_the_loss():
    losses = np.sort(np.concatenate([two_groups(), [-3.0, 9.0]]))
    assert (np.diff(loss_mixture(losses).posterior) >= -1e-12).all()


@pytest.mark.parametrize(
    "losses",
    [np.ones(100), np.full(100, math.nan), np.arange(5.0), np.array([]), np.zeros(100)],
    ids=["equal", "unknown", "few", "none", "zero"],
)
def test_what_does_not_split_is_an_error(losses):
    with pytest.raises(ValueError, match=r"`loss_mixture\(losses=...\)` expected"):
        loss_mixture(losses)


def test_unknown_losses_stay_unknown():
    losses = two_groups()
    losses[::7] = math.nan
    found = loss_mixture(losses)
    assert np.isnan(found.posterior[::7]).all()
    assert not np.isnan(found.posterior[1]).any()


def test_mixture_on_more_samples_than_it_fits():
    found = loss_mixture(np.tile(two_groups(), 50))
    assert found.weight == pytest.approx(0.2, abs=0.02)


def feed(signal: CleanPriorityStop, suspect_losses: list[float], **extra):
    averaged = two_groups()
    suspects = averaged > 1
    return [
        signal.update(averaged, np.where(suspects, loss, 0.1), **extra) for loss in suspect_losses
    ]


def test_arms_above_chance_and_stops_after_a_fall():
    chance = math.log(10)
    signals = feed(
        CleanPriorityStop(10), [chance, 1.2 * chance, 1.3 * chance, 1.28 * chance, chance]
    )
    assert [s.armed for s in signals] == [False, True, True, True, True]
    assert [s.stop for s in signals] == [False, False, False, False, True]
    assert signals[0].n_suspects == 100
    assert signals[0].noise_rate == pytest.approx(0.2)


def test_the_first_epoch_and_a_few_hard_samples_do_not_arm():
    first, second = feed(CleanPriorityStop(10), [3.0, 3.0])
    assert (first.armed, second.armed) == (False, True)
    assert not feed(CleanPriorityStop(10, least_suspects=0.25), [3.0, 3.0])[1].armed


def test_with_a_random_share_it_decides():
    # Suspects' losses far above chance, as on clean MNIST, do not arm without random labels.
    hard = feed(CleanPriorityStop(10), [3.0] * 4, random_share=0.004)
    assert not any(s.armed for s in hard)
    assert hard[-1].noise_rate == pytest.approx(0.004)

    # Nor do suspects of which few look random: 100 of 500 here, against 5 %.
    assert not any(s.armed for s in feed(CleanPriorityStop(10), [3.0] * 4, random_share=0.05))

    # The share stops it, not the losses, and the estimate is the largest since arming.
    signal, seen = CleanPriorityStop(10), []
    # It starts anew in the third epoch, where the loss still rises.
    for loss, share in ((2.3, 0.9), (2.9, 0.3), (3.0, 0.2), (2.7, 0.21), (2.6, 0.19), (2.6, 0.15)):
        seen += feed(signal, [loss], random_share=share)
    assert [s.armed for s in seen] == [False, *[True] * 5]
    assert [s.stop for s in seen] == [*[False] * 5, True]
    assert seen[-1].noise_rate == pytest.approx(0.3)


def test_a_regression_is_never_armed():
    assert not any(s.armed for s in feed(CleanPriorityStop(None), [3.0, 1e6, 1.0]))


def test_step_averages_over_the_epochs_in_which_a_sample_was_seen():
    by_step, by_update = CleanPriorityStop(2), CleanPriorityStop(2)
    epochs = np.random.default_rng(0).gamma(1.0, size=(5, 200))
    epochs[1, ::3] = epochs[2, 1::5] = math.nan
    epochs[:, 7] = math.nan
    for t in range(5):
        seen = epochs[: t + 1]
        counts = np.isfinite(seen).sum(0)
        means = np.where(counts > 0, np.nansum(seen, 0) / np.maximum(counts, 1), math.nan)
        found = by_step.step(epochs[t])
        assert repr(found) == repr(by_update.update(means, epochs[t]))  # NaN is not itself


def test_step_refuses_another_number_of_samples():
    signal = CleanPriorityStop(2)
    signal.step(np.ones(5))
    with pytest.raises(ValueError, match=r"CleanPriorityStop.step\(losses=...\)"):
        signal.step(np.ones(6))


def test_a_step_goes_on_from_a_file(tmp_path):
    chance, noisy = math.log(2), two_groups() > 1
    signal, copy = CleanPriorityStop(2), CleanPriorityStop(2)
    for factor in (1.0, 1.5):
        signal.step(np.where(noisy, factor * chance, 0.1))
    torch.save(signal.state_dict(), tmp_path / "stop.pt")
    copy.load_state_dict(torch.load(tmp_path / "stop.pt", weights_only=True))
    losses = np.where(noisy, 1.2 * chance, 0.1)
    found = copy.step(losses)
    assert repr(found) == repr(signal.step(losses))
    assert found.stop


def test_stop_stays():
    chance = math.log(10)
    signals = feed(CleanPriorityStop(10), [1.0, 1.3 * chance, chance, 2 * chance])
    assert [s.stop for s in signals] == [False, False, True, True]


def test_abstains_below_chance_whatever_the_ratio():
    signals = feed(CleanPriorityStop(10), [1.0, 2.3, 0.5, 0.1], rho=0.5)
    assert not any(s.armed or s.stop for s in signals)


def test_the_gradient_ratio_stops_earlier():
    chance = math.log(10)
    signal = CleanPriorityStop(10)
    assert not feed(signal, [1.0, 1.3 * chance], rho=1.2)[1].stop
    assert feed(signal, [1.3 * chance], rho=0.9)[0].stop


def test_without_groups_it_is_not_armed():
    found = CleanPriorityStop(10).update(np.ones(50), np.full(50, 9.0))
    assert (found.armed, found.stop) == (False, False)
    assert math.isnan(found.suspect_loss)
    assert math.isnan(found.noise_rate)


def test_suspects_not_seen_in_the_epoch_change_nothing():
    signal = CleanPriorityStop(10)
    feed(signal, [1.0, 3.0])
    found = signal.update(two_groups(), np.full(500, math.nan))
    assert found.armed
    assert not found.stop


def test_state_goes_on():
    chance = math.log(10)
    signal, copy = CleanPriorityStop(10), CleanPriorityStop(10)
    feed(signal, [1.0, 1.3 * chance])
    copy.load_state_dict(signal.state_dict())
    assert repr(feed(copy, [1.1 * chance])) == repr(feed(signal, [1.1 * chance]))


@pytest.mark.parametrize(
    ("arguments", "where"),
    [({"n_classes": 1}, "n_classes"), ({"n_classes": 2, "arm": 0.9}, "arm"),
     ({"n_classes": 2, "fall": 1.0}, "fall"),
     ({"n_classes": 2, "loss_fall": 0.0}, "loss_fall"),
     ({"n_classes": 2, "least": 1.0}, "least"),
     ({"n_classes": 2, "least_suspects": -0.1}, "least_suspects")],
)  # fmt: skip
def test_bad_arguments(arguments, where):
    with pytest.raises(ValueError, match=rf"CleanPriorityStop\({where}=...\)"):
        CleanPriorityStop(**arguments)
