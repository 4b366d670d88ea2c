"""What a monitor sees inside its budget, and what it says of the rest."""

import math
import warnings

import pytest
import torch
from torch import nn

from overparam.dynamics import Monitor
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.portion import Portion
from overparam.dynamics.probes import (
    GradientNoise,
    InputGradients,
    KernelChange,
    LossSplit,
    Norms,
    Probe,
    Sharpness,
    sharpness,
)
from overparam.optim.stability import stability

MSE, CE = nn.functional.mse_loss, nn.functional.cross_entropy
STEP = 0.016


class Clock:
    """Seconds under the test's control."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Sham(Probe):
    """A probe that takes time and does nothing: some of it fixed, the rest for its work."""

    def __init__(self, clock, name, share, within, whole, fixed=0.0):
        self.clock, self.name, self.keys = clock, name, (name,)
        self.share, self.within, self.passive = share, within, True
        self.whole, self.fixed, self.parts = whole, fixed, []

    def measure(self, scene):
        self.clock.now += STEP * (self.fixed + self.whole * scene.part)
        self.parts.append(scene.part)
        return {self.name: 1.0}

    def relative_cost(self, scene):
        return 2.0 * self.whole * scene.part


def watch(probes, clock, steps, limit=0.05):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, probes=probes, max_overhead=limit, clock=clock)
    for _ in range(steps):
        monitor.step(1.0)
        clock.now += STEP
    return monitor


def test_everything_comes_round_in_1500_steps_of_16_ms():
    """Costs in training steps as networks of that size have them, dear probes at full size."""
    clock = Clock()
    probes = [
        Sham(clock, "norms", Norms.share, Norms.within, 0.0, fixed=0.15),
        Sham(clock, "sharpness", Sharpness.share, Sharpness.within, 2.2, fixed=0.2),
        Sham(clock, "loss split", 1.0, 250, 10.0, fixed=0.3),
        Sham(clock, "batch critical rate", sharpness.BatchCriticalRate.share, 250, 2.5),
        Sham(clock, "kernel change", 1.0, 250, 20.0, fixed=0.3),
        Sham(clock, "input gradients", 1.0, 250, 7.0, fixed=0.1),
        Sham(clock, "gradient noise", GradientNoise.share, GradientNoise.within, 1.5, fixed=0.5),
    ]
    monitor = watch(probes, clock, 1500)
    times = {status.name: status.times for status in monitor.status()}
    assert times["norms"] >= 50
    assert times["sharpness"] >= 15
    assert min(times.values()) >= 5
    assert monitor.overhead <= 0.05
    # Dear ones were asked for less, and seldom for another part, so that numbers compare.
    assert 1 / 16 <= probes[4].parts[-1] <= 1 / 4
    assert len(set(probes[4].parts)) <= 3


def test_the_trial_of_a_batch_is_inside_the_budget_too():
    """It takes a forward pass, which a run of few steps may not afford."""
    clock = Clock()

    class Slow(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x):
            clock.now += STEP / 3
            return self.layer(x)

    model, x, y = Slow(), torch.ones(4, 2), torch.ones(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, clock=clock)
    parts = []
    for step in range(400):
        clock.now += STEP
        monitor.step(1.0, batch=(x, y))
        parts.append(monitor.budget.own / (STEP * max(step, 30)))
    # The first runs included, whose costs are not known: every pass takes as long as that of a
    # batch here, however few examples are in it. Of what thirty steps grant a first look is had.
    assert max(parts) <= 0.05
    assert monitor.history["sharpness"].notna().any()


class Passes(nn.Module):
    """A model whose passes forward take a third of a step."""

    def __init__(self, clock):
        super().__init__()
        self.layer, self.clock = nn.Linear(2, 1), clock

    def forward(self, x):
        self.clock.now += STEP / 3
        return self.layer(x)


def test_a_run_of_many_rises_is_measured_nonetheless():
    """To explain each of them would take more than there is, and leave nothing for the rest."""
    clock = Clock()
    probes = [
        Sham(clock, "norms", Norms.share, Norms.within, 0.0, fixed=0.15),
        Sham(clock, "sharpness", Sharpness.share, Sharpness.within, 2.2, fixed=0.2),
        Sham(clock, "kernel change", 1.0, 250, 20.0, fixed=0.3),
    ]
    model, x, y = Passes(clock), torch.ones(4, 2), torch.ones(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, probes=probes, clock=clock)
    for step in range(1500):
        clock.now += STEP
        monitor.step(3.0 if step % 45 == 44 else 1 + 0.02 * (step * 7 % 5), batch=(x, y))
    times = {status.name: status.times for status in monitor.status()}
    assert len(monitor.events) > 20
    assert times["norms"] >= 50
    assert times["sharpness"] >= 15
    assert times["kernel change"] >= 5
    assert monitor.overhead <= 0.05
    # The first ones are looked into, and later ones now and then.
    assert 0 < monitor.budget.borrowed <= 0.025 * monitor.budget.training
    # A batch was passed at every step: that there was no time for it is said of the others.
    assert {one for event in monitor.events for one in event.missing} >= {"time"}
    assert all("batch" not in event.missing for event in monitor.events)


def test_a_short_run_is_looked_at_once_and_pays_for_it():
    """Of two steps, which 5 % of forty are: cheap probes come at once, dear ones do not."""
    clock = Clock()
    probes = [
        Sham(clock, "norms", 1.5, 25, 0.0, fixed=0.15),
        Sham(clock, "sharpness", 3.0, 75, 0.2, fixed=0.2),
        Sham(clock, "kernel change", 1.0, 250, 40.0, fixed=0.3),
    ]
    monitor = watch(probes, clock, 40)
    norms, sharpness, change = (status.times for status in monitor.status())
    assert min(norms, sharpness) >= 1
    assert change == 0
    assert (monitor.history[["norms", "sharpness"]].notna().idxmax() <= 3).all()
    assert monitor.overhead <= 0.05


def test_the_overhead_of_a_short_run_is_not_that_of_its_first_look():
    """After some steps nobody looks for hundreds; a run that ends before has taken longer."""
    clock, step = Clock(), 1e-4
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, clock=clock)
    looks = 0
    for at in range(160):
        monitor.step(1.0)
        looks += monitor._seen == at + 1
        clock.now += step
        if monitor._seen == at + 1:
            monitor.budget.own += step  # each look takes as long as a step
    assert looks < 40
    assert monitor.overhead == pytest.approx(looks / 160, rel=0.1)
    assert monitor.budget.overhead > 2 * monitor.overhead
    assert "overhead 5.0 % of 5 %" in monitor.summary()
    assert monitor._facts().step_seconds == pytest.approx(step)


def test_what_the_books_take_is_not_counted_on_for_measuring():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.add("one", cost=1.0)
    budget.add("three", cost=1.0, share=3.0)
    assert budget.allowance("three", 40.0) == pytest.approx(3.0)
    budget.training, budget.own, budget.turns = 100.0, 7.0, 4.0
    assert budget.allowance("three", 40.0) == pytest.approx(0.7 * 3.0)
    budget.own = 14.0  # once too much, as at the start of a run
    assert budget.allowance("three", 40.0) == pytest.approx(0.5 * 3.0)


def test_a_cheap_measurement_does_not_wait_for_a_dear_one():
    clock = Clock()
    budget = OverheadBudget(0.05, clock=clock)
    budget.add("cheap", cost=0.1)
    budget.add("dear", cost=40.0)
    gaps, last = [], 0
    for step in range(1500):
        budget.enter()
        while (name := budget.due(step)) is not None:
            cost = 0.1 if name == "cheap" else 40.0
            clock.now += cost
            budget.ran(name, step, cost)
            if name == "cheap":
                gaps.append(step - last)
                last = step
        budget.leave()
        clock.now += 1.0
    assert max(gaps) <= 16  # 0.1 s at a share of 1/4 of 5 %, while the other is late: 8 steps
    assert budget.own > 0.05 * budget.training - 2 * 40.1


def test_what_costs_more_than_its_part_comes_round_as_often():
    """In 5000 steps at 10 %, 500 s: 38 rounds of 5 + 8."""
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.add("usual", cost=5.0, within=80)  # of 8 s in 80 steps each has 4
    budget.add("dear", cost=8.0, within=80)
    runs = {"usual": 0, "dear": 0}
    for step in range(5000):
        budget.enter()
        while (name := budget.due(step)) is not None:
            cost = 8.0 if name == "dear" else 5.0
            clock.now += cost
            runs[name] += 1
            budget.ran(name, step, cost)
        budget.leave()
        clock.now += 1.0
    # Grants do not come in the size of a run, and the last ones are still saved up for.
    assert tuple(runs.values()) == pytest.approx((38, 38), abs=3)


def test_what_uses_the_work_of_another_is_run_right_after_it():
    """Of that one's steps it takes those at which it is late, in debt if there is no credit."""
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.add("dear", cost=6.0, within=60)
    budget.add("with it", cost=4.0, within=100, beside="dear")
    budget.add("alone", cost=4.0, beside="unknown")
    steps: dict[str, list[int]] = {"dear": [], "with it": [], "alone": []}
    for step in range(1000):
        budget.enter()
        while (name := budget.due(step)) is not None:
            cost = 6.0 if name == "dear" else 4.0
            clock.now += cost
            steps[name].append(step)
            budget.ran(name, step, cost)
        budget.leave()
        clock.now += 1.0
    assert set(steps["with it"]) <= set(steps["dear"])
    assert steps["with it"][0] == steps["dear"][0]  # never measured is late
    assert 4 <= len(steps["with it"]) < len(steps["dear"])
    assert not set(steps["alone"]) <= set(steps["dear"])
    assert budget.overhead <= 0.1
    budget.remove("dear")
    budget.training += 1000.0
    assert budget.due(1000) in ("with it", "alone")


