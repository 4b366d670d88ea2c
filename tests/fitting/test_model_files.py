"""A saved model is loaded as it was saved, or refused: never half of it, never another one."""

import copy
import errno
import hashlib
import importlib
import json
import os
import random
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save, save_file

from overparam._json import json_digest
from overparam.cli import main
from overparam.fitting import SavedModel, load_model
from overparam.fitting.model_files import _sweep
from overparam.kernels.codes import ClassCodes
from overparam.kernels.encoding import find_levels, learn_encoding
from overparam.kernels.feature_matrix import KernelPredictor
from overparam.kernels.functions import Gaussian, Laplace
from overparam.kernels.lpq import Lpq


def table(n=9, seed=0):
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": draw.normal(size=n), "b": draw.normal(size=n)})
    frame["kind"] = draw.choice(np.array(["red", "green", None], dtype=object), size=n)
    frame.loc[:2, "kind"] = ["red", "green", None]
    frame.loc[3, "b"] = np.nan
    return frame


def model(classes=0, seed=0, kernel=None, target="y", n=6):
    """A model of two numbers and a category, without fitting one."""
    draw = np.random.default_rng(seed)
    frame = table(seed=seed)
    levels = find_levels(frame, [2])
    numbers = np.column_stack([frame[["a", "b"]].fillna(0.0), np.zeros(len(frame))])
    encoding = learn_encoding(numbers, levels, list(frame.columns), None, standardize=True)
    d, outputs = 5, classes - 1 if classes else 1
    predictor = KernelPredictor(
        kernel or Laplace(3.0),
        torch.from_numpy(draw.normal(size=(n, d))),
        torch.from_numpy(draw.normal(size=(n, outputs))),
        torch.from_numpy(np.diag(draw.uniform(1, 2, size=d))),
    )
    scaled = np.zeros(0) if classes else np.ones(1) + seed
    return SavedModel(
        target=target, task="classification" if classes else "regression",
        columns=("a", "b", "kind"), class_names=tuple(f"c{k}" for k in range(classes)),
        medians=np.array([0.5, 0.25, np.nan]), encoding=encoding, predictor=predictor,
        centre=scaled, scale=scaled,
        codes=ClassCodes.of(np.arange(20) % classes) if classes else None,
    )  # fmt: skip


def said(saved):
    """All that a user sees of a model."""
    numbers = saved.outputs(saved.coordinates(table())).tobytes()
    return saved.target, saved.task, saved.columns, saved.class_names, numbers


def as_the_first_format(folder):
    """The files as the first format had them: no digests, one name for the numbers."""
    words = json.loads((folder / "model.json").read_text())
    (folder / f"model-{words.pop('numbers')[:16]}.safetensors").rename(folder / "model.safetensors")
    for name in ("digest", "reader", "class_type", "target_scale"):
        del words[name]
    (folder / "model.json").write_text(json.dumps(words | {"format": 1}))


def as_the_second_format(folder):
    """The words as the second format had them: digests, and nothing of how columns are read."""
    words = json.loads((folder / "model.json").read_text())
    for name in ("digest", "reader", "class_type", "target_scale"):
        del words[name]
    words["format"] = 2
    (folder / "model.json").write_text(json.dumps(words | {"digest": json_digest(words)}))


def as_the_third_format(folder):
    """The words as the third format had them: nothing of the target's scale."""
    words = json.loads((folder / "model.json").read_text())
    del words["digest"], words["target_scale"]
    words["format"] = 3
    (folder / "model.json").write_text(json.dumps(words | {"digest": json_digest(words)}))


