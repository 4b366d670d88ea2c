"""The figures of a diagnosis: what they find, and that Plotly takes them."""

import copy
import re
from importlib.resources import files

import pytest

from overparam.diagnosis.gathered import by_position
from overparam.diagnosis.statements import _CAUSES
from overparam.report.documents import read_documents
from overparam.report.figures import diagnosis_figures, study_figures
from overparam.report.figures.figure import capped
from overparam.report.figures.legend import legend
from overparam.report.figures.panels import scale

STYLE = files("overparam.report").joinpath("templates", "style.css").read_text()


def checked(document) -> dict:
    return read_documents(document)[0]


def by_name(document) -> dict:
    return {figure.name: figure for figure in diagnosis_figures(checked(document))}


def coloured(value):
    """A drawing with a valid colour for each variable, all of which the style must define."""
    if isinstance(value, dict):
        return {key: coloured(item) for key, item in value.items()}
    if isinstance(value, list):
        return [coloured(item) for item in value]
    if isinstance(value, str) and value.startswith("var("):
        named = re.search(rf"{re.escape(value[4:-1])}: (#[0-9a-f]{{6}});", STYLE)
        assert named, f"{value} is not in style.css"
        return named[1]
    return value


def test_plotly_knows_every_property_drawn(diagnosis, study):
    go = pytest.importorskip("plotly.graph_objects")
    figures = diagnosis_figures(checked(diagnosis)) + study_figures(checked(study))
    assert len(figures) == 17
    for figure in figures:
        go.Figure(coloured({"data": figure.data, "layout": figure.layout}))
    specimen = copy.deepcopy(figures[0].data)
    specimen[0]["colour"] = "red"
    with pytest.raises(ValueError, match="colour"):
        go.Figure({"data": specimen})


def test_figures_come_in_the_order_they_are_read(diagnosis):
    first = "rate_sweep loss sharpness norms split kernel batch_rates spectrum"
    second = "labels scores inputs edge race"
    assert list(by_name(diagnosis)) == [*first.split(), *second.split()]


def test_every_figure_has_a_finding_a_convention_and_its_numbers(diagnosis):
    for figure in by_name(diagnosis).values():
        assert re.search(r"\d", figure.title)
        assert figure.caption.endswith((".", ". "))
        assert all(table.rows for table in figure.tables)
        assert figure.tables


@pytest.mark.parametrize("left_out", ["loss", "sharpness", "stability_ratio", "armed", "spectrum"])
def test_a_missing_series_takes_nothing_else_with_it(diagnosis, left_out):
    alone = {"loss": set(), "spectrum": {"spectrum"}}.get(left_out, set())
    before = set(by_name(diagnosis))
    del diagnosis["series"][left_out]
    assert before - set(by_name(diagnosis)) == alone


def test_every_series_can_miss_be_empty_or_hold_no_number(diagnosis):
    empty = ({}, None, {"step": [], "value": []}, {"step": [1, 2], "value": [None, None]})
    for name in diagnosis["series"]:
        for entry in empty:
            specimen = {**diagnosis, "series": {**diagnosis["series"], name: entry}}
            figures = diagnosis_figures(checked(specimen))
            assert len(figures) in (12, 13)
        only = {**diagnosis, "series": {name: diagnosis["series"][name]}}
        assert len(diagnosis_figures(checked(only))) <= 1


def test_without_series_nothing_is_drawn():
    assert diagnosis_figures(checked({"kind": "diagnosis"})) == []


def title(name, **document) -> str:
    return by_name({"kind": "diagnosis", **document})[name].title


def line(*values) -> dict:
    return {"step": list(range(len(values))), "value": list(values)}