def test_first_measurements_tell_what_the_others_will_take():
    """They are guessed at twice what they take; the first that is measured on a batch tells."""
    clock = Clock()
    probes = [Sham(clock, name, 1.0, 250, 3.0) for name in ("one", "other")]
    for probe in probes:
        probe.needs = ("batch",)
    model, x, y = Passes(clock), torch.ones(4, 2), torch.ones(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, probes=probes, clock=clock)
    seen = []  # the part that each is asked for, and what that is expected to take
    while not any(status.times for status in monitor.status()):
        clock.now += STEP
        monitor.step(1.0, batch=(x, y))
        seen.append([(s.part, monitor.budget.cost(s.name)) for s in monitor.status()])
    waits = [status.times for status in monitor.status()].index(0)
    (before, guessed), (part, known) = seen[-2][waits], seen[-1][waits]
    assert guessed == pytest.approx(2 * 3.0 * STEP * before)
    assert known == pytest.approx(3.0 * STEP * part)
    assert part > before


def test_a_measurement_that_gains_nothing_by_less_work_is_left_at_it():
    portion = Portion()
    assert portion.guess(float, 1.0) == 1.0
    assert portion.ran(9.0, 1.0) is None  # cold
    assert portion.ran(4.0, 1.0) == 1.0
    assert portion.part == 1 / 4
    assert portion.ran(3.9, 1.0) is None
    assert portion.ran(3.9, 1.0) == 4.0  # all but the same
    assert portion.part == 1.0
    assert [portion.ran(4.0, 1.0) for _ in range(3)] == [None] * 3


