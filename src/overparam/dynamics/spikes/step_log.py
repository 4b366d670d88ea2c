"""What an optimizer was given and what it left, step by step: written by the optimizer's hooks."""

import math
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from overparam.dynamics.spikes.sample import Sample

# Rows that wait to be read.
_ROWS = 64
# Calls at each detail whose costs are kept.
TRIALS = 12


class Row(NamedTuple):
    """One optimizer step, as it was found and left.

    Attributes:
        number: Steps of the optimizer since the log was made; rows may be missing.
        step: The monitor's count.
        rates: lr/(1 − momentum) of every group.
        before: Sampled weights as the optimizer found them.
        after: The same as it left them.
        moments: Sampled moments as it left them, a row of each kind; `None` without any.
        kinds: What the optimizer calls them.
        restored: Moments as it found them, if they were touched in between; else `None`.
        replaced: Whether there were moments before that were gone.
        counts: Steps that the optimizer had counted after the step before, and before this one.
        norms: Euclidean length of every layer's gradient; `None` where it was not measured.
        gradient: Sampled gradient.
    """

    number: int
    step: int
    rates: tuple[float | Tensor, ...]
    before: Tensor
    after: Tensor
    moments: Tensor | None
    kinds: tuple[str, ...]
    restored: Tensor | None
    replaced: bool
    counts: tuple[float, float]
    norms: Tensor | None
    gradient: Tensor | None


