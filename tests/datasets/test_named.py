import subprocess
import sys

import numpy as np
import pytest

from overparam.datasets import load, named, names


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No folder of data beside the checkout or the current directory."""
    monkeypatch.delenv("OVERPARAM_DATA", raising=False)
    monkeypatch.setattr(named, "__file__", str(tmp_path / "a/b/c/d/named.py"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "task", "rows", "shape"),
    [
        ("breast_cancer", "classification", 569, (30,)),
        ("diabetes", "regression", 442, (10,)),
        ("digits", "classification", 1797, (8, 8)),
        ("iris", "classification", 150, (4,)),
        ("wine", "classification", 178, (13,)),
    ],
)
def test_bundled_sets_need_no_folder(nowhere, name, task, rows, shape):
    data = load(name)
    assert (data.task, data.x_train.shape[1:]) == (task, shape)
    assert len(data.x_train) + len(data.x_test) == rows
    assert abs(len(data.x_test) - rows / 5) <= 3
    assert name in names()


def test_the_split_is_fixed_by_the_seed():
    first, again, other = load("iris"), load("iris"), load("iris", seed=1)
    assert np.array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)
    assert np.bincount(first.y_test).tolist() == [10, 10, 10]


@pytest.mark.parametrize("place", ["", "tabular"])
def test_the_named_folder_comes_first(nowhere, monkeypatch, place):
    beside = nowhere / "shared" / "data"
    chosen = nowhere / "chosen" / place
    for folder, value in ((beside, 1.0), (chosen, 2.0)):
        folder.mkdir(parents=True)
        np.savez(folder / "mine.npz", X=np.full((10, 1), value), y=np.arange(10) % 2)
    assert load("mine").x_train[0] == 1
    monkeypatch.setenv("OVERPARAM_DATA", str(nowhere / "chosen"))
    assert load("mine").x_train[0] == 2
    assert "mine" in names()


def test_an_unknown_name_offers_the_nearest_and_says_where_it_looked(nowhere, monkeypatch):
    monkeypatch.setenv("OVERPARAM_DATA", "/nowhere")
    with pytest.raises(ValueError, match="did you mean 'digits'") as caught:
        load("diggits")
    message = str(caught.value)
    assert message.startswith("`load('diggits')` expected a data set (in /nowhere (no such folder)")
    assert str(nowhere / "shared" / "data") in message


@pytest.mark.parametrize("name", ["usps", "tinyshakespeare", "cifar10_jpeg"])
def test_a_known_set_that_is_absent_says_where_it_looked(nowhere, name):
    with pytest.raises(
        FileNotFoundError, match=r"\$OVERPARAM_DATA \(not set\)(.|\n)*set OVERPARAM_DATA"
    ):
        load(name)


def test_a_text_becomes_windows_and_the_character_after_each(nowhere):
    folder = nowhere / "shared" / "data"
    folder.mkdir(parents=True)
    text = "".join(chr(ord("a") + (i * i) % 26) for i in range(64 * 20 + 5))
    (folder / "tinyshakespeare.txt").write_text(text)
    data = load("tinyshakespeare")
    assert (data.kind, data.x_train.shape, data.x_test.shape) == ("tokens", (18, 64), (2, 64))
    letters = np.array(data.class_names)
    assert "".join(letters[np.concatenate([data.x_train, data.x_test]).ravel()]) == text[: 64 * 20]
    assert "".join(letters[data.y_train]) == text[64 : 64 * 18 + 1 : 64]


def test_the_standard_splits_of_the_shared_folder(shared_data, monkeypatch):
    monkeypatch.setenv("OVERPARAM_DATA", str(shared_data))
    mnist = load("mnist")
    assert (mnist.x_train.shape, mnist.x_train.dtype) == ((60000, 28, 28), np.uint8)
    assert np.bincount(mnist.y_test).tolist()[:3] == [980, 1135, 1032]
    adult = load("adult")
    assert (len(adult.x_test), adult.class_names) == (16281, ("<=50K", ">50K"))
    assert adult.levels[adult.feature_names.index("sex")] == ("Female", "Male")
    concrete = load("concrete")
    assert (concrete.task, len(concrete.x_train), concrete.class_names) == ("regression", 927, ())
    assert load("tinyshakespeare").class_names[:2] == ("\n", " ")


def test_jpeg_streams_are_decoded(nowhere):
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 200, np.uint8)).save(stream, format="JPEG")
    bytes_ = np.frombuffer(stream.getvalue() * 2, np.uint8)
    offset = np.array([0, 1, 2]) * (len(bytes_) // 2)
    folder = nowhere / "shared" / "data"
    folder.mkdir(parents=True)
    parts = {"jpeg": bytes_, "offset": offset, "y": np.array([0, 1])}
    arrays = {f"{key}_{part}": value for key, value in parts.items() for part in ("train", "test")}
    np.savez(folder / "cifar10_jpeg.npz", class_names=np.array(["cat", "dog"]), **arrays)
    data = load("cifar10_jpeg")
    assert data.x_train.shape == (2, 32, 32, 3)
    assert abs(data.x_train.astype(float) - 200).max() <= 2


def test_jpeg_streams_without_pillow_are_one_error(nowhere, monkeypatch):
    folder = nowhere / "shared" / "data"
    folder.mkdir(parents=True)
    np.savez(folder / "cifar10_jpeg.npz", class_names=np.array(["cat", "dog"]))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="expected Pillow"):
        load("cifar10_jpeg")


def test_data_sets_do_not_import_torch():
    code = "import overparam.datasets, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=200).returncode == 0