def test_of_a_measurement_whose_parts_take_as_long_as_the_whole_all_is_asked_for():
    portion = Portion()
    assert portion.guess(lambda part: 19.0 + part, 1.0) == 20.0
    assert portion.part == 1.0
    assert portion.guess(lambda part: 1.0 + 16 * part, 3.0) == 3.0
    assert portion.part == 1 / 8


def test_an_interruption_is_no_reason_to_ask_for_less():
    portion = Portion()
    assert [portion.ran(seconds, 1.0) for seconds in (1.0, 30.0, 1.0, 1.1)] == [None] * 4


def test_a_measurement_that_turns_out_cheap_gets_more_again():
    portion = Portion()
    assert portion.guess(lambda part: 8 * part, 1.0) == 1.0
    assert (portion.part, portion.ran(0.1, 1.0), portion.part) == (1 / 8, 0.2, 1 / 4)


def test_a_spike_is_measured_with_the_same_examples_all_along():
    """A measurement on demand is dearer, and says nothing of the usual ones."""
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.add("sharpness", cost=1.0)
    budget.ran("sharpness", 0, 8.0, usual=False)
    assert budget.cost("sharpness") == 1.0


PASSES = []  # what a model counts of itself is put back after a measurement


class Tokens(nn.Module):
    """A language model of one layer."""

    def __init__(self, vocabulary=40):
        super().__init__()
        self.embed, self.out = nn.Embedding(vocabulary, 8), nn.Linear(8, vocabulary)

    def forward(self, ids):
        PASSES.append(len(ids))
        return self.out(torch.tanh(self.embed(ids))).transpose(1, 2)


