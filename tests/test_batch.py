"""Batches of every form: what is nested stays nested, what is no tensor stays what it is."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from overparam import _batch
from overparam._batch import call, mapped, named_tensors, take
from overparam._model import expect_inputs


class Pair(NamedTuple):
    first: Tensor
    second: Any


@dataclass(frozen=True)
class Frozen:
    tokens: Tensor
    more: Any
    made: int = field(init=False, default=3)


def numbers(start: int) -> Tensor:
    return torch.arange(start, start + 12.0).view(4, 3)


A, B = numbers(0), numbers(100)
FORMS = {
    "a tensor": (A, [""]),
    "a tuple": ((A, B), ["0", "1"]),
    "a list": ([A, B], ["0", "1"]),
    "a named tuple": (Pair(A, B), ["0", "1"]),
    "a dictionary": ({"ids": A, "mask": B}, ["ids", "mask"]),
    "a data class": (Frozen(A, {"k": B}), ["tokens", "more.k"]),
    "all of them": ({"a": [A, (Frozen(B, None),)]}, ["a.0", "a.1.0.tokens"]),
    "what is no tensor": ((A, 2, None, "words"), ["0"]),
}


@pytest.mark.parametrize(("x", "names"), FORMS.values(), ids=FORMS)
def test_every_form_is_gone_through_and_kept(x, names):
    assert [name for name, _ in named_tensors(x)] == names
    assert _batch.n_examples(x) == 4
    rows = take(x, torch.tensor([2, 0]))
    assert type(rows) is type(x)
    for (name, whole), (again, part) in zip(named_tensors(x), named_tensors(rows), strict=True):
        assert name == again
        assert part.equal(whole[[2, 0]])
    joined = _batch.joined([take(x, slice(0, 1)), take(x, slice(1, 4))])
    assert type(joined) is type(x)
    for whole, back in zip(_batch.tensors(x), _batch.tensors(joined), strict=True):
        assert back.equal(whole)


@pytest.mark.parametrize("x", [(), {}, None, "words", [[1.0, 2.0]], {"a": (None,)}])
def test_what_holds_no_tensor_has_no_length(x):
    with pytest.raises(TypeError, match=r"^`a batch` expected at least one tensor, got "):
        _batch.n_examples(x)


@pytest.mark.parametrize("x", [(A, np.ones((4, 3))), {"a": {"b": np.ones(4)}, "c": A}])
def test_an_array_among_tensors_is_refused(x):
    with pytest.raises(TypeError, match=r"^`f\(x=...\)` expected a tensor, or a tuple or mapping"):
        expect_inputs(x, "f(x=...)")


def test_what_is_no_tensor_belongs_to_all_examples():
    flags = object()
    assert take((A, flags, None), slice(0, 2))[1:] == (flags, None)
    assert mapped(lambda value: 0, {"x": A, "n": 5}) == {"x": 0, "n": 5}


def test_a_frozen_data_class_is_copied_and_not_changed():
    before = Frozen(A, B)
    after = mapped(torch.neg, before)
    assert after.tokens.equal(-A)
    assert after.made == 3
    assert before.tokens is A


def test_forms_that_differ_are_not_joined():
    with pytest.raises(ValueError, match="zip"):
        _batch.joined([(A, B), (A,)])
    with pytest.raises(KeyError):
        _batch.joined([{"a": A}, {"b": A}])


def test_copies_share_nothing_and_have_no_graph():
    x = {"a": A.clone().requires_grad_() * 2, "b": [B.clone()]}
    copies = _batch.copied(x)
    x["b"][0].zero_()
    assert copies["b"][0].equal(B)
    assert not copies["a"].requires_grad
    assert _batch.detached(x)["b"][0].data_ptr() == x["b"][0].data_ptr()


def test_precision_is_of_what_is_real():
    made = _batch.in_precision(torch.float64, (A, torch.ones(4, dtype=torch.long)))
    assert [value.dtype for value in made] == [torch.float64, torch.long]


def test_form_is_the_shapes_of_one_example():
    assert _batch.form({"a": A, "b": torch.zeros(4, 2, 5)}) == {"a": (3,), "b": (2, 5)}


class Takes(nn.Module):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs


def test_several_tensors_are_arguments_or_keywords():
    assert call(Takes(), A) == ((A,), {})
    assert call(Takes(), (A, B)) == ((A, B), {})
    assert call(Takes(), {"x": A, "mask": None}) == ((), {"x": A, "mask": None})
    whole = Frozen(A, B)
    assert call(Takes(), whole) == ((whole,), {})


class Whole(nn.Module):
    """One that takes what it is given as one argument."""

    def forward(self, batch):
        parts = batch.values() if isinstance(batch, dict) else batch
        return torch.stack(list(parts)).sum(0)


class Apart(nn.Module):
    def forward(self, a, b, scale=1.0):
        return (a + b) * scale


def test_parts_are_one_argument_where_a_model_takes_one():
    a, b = torch.ones(3), torch.full((3,), 2.0)
    for x in ([a, b], (a, b), {"a": a, "b": b}):
        assert torch.equal(call(Whole(), x), a + b)
        assert torch.equal(call(Apart(), x), a + b)
    assert torch.equal(call(Whole(), {"batch": [a, b]}), a + b)  # by its name
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        call(Apart(), (a,))