def test_the_loss_finding_counts_spikes_by_cause():
    series = {"loss": line(2.0, 4.0, 1.0), "test_error": line(0.5, 0.25)}
    events = [{"step": 1, "kind": "catapult"}, {"step": 1, "kind": "catapult"}]
    assert title("loss", series=series, events=events) == (
        "Training loss falls from 2 to 1; 2 spikes (2 catapult); test error ends at 25\xa0%"
    )
    assert "no spikes" in title("loss", series=series, events=[])
    assert "spike" not in title("loss", series=series)


def test_the_loss_finding_admits_a_run_that_was_lost():
    assert "no longer finite" in title("loss", series={"loss": line(1.0, 9.0, None)})


def test_spikes_lie_on_the_loss_with_a_mark_for_each_cause():
    events = [{"step": 1, "kind": "catapult"}, {"step": 2, "kind": "non-finite"}]
    series = {"loss": line(1.0, 3.0, None)}
    data = by_name({"kind": "diagnosis", "series": series, "events": events})["loss"].data
    marks = {trace["name"]: trace for trace in data if trace["mode"] == "markers"}
    assert (marks["catapult"]["x"], marks["catapult"]["y"]) == ([1], [3.0])
    assert (marks["non-finite"]["x"], marks["non-finite"]["y"]) == ([2], [3.0])
    assert len({trace["marker"]["symbol"] for trace in marks.values()}) == 2
    assert len({trace["marker"]["color"] for trace in marks.values()}) == 2


def test_the_sharpness_finding_has_the_numbers_of_what_settled():
    above = line(0.3, 1.2, 76.0, 0.4)
    series = {"stability_ratio": above, "sharpness_residual": line(0.1, 0.2, 0.9, 0.1)}
    figure = by_name({"kind": "diagnosis", "series": series})["sharpness"]
    told = "The run used 0.4 of its stable limit in the median, 1.2 at most (3 measurements)"
    assert figure.title == told
    assert "cannot last" not in figure.caption
    settled, hollow = figure.data[:2]
    assert settled["y"] == [0.3, 1.2, 0.4]
    assert (hollow["y"], hollow["marker"]["symbol"]) == ([76.0], "circle-open")
    none = {**series, "sharpness_residual": line(0.9, 0.9, 0.9, 0.9)}
    assert "of 4 measurements none settled" in title("sharpness", series=none)
    both = {"sharpness": line(10.0, 5.0), "sharpness_limit": line(20.0, 20.0)}
    assert "used 0.375 of its stable limit" in title("sharpness", series=both)
    assert "limit was not measured" in title("sharpness", series={"sharpness": line(3.0, 4.0)})
    drawn = by_name({"kind": "diagnosis", "series": both})["sharpness"].data
    assert "limit of the sharpness" in [trace["name"] for trace in drawn]


def test_the_kernel_has_one_number_that_of_the_statement_if_there_is_one():
    change = {"kernel_change": line(0.0, 4.79)}
    assert "4.79 times" in title("kernel", series=change)
    measured = {**change, "spectrum": {"eigenvalues": [1.0], "final": [2.0]}}
    assert title("kernel", series=measured) == (
        "How far the kernel moved from where it started, measured 2 times along the run"
    )
    told = {**measured, "kernel_change_after": {"step": [5], "value": [2.26]}}
    assert "The kernel ended 2.26 times its initial norm" in title("kernel", series=told)
    unknown = [{"name": "regime", "level": "unknown"}]
    assert "2.26" not in title("kernel", series=told, statements=unknown)


def test_the_loss_finding_has_the_numbers_of_the_statement():
    series = {"loss": line(2.0, 4.0, 1.0), "loss_stretches": line(2.5, 1.25)}
    assert title("loss", series=series) == "Training loss falls from 2.5 to 1.25"


def test_scores_are_drawn_only_where_labels_look_random():
    scores = {"scores": {"score": [0.1, 0.9], "posterior": [0.0, 1.0]}}
    for level, drawn in (("warning", True), ("good", False), ("unknown", False)):
        said = [{"name": "labels", "level": level}]
        document = {"kind": "diagnosis", "series": scores, "statements": said}
        assert ("scores" in by_name(document)) == drawn