def complaint(folder):
    """What is said of a model that is refused; nothing if it loads."""
    try:
        with warnings.catch_warnings(action="error"):
            load_model(folder)
    except (ValueError, FileNotFoundError) as error:
        assert str(error).startswith("`load_model(")  # noqa: PT017
        assert error.__cause__ is None  # noqa: PT017
        assert error.__suppress_context__ or error.__context__ is None  # noqa: PT017
        return str(error)
    return ""


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("kernel", [Laplace(3.0), Gaussian(np.float64(2.0)), Lpq(2.0, 1.5, 1.0)])
def test_what_was_saved_is_loaded_to_the_bit(tmp_path, classes, kernel):
    saved = model(classes, kernel=kernel)
    assert said(load_model(saved.save(tmp_path / "new" / "model"))) == said(saved)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_model_of_the_first_format_is_loaded_and_replaced(tmp_path, classes):
    saved = model(classes)
    saved.save(tmp_path)
    as_the_first_format(tmp_path)
    assert said(load_model(tmp_path)) == said(saved)
    other = model(classes, seed=1)
    other.save(tmp_path)
    assert said(load_model(tmp_path)) == said(other)
    as_the_third_format(tmp_path)
    assert said(load_model(tmp_path)) == said(other)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("classes", [0, 3])
def test_a_model_of_the_second_format_is_loaded(tmp_path, classes):
    saved = model(classes)
    saved.save(tmp_path)
    as_the_second_format(tmp_path)
    assert said(load_model(tmp_path)) == said(saved)
    days = table().assign(a=pd.to_datetime("1970-01-03"))
    numbers = table().assign(a=2.0)
    again = load_model(tmp_path)
    np.testing.assert_array_equal(again.coordinates(days), again.coordinates(numbers))


def test_halves_of_two_models_are_refused(tmp_path):
    for name, seed in (("A", 0), ("B", 1)):
        model(seed=seed).save(tmp_path / name)
    names = {name: next((tmp_path / name).glob("*.safetensors")) for name in "AB"}
    shutil.copy(names["B"], names["A"])
    assert f"{names['A'].name} is not what was written" in complaint(tmp_path / "A")
    names["A"].unlink()
    assert f"no {names['A'].name}" in complaint(tmp_path / "A")


def steps_of(saved, folder, monkeypatch, stop):
    """Save, and fail as a full disk does at the given step; whether it came to that."""
    count = 0
    originals = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}

    def failing(name):
        def step(*words, **options):
            nonlocal count
            count += 1
            if count == stop:
                raise OSError(errno.ENOSPC, "No space left on device")
            return originals[name](*words, **options)

        return step

    with monkeypatch.context() as patch:
        for name in originals:
            patch.setattr(os, name, failing(name))
        try:
            saved.save(folder)
        except OSError as error:
            assert "No space left" in str(error)  # noqa: PT017
    return count >= stop


@pytest.mark.parametrize("first", [1, 2])
def test_a_full_disk_at_any_step_leaves_one_model_whole(tmp_path, monkeypatch, first):
    old, new = model(seed=0), model(seed=1, target="z", n=9)
    seen = set()
    for stop in range(1, 100):
        folder = tmp_path / str(stop)
        old.save(folder)
        if first == 1:
            as_the_first_format(folder)
        failed = steps_of(new, folder, monkeypatch, stop)
        found = said(load_model(folder))
        assert found in (said(old), said(new))
        seen.add(found == said(new))
        new.save(folder)  # and nothing of the attempt is in the way
        assert said(load_model(folder)) == said(new)
        assert len(list(folder.iterdir())) == 2
        if not failed:
            break
    assert stop > 4
    assert seen == {True, False}


def test_on_a_disk_without_room_the_old_model_stays(small_disk):
    folder = small_disk / "model"
    old = model()
    old.save(folder)
    with pytest.raises(OSError, match="No space left"):
        model(seed=1, n=30_000).save(folder)
    assert said(load_model(folder)) == said(old)
    assert len(list(folder.iterdir())) == 2
    with pytest.raises(OSError, match="No space left"):
        model(seed=1, n=30_000).save(small_disk / "new")
    assert list((small_disk / "new").iterdir()) == []


