"""What an optimizer was given and what it left, step by step: written by the optimizer's hooks."""

import math
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from overparam.dynamics.spikes.sample import Sample

# First steps, and from one to the next, at which it is looked whether the optimizer writes to the
# gradients it was given.
_SURE, _AGAIN = 3, 32
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
        norms: Euclidean lengths of the gradients of the layers of `Sample.long`; those of the
            others are in their sample, which is whole. `None` where they were not measured.
        gradient: Sampled gradient; `None` likewise.
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
    norms: tuple[Tensor, ...] | None
    gradient: Tensor | None


class StepLog:
    """Rows of the last optimizer steps.

    The hooks run inside `optimizer.step()`: gradients are those that are used, unscaled and
    clipped, and a step that a gradient scaler leaves out leaves no row. Nothing is read back
    from an accelerator.

    They run between training's own kernels, when whatever they touch has left the caches, so that
    each operation counts. What can be done when rows are read, many at once, is done then; and
    gradients are read after the step, which has just gone through them, unless the optimizer is
    one that writes to them.

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
        device = next((p.device for p in params.values()), None)
        kept = self._taken_of(params)
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
        self._states: list[tuple[Any, int]] = []  # of each parameter, and how much is in it
        self._held: list[tuple[dict, Any, Tensor]] = []  # moments, and where they are kept
        self._moments: list[Tensor] = []  # the numbers of them that are read
        self._found_moments = 0  # how often they were others
        self._marks: list[int] | None = None
        self._count = math.nan
        self._found: dict[str, Any] | None = None
        self._number = 0
        self._writes = False  # whether the optimizer writes to the gradients
        self._given: list[tuple[Tensor | None, int]] = []  # they, and how often they were written
        self._handles: list[RemovableHandle] = []
        self._closed = not kept
        self.choose(2)
        weakref.finalize(self, _unhook, self._handles)

    def others(self, params: Mapping[str, Tensor]) -> bool:
        """Whether what is trained is not what is logged: layers were unfrozen, groups added."""
        return list(map(id, self._taken_of(params).values())) != list(map(id, self.params))

    def follow(self, params: Mapping[str, Tensor]) -> None:
        """Log these from now on; rows that wait to be read are lost."""
        kept = self._taken_of(params)
        self.names, self.params = list(kept), list(kept.values())
        self.sample = Sample(self.params)
        self.rows.clear()
        self._places, self._states, self._held, self._moments = [], [], [], []
        self._marks, self._count = None, math.nan
        self._number += 1  # the next row does not follow on the last

    def _taken_of(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those that the optimizer steps, on one device, and in real numbers, without holes."""
        members = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        device = next((p.device for p in params.values()), None)
        return {
            name: p
            for name, p in params.items()
            if id(p) in members and p.device == device and p.numel()
            if p.layout is torch.strided and not p.is_complex()
        }

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

    def present(self) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
        """Weights and moments as they are now, sampled, and the kinds of those."""
        self._look_at_moments()
        return self._sampled_weights(), self._sampled_moments(), self._kinds

    def gradient(self) -> Tensor | None:
        """That which is there now, sampled."""
        return self._gradients().get("gradient")

    def begin(self) -> None:
        """The optimizer is about to step."""
        self._found, self._given = None, []
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
        count = self.counted()
        self._found = {
            "rates": tuple(_rate(group) for group in self.optimizer.param_groups),
            "before": self._sampled_weights(),
            "restored": restored,
            "replaced": replaced,
            "counts": (count if math.isnan(self._count) else self._count, count),
            "norms": None,
            "gradient": None,
        }
        looks = self._number <= _SURE or self._number % _AGAIN == 0
        if self.detail > 1 and (self._writes or looks):
            self._found |= self._gradients()
            grads = [p.grad for p in self.params]
            self._given = [(g, 0 if g is None else g._version) for g in grads]
        self._before = self._now() - start

    def end(self) -> None:
        """The optimizer has stepped."""
        if self._found is None:
            return
        start = self._now()
        found, self._found = self._found, None
        grads = [(p.grad, *given) for p, given in zip(self.params, self._given, strict=False)]
        # A closure brings new ones, which are those that the step is taken with.
        new = any(now is not None and now is not given for now, given, _ in grads)
        self._writes = self._writes or any(
            given is not None and (now is None or (now is given and given._version != count))
            for now, given, count in grads
        )
        self._given = []
        if self.detail > 1 and (new or not grads):
            found |= self._gradients()
        self._marks, self._count = self._look_at_moments(), self.counted()
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

    def _gradients(self) -> dict[str, Any]:
        """Lengths and sampled numbers; zero where a layer has no gradient, or a sparse one."""
        grads = [p.grad for p in self.params]
        if any(g is None or g.layout is not torch.strided for g in grads):
            whole = [g is not None and g.layout is torch.strided for g in grads]
            if not any(whole):
                return {}
            grads = [
                g if dense else torch.zeros_like(p)
                for g, p, dense in zip(grads, self.params, whole, strict=True)
            ]
        gradient = torch.cat(self.sample.views(grads))  # pyright: ignore[reportArgumentType]
        norms = self._lengths([grads[i] for i in self.sample.long])
        # Fused optimizers divide by the loss scale themselves.
        scale = getattr(self.optimizer, "grad_scale", None)
        if isinstance(scale, Tensor):
            norms, gradient = [norm / scale for norm in norms], gradient / scale
        return {"norms": tuple(norms), "gradient": gradient}

    @staticmethod
    def _lengths(grads: list[Any]) -> Sequence[Tensor]:
        if not grads:
            return ()
        half = grads[0].dtype in (torch.float16, torch.bfloat16)
        return torch._foreach_norm(  # pyright: ignore[reportPrivateImportUsage]
            grads, 2, dtype=torch.float32 if half else None
        )

    def _look_at_moments(self) -> list[int]:
        """How often each moment was written to; find them anew where they are others."""
        get = self.optimizer.state.get
        same = len(self._states) == len(self.params)
        for p, (state, n) in zip(self.params, self._states, strict=False):
            if get(p) is not state or (state is not None and len(state) != n):
                same = False
                break
        if not same or any(state.get(kind) is not value for state, kind, value in self._held):
            self._find_moments()
        return [self._found_moments, *[value._version for _, _, value in self._held]]

    def _find_moments(self) -> None:
        """Views of the moments, kind after kind; zeros where a layer has none, or sparse ones."""
        states = [self.optimizer.state.get(p) for p in self.params]
        self._states = [(state, 0 if state is None else len(state)) for state in states]
        self._held = []
        found: dict[str, dict[int, Tensor]] = {}
        for i, (p, kept) in enumerate(zip(self.params, states, strict=True)):
            state: dict = kept or {}
            for kind, value in state.items():
                if isinstance(value, Tensor) and value.shape == p.shape and value.ndim:
                    if value.layout is not torch.strided or value.device != p.device:
                        continue
                    found.setdefault(str(kind), {})[i] = value
                    self._held.append((state, kind, value))
        self._found_moments += 1
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

    def counted(self) -> float:
        """Steps by the optimizer's own count; `nan` without one that can be read."""
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