def test_what_cannot_apply_says_so_and_costs_nothing():
    """25 outputs of 40 numbers an example: no kernel; whole numbers: no input gradients."""
    torch.manual_seed(0)
    model = Tokens()
    x = torch.randint(0, 40, (8, 25))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, CE, optimizer, max_overhead=math.inf)
    for step in range(4):
        optimizer.zero_grad()
        value = CE(model(x), x)
        value.backward()
        before = len(PASSES)
        monitor.step(value, batch=(x, x))
        # Sharpness and batch rate: two passes forward for a product, on either batch. One for
        # each part of the batch whose gradient is compared with the others'.
        if step:
            assert len(PASSES) - before == 2 + 2 + 2
        optimizer.step()
    table = {status.name: status for status in monitor.status()}
    assert table["loss split"].status == (
        "does not apply: 1000 outputs for an example, more than 512"
    )
    assert "1000 outputs" in table["kernel change"].status
    assert table["input gradients"].status == "does not apply: inputs that are whole numbers"
    assert [name for name, one in table.items() if one.times == 4] == [
        "norms", "sharpness", "batch critical rate", "gradient noise",
    ]  # fmt: skip
    assert "1000 outputs" in monitor.summary()
    assert "not loss split, kernel change, input gradients" in repr(monitor)


