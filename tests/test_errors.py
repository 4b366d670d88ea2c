"""Every complaint of the library is one class, and the built-in one besides."""

import pickle

import pytest
import torch
from torch import nn

import overparam.errors
from overparam._ending import complaint
from overparam._errors import expect, unknown
from overparam.errors import NumericalError, OverparamError
from overparam.linalg import matrix_extremes
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


def test_every_public_error_is_one() -> None:
    kinds = [kind for kind in vars(overparam.errors).values() if isinstance(kind, type)]
    assert len(kinds) == 7
    assert all(issubclass(kind, OverparamError) for kind in kinds)
    for kind in kinds:  # as those make them who send errors between processes
        assert type(kind.__new__(kind, "text")) is kind