class StepLog:
    """Rows of the last optimizer steps.

    The hooks run inside `optimizer.step()`: gradients are those that are used, unscaled and
    clipped, and a step that a gradient scaler leaves out leaves no row. Nothing is read back
    from an accelerator.

    Args:
        params: What is trained, by name.
        optimizer: What trains it.
        clock: Seconds.
        synchronize: Waits until an accelerator has done what it was asked.

    Attributes:
        names: Of the layers, in the order of every row.
        step: The number of the row that is written next.
        detail: 0 keeps nothing, 1 weights, moments and rates, 2 gradients as well.
        costs: Seconds that a step's hooks took, at details 1 and 2, of the first some.
        trouble: What ended it, if anything did.
    """

    def __init__(
        self,
        params: Mapping[str, Tensor],
        optimizer: Optimizer,
        clock: Callable[[], float],
        synchronize: Callable[[], None] = lambda: None,
    ) -> None:
        self.optimizer, self.clock = _inside(optimizer), clock
        self._synchronize = synchronize
        members = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        device = next((p.device for p in params.values()), None)
        kept = {
            name: p
            for name, p in params.items()
            if id(p) in members and p.device == device and p.layout == torch.strided and p.numel()
        }
        self.names, self.params = list(kept), list(kept.values())
        self.sample = Sample(self.params)
        self.rows: deque[Row] = deque(maxlen=_ROWS)
        self.step, self.detail, self._seconds, self.trouble = 0, 2, 0.0, ""
        self.costs: dict[int, list[float]] = {1: [], 2: []}
        self._before = 0.0  # seconds that a step's first hook took
        self._waits = device is not None and device.type != "cpu"
        self._places: list[int] = []
        self._views: list[Tensor] = []
        self._kinds: tuple[str, ...] = ()
        self._held: list[int] = []  # moments by identity, and the numbers of them that are read
        self._moments: list[Tensor] = []
        self._marks: list[int] | None = None
        self._count = math.nan
        self._found: dict[str, Any] | None = None
        self._number = 0
        self._handles: list[RemovableHandle] = []
        self._closed = not kept
        self.choose(2)
        weakref.finalize(self, _unhook, self._handles)

    def choose(self, detail: int) -> None:
        """Log in this detail from now on; at 0 the optimizer is left alone altogether.

        Not to be called by the hooks, which are gone through while they run.
        """
        detail = self.detail = 0 if self._closed or self.trouble else detail
        if detail and not self._handles:
            self._handles += _hooked(self)
        elif not detail and self._handles:
            _unhook(self._handles)
            # How many steps go by is not known then, nor what becomes of moments.
            self._number += 1
            self._found, self._marks, self._count = None, None, math.nan

    def close(self) -> None:
        """Take the hooks off the optimizer."""
        self._closed = True
        self.choose(0)

    def taken(self) -> list[Row]:
        """The rows since the last call, in order."""
        rows = list(self.rows)
        self.rows.clear()
        return rows

    def spent(self) -> float:
        """Seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def begin(self) -> None:
        """The optimizer is about to step."""
        self._found = None
        self._number += 1
        if not self.detail or torch.compiler.is_compiling():
            return
        start = self._now()
        restored, replaced = None, False
        if self._marks is not None:
            had, marks = len(self._held), self._look_at_moments()
            if marks != self._marks:
                restored = self._sampled_moments()
                replaced = had > 0 and restored is None
        count = self._counted()
        self._found = {
            "rates": tuple(_rate(group) for group in self.optimizer.param_groups),
            "before": self._sampled_weights(),
            "restored": restored,
            "replaced": replaced,
            "counts": (count if math.isnan(self._count) else self._count, count),
            "norms": None,
            "gradient": None,
        }
        if self.detail > 1:
            self._found |= self._gradients()
        self._before = self._now() - start

    def end(self) -> None:
        """The optimizer has stepped."""
        if self._found is None:
            return
        start = self._now()
        found, self._found = self._found, None
        self._marks, self._count = self._look_at_moments(), self._counted()
        self.rows.append(
            Row(
                self._number,
                self.step,
                after=self._sampled_weights(),
                moments=self._sampled_moments(),
                kinds=self._kinds,
                **found,
            )
        )
        took, costs = self._before + self._now() - start, self.costs[self.detail]
        if len(costs) < TRIALS:
            costs.append(took)
            if len(costs) == TRIALS:
                self.detail = 0  # until somebody decides what it may cost
        elif self._waits:  # what an accelerator was asked for it does later
            took = max(took, median(costs))
        self._seconds += took

    def _now(self) -> float:
        """The clock; while costs are tried, once an accelerator has nothing else to do."""
        if self._waits and len(self.costs[self.detail]) < TRIALS:
            self._synchronize()
        return self.clock()

    def _sampled_weights(self) -> Tensor:
        places = [p.data_ptr() for p in self.params]
        if places != self._places:  # `p.data = …` gives a parameter other memory
            self._places, self._views = places, self.sample.views(self.params)
        return torch.cat(self._views)

    def _gradients(self) -> dict[str, Tensor]:
        """Lengths and sampled numbers; zero where a layer has no gradient, or a sparse one."""
        grads = [p.grad for p in self.params]
        dense = [g for g in grads if g is not None and g.layout == torch.strided]
        if not dense:
            return {}
        if len(dense) < len(grads):
            dense = [
                g if g is not None and g.layout == torch.strided else torch.zeros_like(p)
                for g, p in zip(grads, self.params, strict=True)
            ]
        half = dense[0].dtype in (torch.float16, torch.bfloat16)
        lengths = torch._foreach_norm(  # pyright: ignore[reportPrivateImportUsage]
            dense, 2, dtype=torch.float32 if half else None
        )
        norms, gradient = torch.stack(list(lengths)), torch.cat(self.sample.views(dense))
        # Fused optimizers divide by the loss scale themselves.
        scale = getattr(self.optimizer, "grad_scale", None)
        if isinstance(scale, Tensor):
            norms, gradient = norms / scale, gradient / scale
        return {"norms": norms, "gradient": gradient}

    def _look_at_moments(self) -> list[int]:
        """How often each moment was written to; find them anew where they are others."""
        state = self.optimizer.state
        held: list[int] = []
        marks: list[int] = []
        for p in self.params:
            for value in (state.get(p) or {}).values():
                if isinstance(value, Tensor) and value.shape == p.shape and value.ndim:
                    held.append(id(value))
                    marks.append(value._version)
        if held != self._held:
            self._held = held
            self._find_moments()
        return held + marks

    def _find_moments(self) -> None:
        """Views of the moments, kind after kind; zeros where a layer has none."""
        state = self.optimizer.state
        found: dict[str, dict[int, Tensor]] = {}
        for i, p in enumerate(self.params):
            for kind, value in (state.get(p) or {}).items():
                if isinstance(value, Tensor) and value.shape == p.shape and value.ndim:
                    found.setdefault(str(kind), {})[i] = value
        self._kinds = tuple(found)
        self._moments = []
        for values in found.values():
            tensors = [
                values[i] if i in values else torch.zeros_like(p) for i, p in enumerate(self.params)
            ]
            self._moments += self.sample.views(tensors)

    def _sampled_moments(self) -> Tensor | None:
        if not self._moments:
            return None
        return torch.cat(self._moments).reshape(len(self._kinds), -1)

    def _counted(self) -> float:
        count = (self.optimizer.state.get(self.params[0]) or {}).get("step", math.nan)
        return float(count) if not isinstance(count, Tensor) or count.is_cpu else math.nan


def _rate(group: Mapping[str, Any]) -> float | Tensor:
    """What a group's step comes to once momentum has built up."""
    momentum = group.get("momentum", 0.0)
    slow = 1 - momentum if isinstance(momentum, float) and 0 < momentum < 1 else 1.0
    rate = group["lr"]
    if isinstance(rate, Tensor) and not rate.is_cpu:
        return rate.detach().clone() / slow
    return float(rate) / slow


def _inside(optimizer: Optimizer) -> Optimizer:
    """The optimizer that steps, inside one that only hands on."""
    inner = getattr(optimizer, "optimizer", None)
    return _inside(inner) if isinstance(inner, Optimizer) else optimizer


def _hooked(log: StepLog) -> list[RemovableHandle]:
    """Hooks that do not keep the log alive."""
    optimizer, ref = log.optimizer, weakref.ref(log)

    def hook(write: Callable[[StepLog], None]) -> Callable[..., None]:
        def run(*_: Any) -> None:
            if (log := ref()) is not None:
                try:
                    write(log)
                except Exception as problem:  # a log must not end a training
                    log.trouble = f"{type(problem).__name__}: {problem}"
                    log.detail, log._found = 0, None

        return run

    return [
        optimizer.register_step_pre_hook(hook(StepLog.begin)),
        optimizer.register_step_post_hook(hook(StepLog.end)),
    ]


def _unhook(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()
    handles.clear()