def test_batch_rates_are_compared_with_the_rate_of_their_own_step():
    series = {"batch_critical_lr": line(0.2, 0.2, 0.2, 0.2), "lr": line(0.1, 0.1, 0.1, 0.3)}
    assert title("batch_rates", series=series).startswith("1 of 4 batches measured")


def test_under_a_schedule_batches_stand_beside_the_rate_it_comes_to_and_not_where_it_ends():
    cosine = {"batch_critical_lr": line(0.2, 0.2, 0.02), "lr": line(0.1, 0.05, 1e-9)}
    figure = by_name({"kind": "diagnosis", "series": cosine})["batch_rates"]
    marks = [trace for trace in figure.data if "learning rate" in str(trace.get("name"))]
    assert [trace["name"] for trace in marks] == ["largest learning rate of the run, 0.1"]
    assert marks[0]["x"] == [-1.0] * len(marks[0]["x"])
    assert figure.title.endswith(
        "0 of 3 batches measured have a critical rate below the one in use at that step"
    )
    constant = {**cosine, "lr": line(0.1, 0.1, 0.1)}
    figure = by_name({"kind": "diagnosis", "series": constant})["batch_rates"]
    assert figure.title.endswith("below the one in use")
    assert "learning rate, 0.1" in [trace.get("name") for trace in figure.data]


def test_the_noise_scale_is_told_as_far_as_it_was_known():
    known = {"noise_scale_low": line(5.0, 9.0), "noise_scale": line(8.0, 12.0),
             "noise_scale_high": line(20.0, 19.0)}  # fmt: skip
    assert title("noise", series=known) == (
        "The noise scale by the latest measurements at step 1: 12 examples"
    )
    later = {"noise_scale_low": line(5.0, 9.0, 40.0), "noise_scale": line(8.0)}
    assert title("noise", series=later) == (
        "The noise scale by the latest measurements at step 2: at least 40 examples; 8 at step 0, "
        "when it could last be told"
    )
    alone = {"noise_scale_low": line(5.0, 9.0)}
    assert title("noise", series=alone) == (
        "The noise scale by the latest measurements at step 1: at least 9 examples"
    )


def test_the_label_finding_says_when_it_abstains():
    clean = {"noise_rate": line(0.1, 0.02), "armed": line(0, 0)}
    assert title("labels", series=clean) == (
        "The stopping signal never armed; estimated noise rate 2\xa0%"
    )
    noisy = {**clean, "armed": line(False, True)}
    assert title("labels", series=noisy).startswith("Signs of wrong labels from step 1 on")


def test_suspect_loss_is_divided_by_the_loss_of_guessing():
    figure = by_name({"data": {"classes": 2}, "advice": {}, "series": {"suspect_loss": line(1.0)}})
    assert figure["labels"].data[0]["y"] == pytest.approx([1.4426950408889634])


def test_scores_are_split_at_a_posterior_of_one_half():
    scores = {"score": [0.1, 0.2, 0.9, None], "posterior": [0.0, 0.49, 0.5, 1.0]}
    figure = by_name({"kind": "diagnosis", "series": {"scores": scores}})["scores"]
    assert figure.title.startswith("1 of 3 examples")
    assert [sum(trace["y"]) for trace in figure.data] == [2, 1]


