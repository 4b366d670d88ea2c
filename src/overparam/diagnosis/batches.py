"""Mini-batches to measure with: gathered, gone through again, or refused."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from torch import Tensor, nn

from overparam._batch import joined, n_examples, take, tensors
from overparam._errors import expect
from overparam._model import expect_inputs
from overparam._numbers import described
from overparam._random_numbers import own_random_numbers
from overparam._types import Inputs
from overparam.diagnosis.split import split_of

Batches: TypeAlias = Iterable[Any]
"""Mini-batches that can be gone through again, such as a `DataLoader`: pairs of inputs and
targets, or what `diagnose` takes in their place."""


def gathered(batches: Batches, count: int, where: str) -> tuple[Inputs, Tensor]:
    """The first examples of the batches, as one batch of up to `count`."""
    parts: list[tuple[Inputs, Tensor]] = []
    total = 0
    for batch in batches:
        x, y = pair_of(batch, where)
        parts.append((x, y))
        total += n_examples(x)
        if total >= count:
            break
    expect(total > 0, where, "at least one batch of examples", "none")
    x, y = (joined([part[place] for part in parts]) for place in (0, 1))
    return take(x, slice(0, count)), take(y, slice(0, count))


def pair_of(batch: Any, where: str) -> tuple[Inputs, Tensor]:
    """Inputs and targets of a mini-batch, of one length."""
    split = split_of(batch, None, None, where)
    expect(
        split is not None and tensors(split(batch)[1]), where,
        "mini-batches (x, y) of inputs and a tensor of targets", described(batch),
        hint="a DataLoader over a TensorDataset(x, y) gives such.", error=TypeError,
    )  # fmt: skip
    assert split is not None
    x, y = split(batch)
    expect_inputs(x, where)
    expect_inputs(y, where, n_examples(x))
    return x, y


def expect_batches(batches: Any, where: str, *, again: bool) -> None:
    """Raise for what is no iterable, or can be gone through once only where that is too few."""
    iterable = isinstance(batches, Iterable) and not isinstance(batches, (str, Mapping, Tensor))
    expect(
        iterable, where, "an iterable of mini-batches (x, y)", described(batches),
        hint="for one batch, pass [(x, y)].", error=TypeError,
    )  # fmt: skip
    expect(
        not (again and isinstance(batches, Iterator)), where,
        "mini-batches that can be gone through again", f"a {type(batches).__name__}",
        hint="pass a DataLoader or a list: list(batches) makes one.",
    )  # fmt: skip


def own_numbers(model: nn.Module) -> AbstractContextManager[None]:
    """Leave the global generators as they are."""
    return own_random_numbers({p.device for p in model.parameters()})


def repeated(batches: Batches, where: str) -> Iterator[tuple[Inputs, Tensor]]:
    """Mini-batches without end."""
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield pair_of(batch, where)
        # A loader over a stream may start again and give nothing: without this, for ever.
        expect(
            not empty, where, "mini-batches that can be gone through again",
            "none in another pass", hint="pass a list: list(batches) makes one.",
        )  # fmt: skip
