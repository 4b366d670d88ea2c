"""A table to a model: what is read, what is scored, what is said, and what is refused."""

import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import RidgeCV

from overparam._environment import environment
from overparam.cli import main
from overparam.fitting import Score, fit, load_model, read
from overparam.fitting.findings import Findings
from overparam.fitting.folds import folds
from overparam.fitting.scores import compare
from overparam.fitting.shuffling import Importances
from overparam.fitting.statements import statements
from overparam.tables import TableWarning


def findings(*scores: Score) -> Findings:
    """Of scores alone."""
    return Findings(scores, "R²", 0.25, "5 folds", Importances([], [], [], [], 0.0))


def table(n: int = 120, seed: int = 0) -> pd.DataFrame:
    """y depends on a·b and on a category; c is noise, with gaps."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(n, 3)), columns=["a", "b", "c"])
    frame["kind"] = draw.choice(["red", "green"], size=n)
    frame["y"] = frame["a"] * frame["b"] + 2.0 * (frame["kind"] == "red")
    frame.loc[::10, "c"] = np.nan
    return frame


@pytest.fixture
def csv(tmp_path):
    file = tmp_path / "table.csv"
    table().to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    file = tmp_path_factory.mktemp("fit") / "table.csv"
    table(200).to_csv(file, index=False)
    return fit(file, "y", number_of_folds=3, seed=1)


def test_the_columns_that_matter_are_found(found):
    shares = dict(
        zip(*(found.document["series"]["importances"][k] for k in ("names", "value")), strict=True)
    )
    assert shares["c"] < 0.05
    assert sum(shares.values()) == pytest.approx(1)
    assert found.document["scores"][0]["mean"] > 0.7


def test_it_says_where_the_numbers_come_from(found, csv):
    here = found.document["environment"]
    assert environment(seconds=0, seed=0, threads=1).keys() <= here.keys()
    assert (here["device"], here["seed"]) == ("cpu", 1)
    other = fit(csv, "y", number_of_folds=2, compare_with_baselines=False).document["environment"]
    assert other["data"] != here["data"]
    assert other["seconds"] > 0


def test_intervals_hold_their_estimates(found):
    entry = found.document["series"]["importances"]
    for low, value, high in zip(entry["low"], entry["value"], entry["high"], strict=True):
        assert low <= value <= high


def test_every_model_sees_every_fold_and_a_guess_is_worth_nothing(found):
    scores = {score["name"]: score for score in found.document["scores"]}
    assert {len(score["folds"]) for score in scores.values()} == {3}
    assert abs(scores["mean of the target"]["mean"]) < 0.2
    assert sum(score["ours"] for score in scores.values()) == 1


def test_scores_are_of_rows_not_seen(csv):
    """Random targets: a model scored on what it was fitted to would look perfect."""
    frame = pd.read_csv(csv)
    frame["y"] = np.random.default_rng(1).normal(size=len(frame))
    frame.to_csv(csv, index=False)
    found = fit(csv, "y", compare_with_baselines=False)
    assert found.document["scores"][0]["mean"] < 0.1
    assert found.document["statements"][0]["level"] == "critical"


def test_a_saved_model_predicts_the_same(found, tmp_path):
    frame = table(50, seed=5)
    folder = found.model.save(tmp_path / "model")
    again = load_model(folder)
    np.testing.assert_array_equal(again.predict(frame), found.model.predict(frame))
    names = sorted(file.name for file in folder.iterdir())
    assert [re.sub("[0-9a-f]{16}", "*", name) for name in names] == [
        "model-*.safetensors", "model.json",
    ]  # fmt: skip
    # A column's place does not matter, nor one too many.
    shuffled = frame[["kind", "c", "y", "b", "a"]]
    np.testing.assert_array_equal(again.predict(shuffled), found.model.predict(frame))


def test_a_model_is_what_its_estimator_is():
    """The saved form against the estimator, by scikit-learn's own pipeline."""
    from overparam.fitting.fit import pipeline
    from overparam.fitting.saved_model import from_estimator
    from overparam.kernels import RFMClassifier

    frame = table()
    x, y = frame[["a", "b", "c", "kind"]].astype({"kind": "category"}), frame["y"] > 1
    fitted = pipeline(x, RFMClassifier(random_state=0)).fit(x, y.astype(int))
    medians = {name: float(x[name].median()) for name in "abc"}
    saved = from_estimator(fitted[-1], medians, "y", ("no", "yes"))
    np.testing.assert_allclose(saved.predict_proba(x), fitted.predict_proba(x), atol=1e-12)
    expected = np.where(fitted.predict(x) == 1, "yes", "no")
    assert saved.predict(x).tolist() == expected.tolist()