def test_inputs_are_an_image_only_where_they_have_the_shape_of_one():
    agop = {"diagonal": [6.0, 1.0, 1.0, 2.0], "image_shape": [2, 2]}
    image = by_name({"kind": "diagnosis", "series": {"agop": agop}})["inputs"]
    assert image.title == "3 of 4 pixels hold 90\xa0% of the sensitivity"
    assert image.data[0]["z"] == [[0.6, 0.1], [0.1, 0.2]]
    colour = {"diagonal": [1.0, 2.0, 3.0, 4.0], "image_shape": [2, 1, 2]}
    image = by_name({"kind": "diagnosis", "series": {"agop": colour}})["inputs"]
    assert image.data[0]["z"] == [[0.4, 0.6000000000000001]]
    names = {"diagonal": [1.0, 3.0], "image_shape": [3, 3], "names": ["age", "age"]}
    bars = by_name({"kind": "diagnosis", "series": {"agop": names}})["inputs"]
    assert bars.data[0]["x"] == [0.75, 0.25]
    assert bars.layout["yaxis"]["ticktext"] == ["age", "age"]


def test_the_rate_sweep_marks_what_diverged():
    sweep = {"lr": [0.1, 0.2, 0.4], "loss": [0.3, 0.1, None], "advised": 0.15}
    figure = by_name({"kind": "diagnosis", "series": {"rate_sweep": sweep}})["rate_sweep"]
    assert "Of 3 rates tried, 0.2 reached the lowest loss; the rate to set is 0.15" in figure.title
    assert next(trace for trace in figure.data if trace["name"] == "diverged")["x"] == [0.4]


def test_of_two_rates_that_came_equally_far_the_one_to_set_did_best():
    sweep = {"lr": [0.1, 0.2], "loss": [1.0, 1.0], "advised": 0.2}
    figure = by_name({"kind": "diagnosis", "series": {"rate_sweep": sweep}})["rate_sweep"]
    assert figure.title == "Of 2 rates tried, 0.2 reached the lowest loss"


def test_the_rate_to_set_is_told_by_the_rule_that_picked_it():
    sweep = {"lr": [0.1, 0.2], "loss": [0.3, 0.1], "advised": 0.2, "averaged": False}
    document = {"kind": "diagnosis", "series": {"rate_sweep": sweep}}
    assert "that of the least loss." in by_name(document)["rate_sweep"].caption
    why = "the one in use; keep it, it lies where the best is expected"
    kept = {**document, "advice": {"set": {"learning_rate": 0.1, "meaning": why}}}
    drawn = by_name({**kept, "series": {"rate_sweep": {**sweep, "advised": 0.1}}})["rate_sweep"]
    assert f"The rate to set: {why}." in drawn.caption
    assert "least loss" not in drawn.caption
    # Nothing is explained that is not drawn.
    for words in ("hollow", "band", "Crosses"):
        assert words not in drawn.caption


def test_the_limit_of_a_single_measurement_is_drawn():
    alone = {"sharpness": line(10.0), "sharpness_limit": line(20.0), "stability_ratio": line(0.5)}
    figure = by_name({"kind": "diagnosis", "series": alone})["sharpness"]
    for name in ("limit of the sharpness", "edge of stability"):
        (trace,) = (trace for trace in figure.data if trace["name"] == name)
        assert trace["x"][0] < trace["x"][-1]


@pytest.mark.parametrize(
    "values", [[2.1, 6.5], [22.0, 90.0], [2e-3, 9e-2], [5.1, 19.0], [0.6, 100.0], [1e-9, 1e9]]
)
def test_a_logarithmic_axis_says_where_it_is(values):
    ticks = scale(values)["tickvals"]
    assert 3 <= len(ticks) <= 9
    assert all(values[0] <= tick <= values[1] for tick in ticks)


def test_eigenvalues_that_are_zero_do_not_flatten_the_others():
    spectrum = {"eigenvalues": [3.0, 0.1, 1e-3], "final": [9.0, 1e-2, 0.0]}
    figure = by_name({"kind": "diagnosis", "series": {"spectrum": spectrum}})["spectrum"]
    assert figure.layout["yaxis"]["type"] == "log"
    assert list(figure.data[1]["x"]) == [1, 2]
    assert "labels" not in figure.caption


