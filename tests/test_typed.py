"""The pass that checks annotations: lies are told, and what refuses by itself is left to do so."""

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

pytest.importorskip("beartype", reason="what checks annotations is not installed")

import annotations


def checked(function):
    return annotations._checked(function, typechecker=annotations.check)


def half(number: int) -> float:
    return number / 2


def root(number: float) -> float:
    if isinstance(number, str):
        raise TypeError("no text")
    return number**0.5


def total(x: Float[Tensor, "n d"], weights: Float[Tensor, "n"]) -> Float[Tensor, "d"]:
    return weights @ x if len(weights) == len(x) else x.sum()


def test_what_is_accepted_against_the_annotation_is_a_lie():
    assert checked(half)(3) == 1.5
    with pytest.raises(annotations.FalseAnnotation, match="number"):
        checked(half)(3.0)


def test_what_comes_back_against_the_annotation_is_one():
    assert checked(root)(4.0) == 2.0
    with pytest.raises(annotations.FalseAnnotation, match="return"):
        checked(root)(-1.0)  # a complex number


def test_a_refusal_is_the_functions_own():
    with pytest.raises(TypeError, match=r"^no text$"):
        checked(root)("4")


def test_axes_of_one_name_have_one_length():
    x = torch.ones(3, 2)
    assert torch.equal(checked(total)(x, torch.ones(3)), torch.full((2,), 3.0))
    with pytest.raises(annotations.FalseAnnotation, match="weights"):
        checked(total)(x, torch.ones(2))
    with pytest.raises(annotations.FalseAnnotation, match="x"):
        checked(total)(x.double().long(), torch.ones(3).long())


def test_a_function_in_another_is_checked_as_well():
    def outer(value):
        def inner(number: int) -> int:
            return number

        return checked(inner)(value)

    assert outer(1) == 1
    with pytest.raises(annotations.FalseAnnotation, match="number"):
        outer("1")
