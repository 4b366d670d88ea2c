"""The surrogate: what it predicts, how it judges itself, what it responds to."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from overparam.battery import CoatingProcess, Surrogate, inverse_design
from overparam.battery.effects import effects
from overparam.battery.gaussian_process import matern_process
from overparam.battery.sampling import sampled_designs

PROCESS = CoatingProcess()
WIDTHS = np.array([high - low for low, high in PROCESS.bounds.values()])


def smooth(x):
    """Two objectives that a process of three parameters might have."""
    scaled = (x - [low for low, _ in PROCESS.bounds.values()]) / WIDTHS
    a, s, c = scaled.T
    return np.stack([2 + a + s**2 - (c - 0.7) ** 2, 9 + 2 * a - s - (c - 0.4) ** 2], 1)


@pytest.fixture(scope="module")
def designs():
    return sampled_designs(PROCESS, 40)


@pytest.fixture(scope="module")
def fitted(designs):
    return Surrogate(PROCESS.bounds, ["energy", "power"]).fit(designs, smooth(designs))


def test_it_predicts_what_it_has_not_seen_and_says_how_well(fitted):
    others = sampled_designs(PROCESS, 60, seed=1)
    off = np.abs(fitted.predict(others) / smooth(others) - 1)
    assert off.max() < 0.01
    for quality in fitted.quality.values():
        assert quality.r2 > 0.99
        assert quality.error <= quality.worst < 0.05
    assert (fitted.uncertainty(others) >= 0).all()


def test_it_is_deterministic(fitted, designs):
    again = Surrogate(PROCESS.bounds, ["energy", "power"]).fit(designs, smooth(designs))
    np.testing.assert_array_equal(again.predict(designs), fitted.predict(designs))
    assert again.quality == fitted.quality


@pytest.mark.parametrize("seed", range(3))
def test_its_likelihood_and_slopes_are_those_of_scikit_learn(designs, seed):
    """Both factor a matrix of condition κ: its errors are of the order of κ ε, relatively."""
    model = matern_process(3, 0)
    kernel = model.kernel
    draw = np.random.default_rng(seed)
    theta = draw.uniform(*kernel.bounds.T)
    model.set_params(optimizer=None).fit(designs / WIDTHS, smooth(designs)[:, 0])
    plain = super(type(model), model).log_marginal_likelihood
    condition = np.linalg.cond(kernel.clone_with_theta(theta)(designs / WIDTHS))
    rounding = 100 * condition * np.finfo(float).eps
    for ours, theirs in zip(
        model.log_marginal_likelihood(theta, eval_gradient=True),
        plain(theta, eval_gradient=True),
        strict=True,
    ):
        np.testing.assert_allclose(
            ours, theirs, rtol=rounding, atol=rounding * np.abs(theirs).max()
        )
    assert model.log_marginal_likelihood() == plain()


def test_of_numbers_dealt_at_random_it_says_that_it_explains_nothing(designs):
    dealt = np.random.default_rng(0).permutation(smooth(designs))
    nothing = Surrogate(PROCESS.bounds, ["energy", "power"]).fit(designs, dealt)
    assert max(quality.r2 for quality in nothing.quality.values()) < 0.5


def test_slopes_and_their_outer_products_are_those_of_a_known_function(designs):
    """A linear model of a linear function has one slope everywhere."""
    slopes = np.array([[3.0, -1.0, 0.5], [0.0, 2.0, 0.0]])
    values = (designs / WIDTHS) @ slopes.T
    linear = Surrogate(PROCESS.bounds, ["energy", "power"], LinearRegression())
    linear.fit(designs, values)
    found = linear.gradients(designs[:4])
    np.testing.assert_allclose(found, np.broadcast_to(slopes, (4, 2, 3)), atol=1e-8)
    outer = slopes[:, :, None] * slopes[:, None]
    np.testing.assert_allclose(linear.agop(designs), outer, atol=1e-8)
    assert np.isnan(linear.uncertainty(designs)).all()


def test_slopes_of_the_gaussian_process_are_those_of_the_function(fitted, designs):
    step = 1e-5
    moved = smooth(designs + step * WIDTHS[2] * np.eye(3)[2])
    back = smooth(designs - step * WIDTHS[2] * np.eye(3)[2])
    wanted = (moved - back) / (2 * step)
    np.testing.assert_allclose(fitted.gradients(designs)[:, :, 2], wanted, atol=0.05)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.ones((9, 3)), np.ones((9, 2)), "at least 10 designs"),
        (np.ones((20, 3)), np.full((20, 2), np.nan), "finite numbers"),
    ],
)
def test_too_few_designs_or_numbers_are_refused(x, y, words):
    with pytest.raises(ValueError, match=words):
        Surrogate(PROCESS.bounds, ["energy", "power"]).fit(x, y)


def test_effects_say_which_parameter_and_which_way(fitted, designs):
    found = effects(fitted, PROCESS, designs)
    for entry in found["importance"].values():
        assert entry["names"] == list(PROCESS.bounds)
        assert sum(entry["share"]) == pytest.approx(1)
    power = found["importance"]["power"]["share"]
    assert power[0] == max(power)  # its slope is 2, the others' squares average less
    by_name = {row["parameter"]: row for row in found["dependence"]}
    rising = np.array(by_name["active_material"]["y"]["power"])
    assert (np.diff(rising) > 0).all()
    pressed = by_name["calendering"]
    best = pressed["x"][np.nanargmax(pressed["y"]["power"])]
    assert best == pytest.approx(0.4 * 0.45, abs=0.03)


def test_parameters_for_what_is_wanted_give_it(fitted):
    aim = smooth(np.array([[0.95, 0.6, 0.25]]))[0]
    found = inverse_design(fitted, PROCESS, {"energy": aim[0], "power": aim[1]})
    assert found.reached
    assert found.distance < 1e-4
    design = np.array([list(found.parameters.values())])
    np.testing.assert_allclose(smooth(design)[0], aim, rtol=0.01)
    assert found.structure.porosity >= PROCESS.smallest_porosity
    assert found.uncertainty.keys() == {"energy", "power"}


def test_what_cannot_be_had_is_said_and_the_nearest_given(fitted):
    found = inverse_design(fitted, PROCESS, {"energy": 100.0})
    assert not found.reached
    assert found.predicted["energy"] > 3


@pytest.mark.parametrize("wanted", [{"enrgy": 1.0}, {"energy": -1.0}, {"energy": np.nan}, {}])
def test_a_wish_that_makes_no_sense_is_refused(fitted, wanted):
    with pytest.raises(ValueError, match="inverse_design"):
        inverse_design(fitted, PROCESS, wanted)
