"""What the study of electrodes computes from its cells."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from overparam.studies import duquesnoy2023_electrode_design as study


def rows(**points):
    """The cell of one seed, by method the designs it evaluated."""
    columns = {f"{method}_energy": [x for x, _ in some] for method, some in points.items()}
    columns |= {f"{method}_power": [y for _, y in some] for method, some in points.items()}
    return pd.DataFrame([{"seed": 0, **columns}])


def test_areas_are_counted_above_the_worst_of_the_sampled_designs():
    table = rows(
        sobol=[(1.0, 3.0), (2.0, 1.0)],
        nsga2=[(3.0, 3.0)],
        surrogate=[(3.0, 3.0), (2.0, 5.0)],
        shuffled=[(0.0, 0.0), (2.0, 2.0)],
    )
    found = study.areas(table)
    assert found == {"sobol": [0.0], "nsga2": [4.0], "surrogate": [6.0], "shuffled": [1.0]}
    assert study.ratio(table, "surrogate", "nsga2") == 1.5


def test_failed_designs_are_left_out_and_none_at_all_is_no_number():
    table = rows(
        sobol=[(1.0, 1.0), (math.nan, 0.0)],
        nsga2=[(math.nan, math.nan)],
        surrogate=[(3.0, 3.0)],
        shuffled=[(2.0, 2.0)],
    )
    found = study.areas(table)
    assert math.isnan(found["nsga2"][0])
    assert found["surrogate"] == [4.0]
    assert math.isnan(study.ratio(table, "surrogate", "nsga2"))


def test_the_control_learns_the_objectives_of_other_designs():
    x = np.random.default_rng(0).random((20, 3))
    y = np.stack([x[:, 0], x[:, 1]], 1) + 1
    bounds = dict.fromkeys("abc", (0.0, 1.0))
    honest = study.Surrogate(bounds, study.PAIR).fit(x, y)
    shuffled = study.Shuffled(bounds, study.PAIR).fit(x, y)
    assert honest.quality["energy"].r2 > 0.9 > 0.5 > shuffled.quality["energy"].r2


def test_nsga2_uses_no_more_evaluations_than_it_may():
    pytest.importorskip("pymoo", reason="needs pip install 'overparam[battery]'")

    def evaluate(designs):
        return pd.DataFrame({"energy": designs[:, 0], "power": designs[:, 2]})

    assert len(study.nsga2(study.CoatingProcess(), evaluate, 40, 0)) == 40


def test_what_several_methods_ask_about_is_simulated_once(monkeypatch):
    asked = []

    def evaluated(process, designs, objectives):
        asked.extend(designs.tolist())
        return pd.DataFrame({"energy": designs[:, 0], "power": -designs[:, 0]})

    monkeypatch.setattr(study, "evaluated", evaluated)
    evaluate = study.remembering(study.CoatingProcess())
    evaluate(np.array([[1.0], [2.0]]))
    assert evaluate(np.array([[3.0], [1.0], [2.0]]))["power"].tolist() == [-3, -1, -2]
    assert asked == [[1.0], [2.0], [3.0]]


def test_gap_and_solids_act_through_the_loading_alone():
    """So the gaps of the study are windows of one axis, and say the same where they overlap."""
    narrow = study.CoatingProcess(wet_gap=200e-6)
    wide = study.CoatingProcess(wet_gap=250e-6)
    design = {"active_material": 0.97, "calendering": 0.3}
    volume = 0.97 / narrow.active_density + 0.03 / narrow.binder_density
    # The loading is gap · solvent's density · solids/(1 + bulk · solids), here solved for solids.
    bulk = narrow.solvent_density * volume - 1
    same = 200 / 250 * 0.68 / (1 + bulk * 0.68)
    fewer = same / (1 - bulk * same)
    assert 0.55 < fewer < 0.68
    made = [
        process.structure(design | {"solids": solids})
        for process, solids in ((narrow, 0.68), (wide, fewer))
    ]
    assert vars(made[1]) == pytest.approx(vars(made[0]), rel=1e-13)  # some twenty roundings


@pytest.mark.parametrize(
    ("objective", "gap", "solids", "calendering", "best"),
    [
        ("power", 90, (0.55, 0.61, 0.70), (0.35, 0.36, 0.37), {"solids": 0.61}),
        ("power", 110, (0.55, 0.60, 0.70), (0.35, 0.36, 0.37), {"solids": 0.55}),
        ("energy", 150, (0.55, 0.66, 0.70), (0.40, 0.418), {"solids": 0.70, "calendering": 0.418}),
        ("energy", 200, (0.55, 0.66, 0.70), (0.41, 0.418), {"solids": 0.70, "calendering": 0.41}),
        ("energy", 250, (0.55, 0.66, 0.70), (0.38, 0.40, 0.418),
         {"solids": 0.66, "calendering": 0.40}),
    ],
)  # fmt: skip
def test_where_simulations_of_a_single_objective_are_best(
    objective, gap, solids, calendering, best
):
    """At the thinnest and thickest coatings inside of the window, whatever a surrogate says.

    What is best is so by 0.38 % or more; the solver's relative tolerance is 1e-4.
    """
    pytest.importorskip("pybamm", reason="needs pip install 'overparam[battery]'")
    process = study.CoatingProcess(wet_gap=1e-6 * gap)
    designs = np.array(list(itertools.product((0.98,), solids, calendering)))
    found = study.evaluated(process, designs, [objective])
    assert dict(found.loc[found[objective].idxmax(), list(best)]) == best