def test_what_a_killed_save_left_is_removed_by_the_next(tmp_path):
    saved = model()
    saved.save(tmp_path)
    left = (".model.json.0a1b2c3d.part", f".model-{'0' * 16}.safetensors.0a1b2c3d.part")
    for name in (*left, f"model-{'1' * 16}.safetensors"):
        (tmp_path / name).write_bytes(b"half")
    assert said(load_model(tmp_path)) == said(saved)
    saved.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "model.json").write_bytes(b"{")
    with pytest.raises(ValueError, match="Expecting"):
        _sweep(tmp_path)  # what cannot be read says nothing about what is left over
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path):
    saved = model()
    bad = copy.copy(saved)
    object.__setattr__(bad, "medians", np.array([np.nan, 0.0, 0.0]))
    with pytest.raises(ValueError, match="medians with NaN"):
        bad.save(tmp_path / "model")
    bad = copy.copy(saved)
    object.__setattr__(bad, "class_names", ("a", "b", "c"))
    with pytest.raises(ValueError, match="a regression of 3 classes"):
        bad.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_predictions_that_are_not_finite_are_an_error():
    saved = model(3)
    object.__setattr__(saved.predictor, "dual", saved.predictor.dual * np.nan)
    with pytest.raises(ArithmeticError, match="9 of 9 whose is not"):
        saved.predict(table())
    with pytest.raises(TypeError, match=r"a pandas\.DataFrame, got list"):
        saved.predict([[1.0]])
    twice = pd.concat([table(), table()[["a"]]], axis=1)
    with pytest.raises(ValueError, match="each column once, got a more than once"):
        saved.predict(twice)


DEEP = json.loads("[" * 900 + "]" * 900)
VALUES = [
    None, True, False, -1, 0, 1, 2, 3, 10**400, -(10**400), 1.5, 1e308, 1e-320, "", "x", "a", "é",
    "\ud800", "../../etc/passwd", [], {}, [[]], {"0": []}, ["a", "a"], ["a", "b", "c", "d"], DEEP,
    "NaN", [None], {"bandwidth": 1}, "__import__('os').system('true')",
]  # fmt: skip
TEXTS = ["NaN", "Infinity", "-Infinity", "9" * 5000, "[" * 100_000, "1e999", '"\\ud800"', "", "\0"]


def places(value, path=()):
    """Every place in a document."""
    yield path
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield from places(value[key], (*path, key))


def put(document, path, value):
    """The document with another value at a place; without one, with that place removed."""
    if not path:
        return value
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return document