def fitted(steps=3, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 3))
    x, y = torch.randn(32, 6), torch.randint(0, 3, (32,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    monitor = Monitor(model, CE, optimizer, max_overhead=math.inf, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        value = CE(model(x), y)
        value.backward()
        monitor.step(value, batch=(x, y))
        optimizer.step()
    return monitor, model, optimizer, x, y


def n_numbers(state):
    """Numbers in the tensors of a state, wherever they are."""
    if isinstance(state, torch.Tensor):
        return state.numel()
    if isinstance(state, dict):
        return sum(n_numbers(value) for value in state.values())
    if isinstance(state, (tuple, list)):
        return sum(n_numbers(value) for value in state)
    return 0


@pytest.mark.parametrize(("distance", "copies"), [(True, 1), (False, 0)])
def test_a_state_holds_one_copy_of_the_parameters_or_none(distance, copies):
    monitor, model, *_ = fitted(distance=distance)
    parameters = sum(p.numel() for p in model.parameters())
    state = monitor.state_dict()
    # Beside it: the probe batch, the direction among its outputs, a kernel, two diagonals.
    # And a few numbers of the causes of spikes.
    rest = 32 * 6 + 32 + 32 * 3 + 32 * 32 + 2 * 6 + 8
    assert n_numbers(state) <= copies * parameters + rest


def test_without_distance_the_first_measurement_is_the_start():
    monitor, model, optimizer, *_ = fitted(distance=False)
    table = monitor.history
    assert "distance" not in table
    assert table["grad_norm"].notna().all()
    assert table["kernel_change"][0] == pytest.approx(0, abs=1e-6)
    assert table["kernel_change"][2] > 0
    other = Monitor(model, CE, optimizer, max_overhead=math.inf, distance=False)
    other.load_state_dict(monitor.state_dict())
    assert other.history.equals(monitor.history)
    with pytest.raises(ValueError, match=r"load_state_dict\(state\).*\n.*distance=False"):
        Monitor(model, CE, optimizer).load_state_dict(monitor.state_dict())


def test_the_update_is_known_when_a_state_is_saved():
    """The weights before a step are not saved: after it, its length is."""
    monitor, *_ = fitted(probes=[Norms()])
    assert monitor.history["update_norm"].notna().tolist() == [True, True, False]
    state = monitor.state_dict()
    assert monitor.history["update_norm"].notna().all()
    assert n_numbers(state["instruments"]) == 0


def test_of_many_parameters_the_update_is_a_sample(monkeypatch):
    from overparam.dynamics.probes import norms

    exact, *_ = fitted(probes=[Norms()])
    monkeypatch.setattr(norms, "_MOST", 200)
    estimated, *_ = fitted(probes=[Norms()])
    found, true = (m.history["update_norm"].dropna() for m in (estimated, exact))
    # Of 643 parameters every third; Adam moves each by about the same: 1/√214 is 7 %.
    assert ((found / true - 1).abs() < 0.2).all()
    assert not found.equals(true)


def test_sharpness_converges_from_turn_to_turn_and_says_when():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3))
    x, y = torch.randn(24, 6), torch.randint(0, 3, (24,))
    for kind in (torch.optim.SGD, torch.optim.Adam):
        optimizer = kind(model.parameters(), lr=0.01)
        for _ in range(10):  # then second moments have a history
            optimizer.zero_grad()
            CE(model(x), y).backward()
            optimizer.step()
        optimizer.zero_grad()
        true = stability(model, x, y, CE, optimizer)
        monitor = Monitor(model, CE, optimizer, probes=[Sharpness()], max_overhead=math.inf)
        for _ in range(60):  # the weights stay where they are
            monitor.step(1.0, batch=(x, y))
        table = monitor.history
        assert table["sharpness"].iloc[-1] == pytest.approx(true.sharpness, rel=1e-3)
        assert table["sharpness_limit"].iloc[-1] == pytest.approx(true.limit, rel=1e-6)
        assert table["sharpness_converged"].iloc[-1] == 1
        # What is called converged is: to a quarter and the square of one.
        settled = table[table["sharpness_converged"] == 1]["sharpness"]
        assert (settled > 0.6 * true.sharpness).all()


def test_a_kernel_on_fewer_examples_is_compared_with_its_part_of_the_first():
    monitor, _, _, x, y = fitted(probes=[KernelChange()])
    probe = monitor.probes["kernel change"]
    scene = monitor._subject.scene((x, y), part=0.5)
    with monitor._subject.isolated():
        some = probe.measure(scene)["kernel_change"]
        probe._start = None
        fresh = probe.measure(scene)["kernel_change"]
    assert some == pytest.approx(fresh, rel=1e-4)


def test_the_kernel_is_that_of_the_loss_split_where_both_are_measured():
    alone, _, _, x, y = fitted(probes=[KernelChange()])
    both, *_ = fitted(probes=[LossSplit(), KernelChange()])
    found, true = (m.history["kernel_change"] for m in (both, alone))
    assert found[0] == pytest.approx(0, abs=1e-6)
    # Sums in another order, of numbers in single precision, and a difference of kernels.
    assert found[1:].to_list() == pytest.approx(true[1:].to_list(), rel=1e-3)
    # On fewer examples, and along combinations: of the start as well.
    probe, split = (both.probes[name] for name in ("kernel change", "loss split"))
    scene = both._subject.scene((x, y), part=0.5)
    with both._subject.isolated():
        split.measure(scene)
        n, m = len(scene.passing["tangent kernel"][0]), scene.passing["tangent kernel"][1]
        change = probe.measure(scene)["kernel_change"]
    assert (n, m) == (16, 0)  # three outputs are all taken
    assert change == pytest.approx(true[2], rel=0.5)
    both._subject.forget_step()
    assert not scene.passing


def test_the_table_says_what_is_known(tmp_path):
    monitor, *_ = fitted(steps=15)
    lines = monitor.summary().splitlines()
    assert lines[0].startswith("Sequential, 643 parameters, Adam: 15 steps")
    assert lines[3].split() == ["probe", "status", "times", "cost", "part", "next", "last", "value"]
    assert [line.split("  ")[0] for line in lines[4:11]] == [
        "norms", "sharpness", "loss split", "batch critical rate", "kernel change",
        "input gradients", "gradient noise",
    ]  # fmt: skip
    assert "measures" in lines[5]
    assert repr(monitor).startswith("<Monitor: Sequential with Adam; 15 steps; measures norms,")
    html = monitor._repr_html_()
    assert html.count("<tr>") == 8
    assert "kernel change" in html
    page = monitor.report(tmp_path / "page.html").read_text()
    assert "Loss spikes" in page
    assert "batch critical rate" in page


def test_columns_that_stay_empty_are_said_to_with_the_reason():
    monitor, *_ = fitted(probes=[Norms(), GradientNoise()], distance=False)
    norms, noise = (one.lacks for one in monitor.status())
    assert norms == "distance: the parameters of the start are not kept (distance=False)"
    assert noise == "noise_scale, noise_scale_low, noise_scale_high: it takes 4 measurements"
    lines = monitor.summary().splitlines()
    assert lines[-2:] == [f"norms, without {norms}", f"gradient noise, without {noise}"]
    model = nn.Linear(2, 1)
    early = Monitor(model, MSE, torch.optim.SGD(model.parameters(), lr=0.1), probes=[Norms()])
    assert early.status()[0].status == "not yet measured: no step of training has been timed yet"

    class Shy(Probe):
        name, keys, passive = "shy", ("shy", "bold"), True

        def measure(self, scene):
            return {"bold": 1.0}

    monitor, *_ = fitted(probes=[Shy()])
    assert monitor.status()[0].lacks == "shy: not in 3 measurements"
    again, *_ = fitted(probes=[Shy()], steps=0)
    again.load_state_dict(monitor.state_dict())
    assert again.status()[0].lacks == "shy: not in 3 measurements"


def test_before_the_first_step_the_table_is_there_as_well():
    model = nn.Linear(2, 1)
    monitor = Monitor(model, MSE, torch.optim.SGD(model.parameters(), lr=0.1))
    assert "waits for a batch" in monitor.summary()
    assert "overhead none yet of 5 %" in repr(monitor)


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), None