@pytest.mark.parametrize("classes", [False, True])
def test_two_machines_are_saved_as_one_model(classes, csv, tmp_path):
    frame = pd.read_csv(csv)
    frame["a"] = np.exp(3 * frame["a"])  # a column of ratios, which is bent
    if classes:
        frame["y"] = np.where(frame["y"] > 1, "high", "low")
    frame.to_csv(csv, index=False)
    found = fit(csv, "y", model="best", compare_with_baselines=False, number_of_folds=2)
    again = load_model(found.model.save(tmp_path / "model"))
    assert again.encoding.bends is not None
    assert len(again.predictor.predictors) == 2
    if classes:
        assert again.codes.exponent == found.model.codes.exponent != 1
        np.testing.assert_array_equal(again.predict_proba(frame), found.model.predict_proba(frame))
    else:
        np.testing.assert_array_equal(again.predict(frame), found.model.predict(frame))
    assert found.document["model"]["settings"].keys() == {"rfm", "irkm"}


def test_an_unknown_level_and_a_gap_are_predicted_all_the_same(found):
    frame = table(4)
    frame["kind"] = ["blue", None, "red", "green"]
    frame.loc[0, "a"] = np.nan
    with pytest.warns(TableWarning, match=r"kind: 1 of 4 of a level that was not there.*'blue'"):
        assert np.isfinite(found.model.predict(frame)).all()


def test_classes_have_names_and_probabilities(csv):
    frame = pd.read_csv(csv)
    frame["y"] = np.where(frame["y"] > 1, "high", "low")
    frame.to_csv(csv, index=False)
    found = fit(csv, "y", model="irkm", compare_with_baselines=False)
    assert set(found.model.predict(frame)) == {"high", "low"}
    np.testing.assert_allclose(found.model.predict_proba(frame).sum(1), 1)
    assert found.document["data"]["predicted"] in ("P(high)", "P(low)")
    assert found.document["series"]["feature_matrix"] is None  # IRKM has a diagonal only


def test_a_table_of_words_only(tmp_path):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.choice(["u", "v", "w"], size=(60, 2)), columns=["a", "b"])
    frame["y"] = np.where(frame["a"] == "u", "yes", "no")
    frame.to_csv(tmp_path / "words.csv", index=False)
    found = fit(tmp_path / "words.csv", "y", compare_with_baselines=False)
    assert found.document["scores"][0]["mean"] == 1
    again = load_model(found.model.save(tmp_path / "model"))
    assert again.predict(frame).tolist() == frame["y"].tolist()


def test_the_same_seed_gives_the_same_numbers(csv):
    one, other = (fit(csv, "y", compare_with_baselines=False, seed=3).document for _ in range(2))
    for document in (one, other):
        document["environment"] = document["scores"] = None
    assert one == other


def test_dependence_of_a_linear_target_is_a_line(tmp_path):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(150, 2)), columns=["a", "b"])
    frame["y"] = 3 * frame["a"] + 0.0 * frame["b"]
    frame.to_parquet(tmp_path / "line.parquet")
    curve = fit(tmp_path / "line.parquet", "y", compare_with_baselines=False).document["series"][
        "dependence"
    ][0]
    assert curve["name"].endswith(" a")
    assert curve["share"] > 0.98
    slope, middle = np.polyfit(curve["x"], curve["y"], 1)
    assert slope == pytest.approx(3 * frame["a"].std(ddof=0), rel=0.1)
    assert np.abs(np.polyval([slope, middle], curve["x"]) - curve["y"]).max() < 0.3


