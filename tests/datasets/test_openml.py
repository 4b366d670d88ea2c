from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest

from overparam.datasets import load, named, openml


@pytest.fixture
def served(monkeypatch, tmp_path):
    """OpenML replaced by a function of the data set's number; no folder of data in sight."""
    monkeypatch.delenv("OVERPARAM_DATA", raising=False)
    monkeypatch.setattr(named, "__file__", str(tmp_path / "a/b/c/d/named.py"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def serve(answer):
        def fetch_openml(data_id, as_frame, n_retries):
            return answer(data_id)

        monkeypatch.setattr(openml.datasets, "fetch_openml", fetch_openml)

    return serve


def test_images_get_their_shape_and_their_standard_split(served):
    pixels = np.arange(60002)[:, None] % 256 * np.ones((1, 784))
    labels = (np.arange(60002) % 10).astype(str)
    served(lambda number: SimpleNamespace(data=pixels, target=labels, number=number))
    data = load("mnist")
    assert (data.x_train.shape, data.x_train.dtype) == ((60000, 28, 28), np.uint8)
    assert data.x_test[:, 0, 0].tolist() == [96, 97]
    assert data.y_test.tolist() == [0, 1]


def test_colour_images_become_channels_last(served):
    one = np.repeat([1.0, 2.0, 3.0], 1024)
    pixels = np.broadcast_to(one, (50001, 3072))
    served(lambda number: SimpleNamespace(data=pixels, target=np.arange(50001) % 10))
    assert load("cifar10").x_test[0, 5, 7].tolist() == [1, 2, 3]


def test_tables_are_read_like_any_frame(served):
    frame = pd.DataFrame({"a": range(30), "spam": pd.Categorical(["0", "1", "0"] * 10)})
    served(lambda number: SimpleNamespace(frame=frame, target_names=["spam"]))
    data = load("spambase")
    assert (data.class_names, data.target_name, len(data.x_test)) == (("0", "1"), "spam", 6)


@pytest.mark.parametrize("failure", [URLError("no route"), ValueError("bad file"), TimeoutError()])
def test_no_connection_is_one_error_that_says_where_it_looked(served, failure):
    def fail(number):
        raise failure

    served(fail)
    with pytest.raises(FileNotFoundError, match=r"mnist.npz in .*nor data set 554 of OpenML"):
        load("mnist")