def test_a_reason_that_several_probes_share_is_told_once_and_of_the_user_s_line():
    model, x, y = Pair(2, 1), torch.ones(4, 2), torch.zeros(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, max_overhead=math.inf)
    for _ in range(2):
        optimizer.zero_grad()
        loss = MSE(model(x)[0], y)
        loss.backward()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", RuntimeWarning)
            monitor.step(loss, batch=(x, y))
        # The line it names is one of the loop's, not of the library's.
        assert {one.filename for one in told} <= {__file__}
        optimizer.step()
    reasons = [line for line in monitor.summary().splitlines() if "got a tuple" in line]
    assert len(reasons) == 1
    assert reasons[0].startswith("sharpness, loss split, ")


def test_the_first_pass_of_all_does_not_tell_what_a_few_examples_take():
    clock = Clock()

    class Cold(nn.Module):
        """Slow at first, as what has to be read into the caches is."""

        def __init__(self):
            super().__init__()
            self.layer, self.passes = nn.Linear(2, 1), 0

        def forward(self, x):
            self.passes += 1
            clock.now += STEP / 3 if self.passes == 1 else len(x) * STEP / 300
            return self.layer(x)

    model, x, y = Cold(), torch.ones(100, 2), torch.ones(100, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, clock=clock)
    for _ in range(60):
        clock.now += STEP
        monitor.step(1.0, batch=(x, y))
    assert monitor._subject.few == pytest.approx(0.02, rel=0.1)


class Counted(nn.Sequential):
    """How often examples were passed through."""

    passes = 0

    def forward(self, input):
        type(self).passes += 1
        return super().forward(input)


def test_whether_examples_are_separate_is_looked_at_once():
    """Few examples go through seven times to find out; nothing that matters has changed then."""
    torch.manual_seed(0)
    model = Counted(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    probes = [LossSplit(), KernelChange(), InputGradients()]
    monitor = Monitor(model, CE, optimizer, probes=probes, max_overhead=math.inf)
    passes = []
    for _ in range(3):
        CE(model(x), y).backward()
        before = Counted.passes
        monitor.step(1.0, batch=(x, y))
        passes.append(Counted.passes - before)
    assert passes[1] == passes[2]
    assert passes[1] <= 2 * len(probes) + 1
    table = monitor.history  # the weights stay where they are
    for key in ("loss_top", "kernel_change", "agop_trace"):
        assert table[key].nunique() == 1
    model.append(Mixing())
    with pytest.warns(RuntimeWarning, match="does not depend on the others"):
        monitor.step(1.0, batch=(x, y))


class Mixing(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


def test_a_measurement_starts_no_generator_that_nobody_uses(monkeypatch):
    """torch.manual_seed would keep the seed for accelerators that are first used later."""
    seeds = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    monitor, *_ = fitted(probes=[Sharpness()], steps=12)
    assert seeds == [0]  # the test's own
    assert monitor.history["sharpness"].notna().sum() == 2  # Adam has none before


def test_a_probe_that_turns_out_not_to_apply_is_expected_no_more():
    """What first measurements take tells what others will, if those are still to be made."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    instruments = Monitor(model, CE, optimizer, clock=Clock())._instruments
    instruments.enlist(STEP)
    instruments._guesses |= {"input gradients": 1.0, "sharpness": 1.0, "loss split": 1.0}
    instruments._silent["loss split"] = "does not apply"
    instruments._compare("input gradients", 0.0)  # a clock too coarse for it
    instruments._compare("sharpness", 2.0)
    assert instruments._dearer == [2.0]
