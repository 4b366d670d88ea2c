"""Every complaint of the library is one class, and the built-in one besides."""

import pickle

import pandas as pd
import pytest
import torch
from torch import nn

import overparam.errors
from overparam._ending import complaint
from overparam._errors import expect, unknown
from overparam.errors import NumericalError, OverparamError
from overparam.fitting import fit
from overparam.linalg import MatrixOperator, matrix_extremes
from overparam.tangents import empirical_ntk

KINDS = (ValueError, TypeError, RuntimeError, MemoryError, ImportError)


@pytest.mark.parametrize("kind", KINDS)
def test_a_complaint_is_ours_and_the_built_in_kind(kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        expect(False, "f(x=...)", "one", "two", error=kind)
    assert isinstance(caught.value, OverparamError)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (type(caught.value), str(caught.value))
    assert complaint(caught.value) == "`f(x=...)` expected one, got two."


def test_errors_of_the_system_stay_what_they_are() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        expect(False, "f(x=...)", "a file", "none", error=FileNotFoundError)
    assert type(caught.value) is FileNotFoundError


def test_what_others_raise_is_not_ours_whatever_it_begins_with() -> None:
    assert complaint(ValueError("`strange` and not ours")) is None


def test_public_functions_raise_them() -> None:
    with pytest.raises(overparam.errors.InvalidValue, match="expected finite"):
        empirical_ntk(nn.Linear(1, 1), torch.tensor([[torch.nan]]))
    with pytest.raises(overparam.errors.InvalidType, match="a tensor"):
        empirical_ntk(nn.Linear(1, 1), "text")  # pyright: ignore
    with pytest.raises(NumericalError) as caught:
        matrix_extremes(torch.diag(torch.tensor([1.0, -1.0])))
    assert isinstance(caught.value, OverparamError)
    with pytest.raises(OverparamError):
        unknown("f(name=...)", "a name", "b", ["a"])


def test_a_complaint_names_the_call_and_what_is_missing() -> None:
    with pytest.raises(TypeError, match=r"\(model, x1, x2, .*\), got none for 'x1'\.$"):
        empirical_ntk(nn.Linear(1, 1))  # pyright: ignore
    operator = MatrixOperator(torch.eye(2))
    with pytest.raises(ValueError, match=r"^`MatrixOperator.eigenpairs\(k=...\)` expected .* 2, g"):
        operator.eigenpairs(3)
    frame = pd.DataFrame({"a": [1.0], "b": [2.0]})
    with pytest.raises(TypeError, match=r"^`fit\(source=...\)` .* got a DataFrame\.\nHint: "):
        fit(frame, "b")  # pyright: ignore


@pytest.mark.parametrize(
    ("name", "meant"),
    [("laplas", "laplace"), ("width", "width (mm)"), ("rl", "lr"), ("xgboost", None), ("", None)],
)
def test_only_a_name_that_is_near_is_offered(name: str, meant: str | None) -> None:
    with pytest.raises(ValueError, match="f") as caught:
        unknown("f(name=...)", "a name", name, ["best", "laplace", "lr", "width (mm)"])
    assert str(caught.value).partition("did you mean ")[2] == (f"{meant!r}?" if meant else "")


def test_every_public_error_is_one() -> None:
    kinds = [kind for kind in vars(overparam.errors).values() if isinstance(kind, type)]
    assert len(kinds) == 7
    assert all(issubclass(kind, OverparamError) for kind in kinds)
    for kind in kinds:  # as those make them who send errors between processes
        assert type(kind.__new__(kind, "text")) is kind