def test_title_and_statement_tell_one_end_of_the_test_error():
    wavering = line(0.5, *[0.1, 0.12] * 5, 0.1, 0.1, 0.3)
    figure = by_name({"kind": "diagnosis", "series": {"test_error": wavering}})["loss"]
    assert figure.title == "Test error ends at 10\xa0%"
    assert "the median of the last 3 values" in figure.caption


def test_the_trainings_are_drawn_at_their_own_steps():
    short = {"rate": 0.1, "order": 0, "steps": 5, "loss": 0.4, "losses": [5.0, 4.0, 3.0, 2.0, 1.0]}
    sweep = {"lr": [0.1], "loss": [0.4], "averaged": False}
    document = {"kind": "diagnosis", "series": {"rate_sweep": sweep, "race": [short]}}
    drawn = by_name(document)["race"]
    assert list(drawn.data[0]["x"]) == [0, 1, 2, 3, 4]
    assert drawn.caption.startswith("The loss at each step")
    assert drawn.caption.endswith("compared on the same examples, at the end.")
    thinned = {**short, "steps": 8}  # stretches of 1.6 steps: none comes twice
    drawn = by_name({**document, "series": {"race": [thinned]}})["race"]
    assert list(drawn.data[0]["x"]) == [0, 2, 4, 5, 7]
    assert drawn.caption.startswith("Means over stretches")


def test_the_edge_draws_each_run_and_names_where_it_settled():
    runs = [{"step": [0, 5], "rate": [0.01, 0.1], "limit": [0.4, 0.1]}] * 2
    document = {"kind": "diagnosis", "series": {"edge": runs}, "advice": {"stable_limit": 0.1}}
    figure = by_name(document)["edge"]
    assert figure.title == "Followed along 2 short runs, the stable limit settles at 0.1"
    assert [entry.name for entry in legend(figure.data)] == ["limit", "rate", "stable limit"]
    assert "was not reached" in by_name({**document, "advice": {}})["edge"].title


def test_long_tables_say_what_they_leave_out():
    table = capped(["step"], [[step] for step in range(1000)])
    assert len(table.rows) + table.left_out == 1000
    assert (table.rows[0], table.rows[-1]) == ([0], [999])


def test_the_key_tells_traces_apart_without_colour(diagnosis, study):
    for figure in diagnosis_figures(checked(diagnosis)) + study_figures(checked(study)):
        looks = [
            (entry.dash, entry.mark, entry.hatched, entry.opacity, entry.outlined)
            for entry in legend(figure.data)
        ]
        if figure.name != "split":
            assert len(set(looks)) == len(looks), figure.name


def test_pixels_are_positions_whatever_their_channels():
    agop = {"diagonal": [4.0, 1.0, 4.0, 1.0], "image_shape": [2, 1, 2]}
    assert title("inputs", series={"agop": agop}).startswith("2 of 2 pixels")
    assert by_position(agop["diagonal"], (2, 1, 2)) == [8.0, 2.0]
    assert by_position([1.0, 2.0], None) == [1.0, 2.0]


def test_batches_whose_measurement_did_not_settle_are_left_out():
    series = {
        "batch_critical_lr": line(0.2, 5e9, 0.05), "lr": line(0.1, 0.1, 0.1),
        "batch_critical_lr_converged": line(1.0, 0.0, 1.0),
    }  # fmt: skip
    figure = by_name({"kind": "diagnosis", "series": series})["batch_rates"]
    assert figure.title.startswith("1 of 2 batches measured")
    assert "Left out: 1 batch of which the measurement did not settle." in figure.caption
    assert "5e9" not in str(figure.tables)


def test_a_size_of_updates_that_falls_is_told_by_its_ends():
    falling = {"update_norm": line(0.1, 0.1, 0.05, 0.02, 0.01, 0.01), "weight_norm": line(*[1] * 6)}
    told = title("norms", series=falling)
    assert "by 10\xa0% of their norm in the first third of the run, by 1\xa0%" in told
    level = {**falling, "update_norm": line(*[0.02] * 6)}
    assert title("norms", series=level).startswith("A typical update")


