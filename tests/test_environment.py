"""One record of where numbers come from, in every document."""

import json

import numpy as np
import pytest
import torch

from overparam import _environment as module
from overparam._environment import digest, environment

KEYS = {
    "overparam", "torch", "numpy", "scipy", "scikit-learn", "python", "platform", "device",
    "threads", "data", "seed", "date", "seconds", "command",
}  # fmt: skip


def test_it_is_plain_data_of_these_keys():
    found = environment(seconds=1.5, seed=3, threads=2, budget_seconds=60.0)
    assert set(found) == KEYS | {"budget_seconds"}
    assert json.loads(json.dumps(found)) == found
    assert (found["device"], found["threads"], found["seed"]) == ("cpu", 2, 3)
    assert (
        environment(seconds=1, seed=0, threads=1, device=torch.device("meta"))["device"] == "meta"
    )


X = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize(
    "same",
    [X.copy(), torch.from_numpy(X), np.asfortranarray(X), torch.from_numpy(X.T.copy()).T,
     torch.from_numpy(X).requires_grad_()],
)  # fmt: skip
def test_the_same_numbers_have_one_digest_whoever_holds_them(same):
    assert digest(same, "y") == digest(X, "y")


@pytest.mark.parametrize(
    "other",
    [X + np.eye(4, 3) * 1e-12, X.astype(np.float32), X.reshape(3, 4), X[:3], X[::-1], [X], {"x": X},
     X > 3, torch.from_numpy(X).bfloat16(), X.astype(object), "X", None],
)  # fmt: skip
def test_other_ones_have_another(other):
    assert digest(other) != digest(X)
    assert digest(other) == digest(other)


def test_names_order_and_places_count():
    assert digest({"a": X, "b": X}) != digest({"a": X, "c": X})
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(["a"], "b") != digest("a", ["b"])
    assert digest(X[:0]) != digest(X[:0].astype(int))
    assert digest(np.float64(2)) == digest(torch.tensor(2.0, dtype=torch.float64))


def test_of_a_large_array_rows_at_equal_distances_count(monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES", X.nbytes // 2)
    other = X.copy()
    other[1] = -1  # 0 and 2 are read
    assert digest(other) == digest(X)
    other[2] = -1
    assert digest(other) != digest(X)
