"""Losses as they come, read without making the host wait for the device."""

from collections import deque
from typing import Any, NamedTuple

import torch
from torch import Tensor

from overparam._errors import expect

_WHERE = "Monitor.step(loss_value=...)"


class Moment(NamedTuple):
    """What is known of every optimizer step."""

    step: int
    loss: float
    rate: float
    ids: Any


class LossStream:
    """A queue of losses that are read once the device has computed them.

    On the processor a loss is read at once. On an accelerator it is copied to pinned memory
    beside the computation, and `ready` hands out those that have arrived.
    """

    def __init__(self) -> None:
        self._read: list[tuple] = []
        self._travelling: deque[tuple[Moment, Tensor, torch.cuda.Event]] = deque()

    def push(self, step: int, loss: Tensor | float, rate: float, ids: Any) -> None:
        """Take the loss of a step, with the learning rate and the examples it used.

        Raises:
            TypeError: If it is not a number.
            ValueError: If it is more than one.
        """
        if isinstance(loss, Tensor):
            if loss.is_cuda:
                self._send(Moment(step, 0.0, rate, ids), loss.detach())
                return
            try:
                loss = loss.item()
            except RuntimeError:
                hint = "pass the mean loss of the batch."
                expect(False, _WHERE, "one number", f"shape {tuple(loss.shape)}", hint)
        elif not isinstance(loss, (int, float)):
            kind = type(loss).__name__
            expect(False, _WHERE, "a number or a tensor with one", kind, error=TypeError)
        self._read.append((step, loss, rate, ids))

    def ready(self, *, wait: bool = False) -> list[Moment]:
        """The steps whose losses have arrived, in order; with `wait`, all of them."""
        found = [Moment._make(numbers) for numbers in self._read]
        self._read = []
        while self._travelling:
            moment, copy, arrived = self._travelling[0]
            if wait:
                arrived.synchronize()
            elif not arrived.query():
                break
            self._travelling.popleft()
            found.append(moment._replace(loss=float(copy)))
        return found

    def _send(self, moment: Moment, loss: Tensor) -> None:
        shape = f"shape {tuple(loss.shape)}"
        expect(loss.numel() == 1, _WHERE, "one number", shape, "pass the mean loss of the batch.")
        copy = torch.empty((), dtype=torch.float32, pin_memory=True)
        copy.copy_(loss.reshape(()), non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._travelling.append((moment, copy, arrived))
