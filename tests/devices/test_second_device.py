"""The device that stands in for a GPU refuses what CUDA refuses, and lets pass what it takes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from second_device import SecondDevice
from torch import nn

FAR = torch.device("cuda", 0)


@pytest.fixture
def second() -> Any:
    with SecondDevice("cuda") as mode:
        yield mode


def linear() -> nn.Module:
    return nn.Linear(3, 2, device=FAR)


REFUSED: dict[str, tuple[str, Callable[[], Any]]] = {
    "a product across": ("same device", lambda: torch.ones(2, 2, device=FAR) @ torch.ones(2, 2)),
    "a sum across": ("same device", lambda: torch.ones(2, device=FAR) + torch.ones(2)),
    "a sum written here": (
        "same device",
        lambda: torch.zeros(()).add_(torch.ones((), device=FAR)),
    ),
    "a model elsewhere": ("same device", lambda: linear()(torch.ones(1, 3))),
    "inside vmap": (
        "same device",
        lambda: torch.func.vmap(lambda v: v * torch.ones(3))(torch.ones(2, 3, device=FAR)),
    ),
    "inside jvp": (
        "same device",
        lambda: torch.func.jvp(
            lambda v: v @ torch.ones(3), *((torch.ones(3, device=FAR),),) * 2
        ),
    ),
    "in the backward pass": (
        "same device",
        lambda: linear()(torch.ones(1, 3, device=FAR)).backward(torch.ones(1, 2)),
    ),
    "rows of the device by name": (
        "same device",
        lambda: torch.ones(3)[torch.tensor([0], device=FAR)],
    ),
    "numpy": ("numpy", lambda: torch.ones(2, device=FAR).numpy()),
    "a matrix of whole numbers": (
        "not implemented",
        lambda: torch.ones(2, 2, device=FAR, dtype=torch.int64) @ torch.ones(
            2, 2, device=FAR, dtype=torch.int64
        ),
    ),
    "a generator of the CPU": (
        "generator",
        lambda: torch.randn(2, device=FAR, generator=torch.Generator()),
    ),
    "a generator of the device": (
        "generator",
        lambda: torch.randn(2, generator=torch.Generator(device=FAR)),
    ),
    "drawing in place": (
        "generator",
        lambda: torch.zeros(2, device=FAR).normal_(generator=torch.Generator()),
    ),
    "a device that is not there": ("no device", lambda: torch.zeros(2, device="xpu")),
    "a factory without a device": (
        "same device",
        lambda: torch.ones(2, device=FAR) * torch.arange(2),
    ),
    "stacks": ("same device", lambda: torch.stack([torch.ones(2), torch.ones(2, device=FAR)])),
    "many tensors at once": (
        "same device",
        lambda: torch._foreach_add([torch.ones(2)], [torch.ones(2, device=FAR)]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(second: SecondDevice, name: str) -> None:
    message, broken = REFUSED[name]
    with pytest.raises((RuntimeError, TypeError), match=message):
        broken()


TAKEN: dict[str, Callable[[], Any]] = {
    "numbers of the CPU": lambda: torch.ones(2, device=FAR) * torch.tensor(2.0) + 1,
    "indices of the CPU": lambda: torch.ones(3, device=FAR)[torch.tensor([0, 2])],
    "moves": lambda: torch.ones(2).to(FAR),
    "moves to another": lambda: torch.ones(2).to(torch.ones(1, device=FAR)),
    "copies across": lambda: torch.ones(2, device=FAR).copy_(torch.ones(2)),
    "views": lambda: torch.ones(2, 2, device=FAR).T[0],
    "like another": lambda: torch.zeros_like(torch.ones(2, device=FAR)),
    "new of another": lambda: torch.ones(2, device=FAR).new_tensor([1.0, 2.0]),
    "as a tensor": lambda: torch.as_tensor(torch.ones(2, device=FAR)),
    "clones": lambda: torch.ones(2, device=FAR).clone(),
    "models": lambda: nn.Linear(3, 2).to(FAR)(torch.ones(1, 3, device=FAR)),
    "gradients": lambda: torch.func.grad(lambda v: v.square().sum())(torch.ones(2, device=FAR)),
    "per example": lambda: torch.func.vmap(torch.sin)(torch.ones(2, device=FAR)),
    "forward mode": lambda: torch.func.jvp(
        torch.sin, *((torch.ones(2, device=FAR),),) * 2
    )[1],
    "numbers drawn there": lambda: torch.rand(
        2, device=FAR, generator=torch.Generator(device=FAR)
    ),
    "the default device": lambda: _by_default(),
    "many tensors at once": lambda: torch._foreach_add([torch.ones(2, device=FAR)], 1.0)[0],
    "an optimizer": lambda: _stepped(),
}  # fmt: skip


def _by_default() -> torch.Tensor:
    with FAR:
        return torch.zeros(2) + torch.arange(2)


def _stepped() -> torch.Tensor:
    model = linear()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3, device=FAR)).sum().backward()
    optimizer.step()
    return next(model.parameters()).detach()


@pytest.mark.parametrize("name", TAKEN)
def test_takes(second: SecondDevice, name: str) -> None:
    found = TAKEN[name]()
    assert found.device == FAR
    assert found.is_cuda
    assert not found.is_cpu
    assert found.cpu().device.type == "cpu"
    assert found.detach().cpu().numpy().shape == tuple(found.shape)


def test_the_gradient_of_a_move_moves_back(second: SecondDevice) -> None:
    w = torch.ones(2, requires_grad=True)
    (w.to(FAR) * torch.ones(2, device=FAR)).sum().backward()
    assert w.grad is not None
    assert w.grad.device.type == "cpu"


def test_it_has_random_numbers_of_its_own(second: SecondDevice) -> None:
    torch.manual_seed(0)
    here = torch.get_rng_state()
    before = torch.cuda.get_rng_state()
    first = torch.rand(2, device=FAR)
    assert torch.equal(torch.get_rng_state(), here)
    torch.cuda.set_rng_state(before)
    assert torch.equal(torch.rand(2, device=FAR), first)


def test_it_counts_how_often_the_host_waits(second: SecondDevice) -> None:
    x = torch.ones(2, device=FAR)
    y = (x * 2).sum()
    assert not second.waits
    float(y), x.cpu(), x.tolist()
    assert second.waits.total() == 3


def test_a_device_without_double_precision() -> None:
    with SecondDevice("mps", float64=False) as mode, pytest.raises(TypeError, match="float64"):
        torch.ones(2, device=mode.device).double()


def test_everything_is_as_it_was_afterwards() -> None:
    before = torch.zeros, torch.Generator, torch.Tensor.to, torch.Tensor.device, torch.cuda.Event
    with SecondDevice("cuda") as mode:
        x = torch.ones(2, device=mode.device)
    now = torch.zeros, torch.Generator, torch.Tensor.to, torch.Tensor.device, torch.cuda.Event
    assert now == before
    assert x.device.type == "cpu"
    assert not hasattr(torch.cuda, "nothing")