def test_constant_and_empty_columns_are_left_out_and_named(csv):
    frame = pd.read_csv(csv).assign(same=1.0, empty=np.nan)
    frame.to_csv(csv, index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read(csv, "y")
    assert found.left_out == {"same": "one value", "empty": "empty"}
    assert list(found.x) == ["a", "b", "c", "kind"]


def test_a_column_is_left_out_by_its_name_whatever_that_is(tmp_path):
    names = ["height, in m", "a (b", ": left out c"]
    frame = table().assign(**dict.fromkeys(names, np.nan))
    frame.to_csv(tmp_path / "table.csv", index=False)
    assert list(read(tmp_path / "table.csv", "y").left_out) == names


def test_a_guess_is_one_by_what_it_does_and_not_by_what_it_is_called(csv):
    data = read(csv, "y")
    ours, chance = Score("RFM", (0.5, 0.5), 1.0, ours=True), Score("chance", (0.4, 0.4), 1.0)
    for guess, floor in ((chance, 0.0), (replace(chance, guess=True), 0.4)):
        worth = statements(data, findings(ours, guess))[0]
        assert worth.threshold == floor
    models = {"ours": RidgeCV(), "flat": DummyRegressor()}
    data = replace(data, x=data.x[["a", "b"]])
    scores = compare(data, models, "ours", folds(data, 2, 0), n_jobs=1, tell=print)
    assert [score.guess for score in scores] == [False, True]


BAD = {
    "no such target": ({}, "z", "a target column out of"),
    "constant target": ({"y": 1.0}, "y", "at least two different values"),
    "missing targets": ({"y": [np.nan, 1.0] * 120}, "y", "a target for every row"),
    "tiny targets": (
        {"y": np.tile([1e-300, 2e-300, 3.5e-300], 80)},
        "y",
        "above 1e-150 in the tar",
    ),
    "infinite numbers": ({"a": [np.inf] + [0.0] * 239}, "y", "finite numbers or empty fields"),
    "mixed types": ({"a": ["1.5"] * 239 + ["two"]}, "y", "numbers or names in column 'a'"),
    "too many classes": ({"y": [f"c{i % 60:02}" for i in range(240)]}, "y", "at most 50 classes"),
    "no telling column": ({"a": 1, "b": 1, "c": 1, "kind": 1}, "y", "that tells rows apart"),
}


@pytest.mark.parametrize(("changes", "target", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_learned_from(csv, changes, target, message):
    frame = pd.concat([pd.read_csv(csv)] * 2)
    frame.assign(**changes).to_csv(csv, index=False)
    with pytest.raises(ValueError, match=message):
        fit(csv, target)


def test_no_folds_at_a_time_is_an_error():
    for wrong in (0, "a", 1.5):
        with pytest.raises(ValueError, match=rf"fit\(n_jobs=...\).*got {wrong!r}"):
            fit("iris", n_jobs=wrong)


def test_too_few_rows_and_too_many_folds(csv):
    frame = pd.read_csv(csv)
    frame[:12].to_csv(csv, index=False)
    with pytest.raises(ValueError, match="at least 20 rows"):
        fit(csv, "y")
    frame.to_csv(csv, index=False)
    with pytest.raises(ValueError, match=r"a number from 2 to 120, the number of rows, got 121"):
        fit(csv, "y", number_of_folds=121)


def test_images_are_no_table():
    with pytest.raises(ValueError, match="expected a table, got images"):
        fit("digits")


def test_a_damaged_model_is_refused(found, tmp_path):
    folder = found.model.save(tmp_path / "model")
    (folder / "model.json").write_text("{}")
    with pytest.raises(ValueError, match="files that are damaged"):
        load_model(folder)
    found.model.save(folder)  # a model's own folder may be written again
    next(folder.glob("*.safetensors")).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="files that are damaged"):
        load_model(folder)


def test_a_folder_with_other_files_is_left_alone(found, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match=r"one that holds thesis\.tex"):
        found.model.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_missing_columns_and_words_are_told(found):
    with pytest.raises(ValueError, match="a table without a, b, c, kind"):
        found.model.predict(pd.DataFrame({"x": [1.0]}))
    with pytest.raises(ValueError, match="finite numbers or empty fields in 'a', got 'one'"):
        found.model.predict(table(3).astype({"a": object}).assign(a=["one", 2, 3]))
    with pytest.warns(TableWarning, match="b: no such column, read as missing in every row"):
        found.model.predict(table(3).drop(columns="b"))


def test_what_sets_rows_apart_is_told(found):
    frame = table(60)
    frame["kind"] = "red"
    frame.loc[5, "a"] = 99.0
    frame["b"] = frame["b"].abs() / 3
    with pytest.warns(TableWarning) as caught:
        found.model.predict(frame)
    lines = str(caught[0].message).splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == ["a", "b", "kind"]
    assert "1 of 60 outside the range it was fitted to" in lines[0]
    assert "such as 99" in lines[0]
    assert "distributed otherwise" in lines[1]
    assert "'red' in 100% of the rows" in lines[2]


@pytest.mark.parametrize(
    ("classes", "kind"),
    [([5, 7], np.int64), ([0.5, 2.0], np.float64), ([True, False], bool), (["no", "yes"], object)],
)
def test_classes_come_back_as_what_they_were(classes, kind, tmp_path):
    frame = table(60)
    frame["y"] = np.where(frame["y"] > 1, *classes)
    frame.to_csv(tmp_path / "table.csv", index=False)
    found = fit(
        tmp_path / "table.csv", "y", task="classification", compare_with_baselines=False,
        number_of_folds=2,
    )  # fmt: skip
    predicted = load_model(found.model.save(tmp_path / "model")).predict(frame)
    assert predicted.dtype == kind
    assert (predicted == frame["y"]).mean() > 0.8


@pytest.mark.parametrize(
    ("source", "target", "task"),
    [
        ("iris", None, "classification"),
        ("diabetes", "progression", None),
        ("diabetes", "bmi", "regression"),
        ("table.csv:y", None, "regression"),
    ],
)
def test_a_name_or_a_file_may_come_with_a_target_and_a_task(source, target, task, tmp_path):
    table().to_csv(tmp_path / "table.csv", index=False)
    place = str(tmp_path / source) if "csv" in source else source
    data = read(place, target, task=task)
    assert data.task == (task or "regression")
    assert data.target == (target or {"iris": "class"}.get(source, "y"))


def test_whole_numbers_taken_for_classes_are_told(csv):
    grades = pd.read_csv(csv).assign(y=[3, 4, 5, 6] * 30)
    grades.to_csv(csv, index=False)
    for task, told in ((None, True), ("classification", False), ("regression", False)):
        data = read(csv, "y", task=task)
        ours = Score("RFM", (0.5, 0.5), 1.0, ours=True)
        found = {s.name: s for s in statements(data, findings(ours))}
        assert ("target" in found) == told
        assert not told or "y takes 4 whole values, 3 to 6" in found["target"].text


def test_what_a_column_is_taken_for_is_told_and_can_be_set(csv, tmp_path, capsys):
    frame = pd.read_csv(csv).assign(when=[f"0{1 + i % 9}/0{1 + i % 7}/2020" for i in range(120)])
    frame.to_csv(csv, index=False)
    assert "could be either" in read(csv, "y").left_out["when"]
    words = ["fit", str(csv), "--target", "y", "--folds", "2", "--no-baselines"]
    model = ["--save", str(tmp_path / "model"), "--column", "when=day first"]
    assert main([*words, *model, "--column", "kind=text"]) == 0
    printed = capsys.readouterr().out
    assert "number: a, b, c\n" in printed
    assert "date, day first: when\n" in printed
    assert "kind (set to be text)" in printed
    assert load_model(tmp_path / "model").columns == ("a", "b", "c", "when")
    assert main([*words, "--column", "when=dates"]) == 2
    assert "a kind of 'when' out of" in capsys.readouterr().err
    assert main([*words, "--column", "when"]) == 2
    assert "--column is NAME=KIND" in capsys.readouterr().err


def test_the_command_line_warns_of_rows_unlike_those_fitted(csv, tmp_path, capsys):
    fit(csv, "y", compare_with_baselines=False, number_of_folds=2).model.save(tmp_path / "model")
    pd.read_csv(csv).assign(kind="blue").to_csv(csv, index=False)
    assert main(["predict", str(tmp_path / "model"), str(csv)]) == 0
    error = capsys.readouterr().err
    assert "warning: rows unlike those fitted to" in error
    assert "kind: 120 of 120 of a level that was not there when it was fitted ('blue')" in error


def test_the_command_line(csv, tmp_path, capsys):
    files = {name: tmp_path / f"found.{name}" for name in ("json", "html")}
    words = ["fit", str(csv), "--target", "y", "--folds", "2", "--save", str(tmp_path / "model")]
    assert main([*words, "--json", str(files["json"]), "--html", str(files["html"])]) == 0
    assert "random forest" in capsys.readouterr().out
    assert json.loads(files["json"].read_text())["kind"] == "fit"
    assert "Average gradient outer product" in files["html"].read_text()
    assert main(["predict", str(tmp_path / "model"), str(csv), "--output", f"{csv}.out.csv"]) == 0
    predicted = pd.read_csv(f"{csv}.out.csv")
    assert len(predicted) == 120
    assert np.corrcoef(predicted["predicted y"], predicted["y"])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "no.csv"], "there is none"),
        (["fit", "iris", "--model", "svm"], "a model out of best, irkm, rfm"),
        (["fit", "iris", "--task", "guess"], "must be classification or regression"),
        (["fit", "iris", "--html", "nowhere/page.html"], "there is no folder nowhere"),
        (["predict", "nowhere", "no.csv"], "none"),
    ],
)
def test_misuse_is_one_line_and_status_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
