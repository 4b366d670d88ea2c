"""Losses as they come, read without making the host wait for the device."""

import math
from collections import deque
from typing import Any, NamedTuple

import torch
from torch import Tensor

from overparam._errors import expect
from overparam._numbers import is_number

_WHERE = "Monitor.step(loss_value=...)"


def expect_loss(loss: Any) -> None:
    """Raise unless it is one number; on a device it need not have been computed yet.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is more than one, or none.
    """
    if isinstance(loss, Tensor):
        single = loss.numel() == 1 and not loss.is_meta
        if single and loss.is_floating_point():  # asked at every step: the words take longer
            return
        hint = "pass the mean loss of the batch."
        expect(single, _WHERE, "one number", f"shape {tuple(loss.shape)}", hint)
        expect(not loss.is_complex(), _WHERE, "a real number", loss.dtype, error=TypeError)
    elif not isinstance(loss, (int, float)):  # asked first: this is asked at every step
        words = "a number or a tensor with one"
        expect(is_number(loss), _WHERE, words, type(loss).__name__, error=TypeError)


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
        self._travelling: deque[tuple[Moment, Tensor, Tensor | None, torch.cuda.Event]] = deque()

    def push(self, step: int, loss: Tensor | float, rate: float | Tensor, ids: Any) -> float:
        """Take the loss of a step, one number, with the learning rate and the examples it used.

        Returns:
            The loss; −∞ where the device has not computed it yet.

        Raises:
            TypeError, ValueError: As `expect_loss`; nothing is taken then.
        """
        if isinstance(loss, Tensor):
            if loss.is_cuda:
                expect_loss(loss)
                self._send(step, loss.detach(), rate, ids)
                return -math.inf
            loss = _number(loss)
        elif type(loss) is not float:
            expect_loss(loss)
            loss = float(loss)
        self._read.append((step, loss, float(rate), ids))
        return loss

    def ready(self, *, wait: bool = False) -> list[Moment]:
        """The steps whose losses have arrived, in order; with `wait`, all of them."""
        found = [Moment._make(numbers) for numbers in self._read]
        self._read = []
        while self._travelling:
            moment, loss, rate, arrived = self._travelling[0]
            if wait:
                arrived.synchronize()
            elif not arrived.query():
                break
            self._travelling.popleft()
            rate = moment.rate if rate is None else float(rate)
            found.append(moment._replace(loss=float(loss), rate=rate))
        return found

    def _send(self, step: int, loss: Tensor, rate: float | Tensor, ids: Any) -> None:
        sent = _copied(loss)
        there = _copied(rate.detach()) if isinstance(rate, Tensor) and rate.is_cuda else None
        moment = Moment(step, 0.0, 0.0 if there is not None else float(rate), ids)
        arrived = torch.cuda.Event()
        # On the stream of the loss's own device, which need not be the current one.
        arrived.record(torch.cuda.current_stream(loss.device))
        self._travelling.append((moment, sent, there, arrived))


def _number(loss: Tensor) -> float:
    """Of a tensor that can be read now; reading it tells sooner than asking what it is."""
    try:
        value = loss.item()
    except RuntimeError:
        expect_loss(loss)
        raise
    if type(value) is not float:
        expect_loss(loss)
    return float(value)


def _copied(number: Tensor) -> Tensor:
    """A copy in pinned memory, in its own precision, which arrives later."""
    copy = torch.empty((), dtype=number.dtype, pin_memory=True)
    return copy.copy_(number.reshape(()), non_blocking=True)