def raw(dtype, shape, data, others):
    """A file of the numbers in which `dual` is of a type that NumPy lacks."""
    content = save({name: array for name, array in others.items() if name != "dual"})
    size = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    header["dual"] = {
        "dtype": dtype,
        "shape": shape,
        "data_offsets": [len(body), len(body) + len(data)],
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body + data


def tampered_words(draw, text):
    """Words that were changed, as text."""
    document = json.loads(text)
    path = draw.choice(list(places(document)))
    kind = draw.choice(["value", "value", "value", "absent", "text", "extra", "bytes", "cut"])
    if kind == "cut":
        return text[: draw.randrange(len(text))]
    if kind == "bytes":
        where = draw.randrange(len(text))
        return text[:where] + bytes([draw.randrange(256)]) + text[where + 1 :]
    if kind == "extra":
        return json.dumps(document | {draw.choice(["x", "numbers", "digest"]): 1}).encode()
    if kind == "absent" and path:
        return json.dumps(put(document, path, KeyError)).encode()
    if kind == "text":
        marked = json.dumps(put(document, path, "@@@")).encode()
        return marked.replace(b'"@@@"', draw.choice(TEXTS).encode())
    return json.dumps(put(document, path, draw.choice(VALUES))).encode()


def tampered_numbers(draw, content, arrays):
    """Numbers that were changed, as a file's bytes."""
    name = draw.choice(sorted(arrays))
    array = arrays[name]
    kind = draw.choice(["NaN", "type", "shape", "absent", "extra", "bytes", "cut", "raw", "header"])
    if kind == "cut":
        return content[: draw.randrange(len(content))]
    if kind == "bytes":
        where = draw.randrange(len(content))
        return content[:where] + bytes([draw.randrange(256)]) + content[where + 1 :]
    if kind == "header":
        size = draw.choice([0, 2**63, len(content), 7])
        return size.to_bytes(8, "little") + content[8:]
    if kind == "raw":
        kinds = [("F8_E4M3", 1), ("BF16", 2), ("F8_E5M2", 1), ("F16", 2), ("C64", 8)]
        dtype, size = draw.choice(kinds)
        n = len(arrays["dual"])
        return raw(dtype, [n, 1], b"\0" * size * n, arrays)
    if kind == "NaN":
        array = array.copy()
        array.flat[: draw.randrange(3)] = draw.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e308])
    elif kind == "type":
        array = np.nan_to_num(array).astype(
            draw.choice([np.float32, np.float16, np.int64, np.uint8, bool])
        )
    elif kind == "shape":
        shapes = [array[:-1], array[None], array.ravel(), np.concatenate([array, array]), array[:0]]
        array = np.ascontiguousarray(draw.choice(shapes))
    elif kind == "absent":
        return save({key: value for key, value in arrays.items() if key != name})
    return save(arrays | {name if kind != "extra" else "extra": array})


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A regression and a classification, in both formats."""
    folder = tmp_path_factory.mktemp("models")
    for classes in (0, 3):
        for version in (1, 2):
            model(classes).save(folder / f"{classes} {version}")
            if version == 1:
                as_the_first_format(folder / f"{classes} {version}")
    return folder


def tamper(draw, folder):
    """Change the files of a model in one way."""
    words, numbers = folder / "model.json", next(folder.glob("*.safetensors"))
    if draw.random() < 0.5:
        words.write_bytes(tampered_words(draw, words.read_bytes()))
    else:
        changed = tampered_numbers(draw, numbers.read_bytes(), load_file(numbers))
        numbers.write_bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_tampered_models_are_refused_or_what_they_were(originals, tmp_path, seed):
    """Digests tell every change of what the words say or the numbers are."""
    draw = random.Random(seed)
    refused = 0
    for turn in range(50):
        source = originals / f"{draw.choice([0, 3])} 2"
        folder = shutil.copytree(source, tmp_path / str(turn))
        tamper(draw, folder)
        if complaint(folder):
            refused += 1
        else:
            assert said(load_model(folder)) == said(load_model(source))
    assert refused > 30


def signed(folder):
    """Digests made to fit, as one who tampers on purpose would."""
    numbers = next(folder.glob("*.safetensors"))
    digest = hashlib.sha256(numbers.read_bytes()).hexdigest()
    try:
        words = json.loads((folder / "model.json").read_bytes())
        words["numbers"] = digest
        words.pop("digest", None)
        words["digest"] = json_digest(words)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return
    (folder / "model.json").write_text(json.dumps(words))
    numbers.rename(folder / f"model-{digest[:16]}.safetensors")


@pytest.mark.filterwarnings("ignore:rows unlike")  # levels and columns may be others now
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_tampered_models_whose_digests_fit_are_refused_or_predict(
    originals, tmp_path, seed, version
):
    draw = random.Random(seed)
    refused = 0
    for turn in range(50):
        folder = shutil.copytree(
            originals / f"{draw.choice([0, 3])} {version}", tmp_path / str(turn)
        )
        tamper(draw, folder)
        if version == 2:
            signed(folder)
        if complaint(folder):
            refused += 1
            continue
        saved = load_model(folder)
        frame = table().rename(columns=dict(zip(("a", "b", "kind"), saved.columns, strict=True)))
        try:
            predicted = saved.predict(frame)
        except (ValueError, ArithmeticError) as error:
            assert str(error).startswith("`SavedModel.predict(")  # noqa: PT017
        else:
            assert len(predicted) == len(frame)
            assert set(predicted) <= set(saved.class_names) or np.isfinite(predicted).all()
    assert refused > 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, a: w.update(class_names=["a", "b"]), "shape"),
        (lambda w, a: w.update(class_names=["a", "b", "c", "d"]), "shape"),
        (lambda w, a: w.update(class_names=["a", "a", "b"]), "distinct"),
        (lambda w, a: w.update(task="regression"), "a regression of 3 classes"),
        (lambda w, a: w.update(columns=["a", "b"]), "levels of a column '2'"),
        (lambda w, a: w.update(columns=["a", "b", "b"]), "distinct"),
        (lambda w, a: w.update(levels={}), "centres of shape (6, 5), not (6, 3)"),
        (lambda w, a: w["levels"].update({"2": ["red", "red", None]}), "not distinct"),
        (lambda w, a: w["levels"].update({"2": [None, "red", "blue"]}), "neither words nor"),
        (lambda w, a: w.update(kernel="Cubic"), "an unknown kernel"),
        (lambda w, a: w.update(kernel_settings={}), "settings of the kernel"),
        (lambda w, a: w.update(kernel_settings={"bandwidth": True}), "a bandwidth"),
        (lambda w, a: w.update(kernel="Lpq", kernel_settings={"bandwidth": 1, "p": 1, "q": 2}),
         "0 < q"),
        (lambda w, a: w.update(format=5), "a model of format 1 to 4"),
        (lambda w, a: w.update(reader=[], class_type="", target_scale="x"), "an unknown scale"),
        (lambda w, a: a.update(residuals=np.zeros(3)), "residuals of shape"),
        (lambda w, a: w.update(more_kernels=[{}]), "a kernel that is none"),
        (lambda w, a: w.update(more_kernels=[{"kernel": "Laplace", "settings": {"bandwidth": 1}}]),
         "absent or unknown: ['dual 2', 'feature_matrix 2', 'shares']"),
        (lambda w, a: a.update(sharpness=np.zeros(2)), "an exponent that is none"),
        (lambda w, a: a.update(bends=np.full((4, 3), -1.0)), "bends that are none"),
        (lambda w, a: a.update(bends=np.full((4, 2), np.nan)), "bends of shape"),
        (lambda w, a: w.update(reader=[]), "absent or unknown: ['class_type']"),
        (lambda w, a: w.update(reader=[], class_type="words"), "a reader of other columns"),
        (lambda w, a: w.update(reader=[{}], class_type="words"), "entries that are absent"),
        (lambda w, a: a.update(dual=a["dual"] * np.nan), "dual with NaN"),
        (lambda w, a: a.update(dual=a["dual"][:, :1].copy()), "dual of shape"),
        (lambda w, a: a.update(dual=a["dual"].astype(np.float32)), "types float32, float64"),
        (lambda w, a: a.update(medians=np.array([np.nan, 0, 0])), "medians with NaN"),
        (lambda w, a: a.update(scale=np.zeros(3)), "scale that is not positive"),
        (lambda w, a: a.update(priors=np.ones(3)), "no shares of a whole"),
        (lambda w, a: a.update(basis=a["basis"] * 2), "no orthonormal one"),
        (lambda w, a: a.pop("basis"), "absent or unknown"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_each_other_are_named(originals, tmp_path, change, message):
    folder = shutil.copytree(originals / "3 1", tmp_path / "model")
    words = json.loads((folder / "model.json").read_text())
    arrays = load_file(folder / "model.safetensors")
    change(words, arrays)
    (folder / "model.json").write_text(json.dumps(words))
    save_file(arrays, folder / "model.safetensors")
    assert message in complaint(folder)


def test_a_folder_that_is_no_place_for_a_model_is_left_as_it_was(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ValueError, match="no folder"):
        model().save(tmp_path / "file")
    (tmp_path / "odd" / "model.json").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"one that holds model\.json"):
        model().save(tmp_path / "odd")
    assert (tmp_path / "file").read_text() == "precious"


def test_the_command_line_looks_at_the_folder_before_it_fits(tmp_path, capsys, monkeypatch):
    def fitted(*arguments, **settings):
        raise AssertionError("fitted in vain")

    monkeypatch.setattr(importlib.import_module("overparam.fitting.fit"), "fit", fitted)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "one.tex").write_text("precious")
    (tmp_path / "t.csv").write_text("a,y\n" + "\n".join(f"{i},{i % 7}" for i in range(40)))
    words = ["fit", str(tmp_path / "t.csv"), "--target", "y", "--save", str(tmp_path / "thesis")]
    assert main(words) == 2
    assert "one that holds one.tex" in capsys.readouterr().err