def test_labels_that_look_wrong_are_counted_as_the_statement_counts_them():
    scores = {"score": [0.1, 0.2, 0.9], "posterior": [0.0, 0.6, 0.9], "suspect": [0, 0, 1]}
    document = {"kind": "diagnosis", "series": {"scores": scores}}
    assert title("scores", series=document["series"]) == "1 of 3 labels look wrong"


def test_a_limit_that_is_not_told_is_not_told_by_its_figure_either():
    series = {"stability_ratio": line(0.3, 0.4), "sharpness": line(1.0, 2.0)}
    said = [{"name": "stability", "level": "unknown", "text": "Not told."}]
    assert title("sharpness", series=series, statements=said) == (
        "Sharpness and its limit, measured 2 times along the run"
    )


def test_every_kind_of_spike_has_a_mark_of_its_own():
    kinds = list(_CAUSES)
    events = [{"step": 1, "kind": kind} for kind in kinds]
    series = {"loss": line(1.0, 3.0, 1.0)}
    data = by_name({"kind": "diagnosis", "series": series, "events": events})["loss"].data
    looks = [(entry.mark, entry.outlined, entry.colour) for entry in legend(data)]
    assert len(looks) == len(kinds) + 1
    assert len(set(looks)) == len(looks)


def test_where_no_rate_lowered_the_loss_none_is_said_to_have_reached_anything() -> None:
    sweep = {"lr": [0.1, 0.2], "loss": [2.3, 2.31], "steps": 40, "advised": None, "learned": False}
    figure = by_name({"kind": "diagnosis", "series": {"rate_sweep": sweep}})["rate_sweep"]
    assert figure.title == "None of 2 rates tried lowered the loss"


def test_one_eigenvalue_is_told_as_one_and_rounding_as_none() -> None:
    spectrum = {"eigenvalues": [3.0], "label_alignment": [4.9e-33]}
    figure = by_name({"kind": "diagnosis", "series": {"spectrum": spectrum}})["spectrum"]
    assert figure.title == "The one eigenvalue holds 0\N{NO-BREAK SPACE}% of the labels"


def test_the_stretches_of_the_title_are_counted() -> None:
    curve = {"step": [*range(12)], "value": [12.0 - step for step in range(12)]}
    short = {"loss": curve, "loss_stretches": curve}
    assert "stretches" not in by_name({"kind": "diagnosis", "series": short})["loss"].caption
    few = {"step": [0.0, 6.0], "value": [9.0, 4.0]}
    figure = by_name({"kind": "diagnosis", "series": {"loss": curve, "loss_stretches": few}})
    assert "the last of 2 stretches" in figure["loss"].caption


def test_a_shorter_training_of_a_lower_loss_was_not_compared_last():
    sweep = {"lr": [0.1, 0.2], "loss": [0.3, 0.2], "advised": 0.2}
    race = [{"rate": 0.8, "order": 0, "steps": 20, "loss": 0.1}]
    figure = by_name({"kind": "diagnosis", "series": {"rate_sweep": sweep, "race": race}})
    assert figure["rate_sweep"].title.endswith("0.2 reached the lowest loss of those compared last")


def test_a_loss_of_exactly_zero_hides_no_fall(diagnosis):
    loss = by_name(diagnosis)["loss"]
    assert loss.layout["yaxis"]["type"] == "log"
    assert "exactly zero" not in loss.caption
    diagnosis["series"]["loss"]["value"][-1] = 0.0
    loss = by_name(diagnosis)["loss"]
    assert loss.layout["yaxis"]["type"] == "log"
    assert "exactly zero" in loss.caption
    diagnosis["series"]["loss"]["value"][-1] = -1e-3
    assert by_name(diagnosis)["loss"].layout["yaxis"]["type"] == "linear"
