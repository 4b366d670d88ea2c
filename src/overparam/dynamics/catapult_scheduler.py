"""A learning-rate schedule that provokes catapults, one after another."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from overparam._as_before import or_as_before
from overparam._checked import checked
from overparam._errors import expect
from overparam._numbers import described, is_number
from overparam.errors import NumericalError
from overparam.optim.stability import has_stability_limit

# Part of the first loss below which a loss is not told from rounding.
_ROUNDING = 1e-6

Phase = Literal["warm up", "catapult", "cool down", "finished"]

_ALL_DONE = "all catapults done"
_INTERPOLATES = "interpolates: the error is at rounding, nothing can grow"


class CatapultScheduler(LRScheduler):
    """Raise the learning rate above its critical value, wait for the catapult, and again.

        warm up:   lr = rest · lr*                         for `warmup` steps
        catapult:  lr = mult · lr*(now)                    until L > peak · L₀ and then L < L₀
        cool down: lr = min(lr, rest · lr*(now))           for `cooldown` steps, and repeat

    with lr* the critical learning rate, measured where a line says "now", and L₀ the loss before
    the rate was raised (at least 10⁻⁶ of the first: below lies rounding). Every catapult leaves
    a flatter model; for low-rank targets it also brings the features closer to the target's, and
    lowers the test error.

    Call ``step(loss)`` once per optimizer step, after it, with the loss on **all** of the data or
    on a fixed part of it: the loss of a changing mini-batch rises and falls by itself. If the
    loss has not risen and come back within `patience` steps, lr* is measured again and the rate
    raised to it, at the loss as it is then.

    The schedule always ends: after all catapults; after the first attempt in which the loss
    stayed at rounding, since of a model that interpolates no error is left that could grow; or
    after that many fruitless `attempts` in a row. `reason` says which. It takes at most
    warmup + n_catapults · (attempts · patience + cooldown) steps.

    Args:
        optimizer: Of a kind whose critical rate is known: see `has_stability_limit`. With
            several groups, the fastest is set and the others keep their proportion.
        critical_lr: Called without arguments; gives lr* at the present weights, for example
            ``lambda: critical_learning_rate(model, x, y, loss, optimizer, steps=0)``.
        n_catapults: How many; then the rate stays where the last cool-down left it.
        mult: How far above the critical rate. Between 1.2 and 1.35 events are controlled;
            at 1.6 the second one can diverge, and from 2 on nothing returns.
        rest: Part of the critical rate to warm up and cool down at.
        warmup: Steps before the first event.
        cooldown: Steps after each.
        peak: Factor over L₀ that the loss must have passed for a rise to count.
        patience: Steps to wait for a rise, and for its end.
        attempts: How often in a row the rate is raised without a catapult before the schedule
            ends.

    Attributes:
        phase: "warm up", "catapult", "cool down" or "finished".
        reason: Why it is finished, and None before: "all catapults done", "interpolates: …",
            "no rise in … attempts" or "no return in … attempts".
        n_done: Catapults that are over.
        peaks: Largest loss over L₀ of each.

    Raises:
        ValueError: If the critical rate of the optimizer is not known, a number is out of range,
            or every group has the rate 0. From `step`: if `critical_lr` gives no positive number.
        TypeError: If `critical_lr` cannot be called.
        NumericalError: From `step`: if the loss is not finite, or 10⁶ times the first.

    Cost:
        Two calls of `critical_lr` per catapult and one at the start, one more for each fruitless
        attempt; nothing else.

    Example:
        One weight on one input is linear, and never comes back by itself; two weights do. Slow
        and short rests leave an error that can grow:

        >>> import torch
        >>> from overparam.optim import critical_learning_rate
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(
        ...     torch.nn.Linear(2, 64, bias=False), torch.nn.Linear(64, 1, bias=False)
        ... )
        >>> x, y, loss = torch.eye(2), torch.tensor([[1.0], [0.0]]), torch.nn.functional.mse_loss
        >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> schedule = CatapultScheduler(
        ...     sgd,
        ...     lambda: critical_learning_rate(model, x, y, loss, sgd, steps=0),
        ...     n_catapults=2,
        ...     rest=0.1,
        ...     warmup=5,
        ...     cooldown=5,
        ... )
        >>> while schedule.phase != "finished":
        ...     sgd.zero_grad()
        ...     value = loss(model(x), y)
        ...     value.backward()
        ...     sgd.step()
        ...     schedule.step(value.item())
        >>> schedule.n_done, schedule.reason
        (2, 'all catapults done')

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2023), arXiv:2306.04815: several catapults, and what
        each does to features and test error. The protocol, its factors and its stopping rule
        are ours.
    """

    @checked(first=True)
    def __init__(
        self,
        optimizer: Optimizer,
        critical_lr: Callable[[], float],
        *,
        n_catapults: int = 4,
        mult: float = 1.2,
        rest: float = 0.5,
        warmup: int = 20,
        cooldown: int = 20,
        peak: float = 1.5,
        patience: int = 500,
        attempts: int = 10,
    ) -> None:
        where = "CatapultScheduler"
        expect(
            isinstance(optimizer, Optimizer),
            f"{where}(optimizer=...)",
            "a torch optimizer",
            type(optimizer).__name__,
            error=TypeError,
        )
        expect(
            has_stability_limit(optimizer),
            f"{where}(optimizer=...)",
            "an optimizer whose critical learning rate is known",
            type(optimizer).__name__,
            hint="use SGD, MaSS, Adam, AdamW, RMSprop or Adagrad, without maximize.",
        )
        expect(
            callable(critical_lr),
            f"{where}(critical_lr=...)",
            "a function without arguments that measures the critical learning rate",
            type(critical_lr).__name__,
            hint="lambda: critical_learning_rate(model, x, y, loss, optimizer, steps=0).",
            error=TypeError,
        )
        expect(n_catapults >= 1, f"{where}(n_catapults=...)", "at least one", n_catapults)
        expect(1 < mult < 2, f"{where}(mult=...)", "a factor between 1 and 2", mult)
        expect(0 < rest < 1, f"{where}(rest=...)", "a part of the critical rate, in (0, 1)", rest)
        expect(warmup >= 0, f"{where}(warmup=...)", "a number of steps ≥ 0", warmup)
        expect(cooldown >= 0, f"{where}(cooldown=...)", "a number of steps ≥ 0", cooldown)
        expect(peak > 1, f"{where}(peak=...)", "a factor above 1", peak)
        expect(patience >= 1, f"{where}(patience=...)", "at least one step", patience)
        expect(attempts >= 1, f"{where}(attempts=...)", "at least one", attempts)
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        expect(
            all(math.isfinite(rate) and rate >= 0 for rate in rates) and max(rates) > 0,
            f"{where}(optimizer=...)",
            "finite learning rates, at least one of them positive",
            rates,
            hint="their proportion is what the schedule keeps; any scale will do.",
        )
        # The base class would take a step at once, and compute rates from an epoch number.
        self.optimizer, self.critical_lr = optimizer, critical_lr
        self.n_catapults, self.mult, self.rest = n_catapults, mult, rest
        self.warmup, self.cooldown, self.peak, self.patience = warmup, cooldown, peak, patience
        self.attempts, self.failed = attempts, 0
        self.proportions = [rate / max(rates) for rate in rates]
        self.phase: Phase = "warm up"
        self.reason: str | None = None
        self.n_done, self.peaks = 0, list[float]()
        self.last_epoch = self.waited = 0
        self.first = self.level = self.highest = math.nan
        self._set(self.rest * self._critical())

    @or_as_before
    @checked(result="anything")
    def step(self, loss: float) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the loss after a step of the optimizer, and set the rate of the next.

        Args:
            loss: On all of the data, or on a fixed part of it.
        """
        expect(
            is_number(loss) or isinstance(loss, Tensor), "CatapultScheduler.step(loss=...)",
            "a number", described(loss), error=TypeError,
        )  # fmt: skip
        value = float(loss)
        expect(
            math.isfinite(value) and not value > 1e6 * (self.first or math.inf),
            "CatapultScheduler.step(loss=...)",
            "a finite loss, below 10⁶ times the first",
            value,
            hint="the run diverged: start again with a smaller mult.",
            error=NumericalError,
        )
        if not self.first > 0:
            self.first = value
        self.last_epoch += 1
        self.waited += 1
        if self.phase == "catapult":
            self._follow(value)
        elif self.phase != "finished" and self.waited >= self._pause():
            self._raise(value)

    def _raise(self, value: float) -> None:
        """Begin an event at the present loss."""
        lr = self.mult * self._critical(value)
        if math.isinf(lr):
            self._finish(_INTERPOLATES, value)
            return
        self.highest, self.level = value, max(value, _ROUNDING * self.first)
        self._enter("catapult", lr)

    def _follow(self, value: float) -> None:
        """A step of an event: is it over, or has it not begun?"""
        self.highest = max(self.highest, value)
        risen = self.highest > self.peak * self.level
        if risen and value < self.level:
            self.n_done, self.failed = self.n_done + 1, 0
            self.peaks = [*self.peaks, self.highest / self.level]
            if self.n_done == self.n_catapults:
                self._finish(_ALL_DONE, value)
            else:
                self._enter("cool down", self._calm(value))
        elif self.waited >= self.patience:
            self.failed += 1
            times = f"{self.attempts} attempt{'s' * (self.attempts > 1)} of {self.patience} steps"
            if self.highest <= self._rounding() * self.first:
                self._finish(_INTERPOLATES, value)
            elif self.failed < self.attempts:
                # Too mild to be seen, or stuck above the level: from here, at today's rate.
                self._raise(value)
            elif self.highest <= _ROUNDING * self.first:
                self._finish(_INTERPOLATES, value)
            elif risen:
                self._finish(f"no return in {times}", value)
            else:
                self._finish(f"no rise in {times}", value)

    def _finish(self, reason: str, value: float) -> None:
        self.reason = reason
        self._enter("finished", self._calm(value))

    def _calm(self, value: float) -> float:
        """The rate after an event."""
        return min(max(self._last_lr), self.rest * self._critical(value))

    def _rounding(self) -> float:
        """Part of the first loss at which an error is rounding, and cannot grow.

        Near the critical rate 2 / |φ|² a step on an error e moves a weight by about
        2 e / (|φ| √p), for p of them and the features φ; half the last digit of a weight is
        ε |w| / (2 √p), with |w| |φ| up to √p |f| in a wide network. The step is lost where
        e < ε √p |f| / 4; its square, without the factor, is the part of the loss.
        """
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        eps = max(torch.finfo(weight.dtype).eps for weight in weights)
        return min(_ROUNDING, sum(weight.numel() for weight in weights) * eps**2)

    def _pause(self) -> int:
        return self.warmup if self.phase == "warm up" else self.cooldown

    def _enter(self, phase: Phase, lr: float) -> None:
        self.phase, self.waited = phase, 0
        self._set(lr)

    def _critical(self, loss: float = math.nan) -> float:
        """The critical rate now, checked; without curvature at a loss that is rounding, inf."""
        value = float(self.critical_lr())
        interpolates = value == math.inf and loss <= _ROUNDING * self.first
        expect(
            interpolates or (math.isfinite(value) and value > 0),
            "CatapultScheduler(critical_lr=...)",
            "a function that gives a positive number",
            value,
            hint="inf means that no output depends on the parameters, nan that the optimizer's "
            "limit is not known.",
        )
        return value

    def _set(self, lr: float) -> None:
        for group, part in zip(self.optimizer.param_groups, self.proportions, strict=True):
            group["lr"] = lr * part
        self._last_lr: list[float] = [group["lr"] for group in self.optimizer.param_groups]  # pyright: ignore[reportIncompatibleVariableOverride]

    def get_lr(self) -> list[float | Any]:
        """The rates of the groups, as they are."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs, without the optimizer and `critical_lr`."""
        left_out = ("optimizer", "critical_lr")
        state = {key: value for key, value in self.__dict__.items() if key not in left_out}
        return state | {"peaks": list(self.peaks)}

    @or_as_before
    @checked
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; the optimizer's own holds the learning rates."""
        expect(
            len(state_dict["proportions"]) == len(self.optimizer.param_groups),
            "CatapultScheduler.load_state_dict(...)",
            f"a state for {len(self.optimizer.param_groups)} parameter groups",
            len(state_dict["proportions"]),
        )
        self.__dict__.update(state_dict)
        if self.phase == "finished" and "reason" not in state_dict:
            # Written before a schedule could end otherwise.
            self.reason = _ALL_DONE
        self.peaks = list(state_dict["peaks"])
        self._set(max(state_dict["_last_lr"]))
