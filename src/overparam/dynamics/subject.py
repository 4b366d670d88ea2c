"""What a monitor watches: a model in training, with its loss, optimizer and probe batch."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam._batch import copied, leaves, n_examples
from overparam._devices import synchronize
from overparam._errors import complaint, expect
from overparam._forward import inside, seen_through
from overparam._kept_state import kept_state
from overparam._model import expect_inputs, undisturbed
from overparam._numbers import described
from overparam._own_loss import logits_of, seen_with_loss
from overparam._parts import Tree, parts
from overparam._switches import uncompiled
from overparam._types import Batch, Forward, Loss, Params
from overparam.dynamics.batch_form import as_pair, is_sound, why_whole
from overparam.dynamics.probes.probe import Scene, trained

# What tools put around a module, to spread it over processes or to cast for it, and around an
# optimizer; by name, as importing them takes a while. An optimizer around another that changes
# its steps, such as a Lookahead, is none of these.
_AROUND_MODULE = {"DistributedDataParallel", "DataParallel", "_FabricModule"}
_AROUND_OPTIMIZER = {"AcceleratedOptimizer", "LightningOptimizer", "_FabricOptimizer"}


@runtime_checkable
class Scaler(Protocol):
    """What is needed of a `torch.amp.GradScaler`."""

    def get_scale(self) -> float:
        """The factor on the loss."""
        ...


class Subject:
    """A model in training, as probes see it.

    Args:
        model: The module that is trained; of a compiled one, the module inside.
        loss: `loss(outputs, targets)`; `None` for the one that the model computes inside.
        optimizer: The optimizer.
        probe_batch: Fixed inputs and targets, or `None` to take the first batch seen.
        forward: Picks the tensor the loss takes.
        grad_scale: A number or a scaler.
        seed: Of anything random.
        distance: Whether to keep the parameters as they are now.

    Attributes:
        whole: Why examples of the probe batch cannot be taken apart; empty if they can.
        outputs: Numbers the model gives for an example; `None` until that is known.
        few: What a pass of a few examples takes, as a part of one of a batch; 0 until known.
        quadratic: Whether the loss is a squared error; `None` until known.
        knows_loss: Whether `loss` can be asked; the model's own is found with the first batch.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss | None,
        optimizer: Optimizer,
        probe_batch: Batch | None,
        forward: Forward | None,
        grad_scale: float | Scaler | None,
        seed: int,
        distance: bool = True,
    ) -> None:
        for argument, fits, words, given in (
            ("model", isinstance(model, nn.Module), "a torch module", model),
            ("loss", loss is None or callable(loss), "a function of outputs and targets", loss),
            ("optimizer", hasattr(optimizer, "param_groups"), "an optimizer", optimizer),
        ):
            expect(
                fits, f"Monitor({argument}=...)", words, f"a {type(given).__name__}",
                hint="the order is Monitor(model, loss, optimizer).", error=TypeError,
            )  # fmt: skip
        module, where = bare(model), "Monitor"
        optimizer, scaler = bare_optimizer(optimizer)
        self._forward = logits_of if loss is None and forward is None else forward
        self.model = seen_through(module, self._forward, where)
        self._tree = Tree(self.model)
        params = trained(self.model)
        # By name, since importing what defines them takes a while.
        kinds = {type(part).__name__ for part in (*params.values(), *module.modules())}
        self.sharded = not kinds.isdisjoint(("DTensor", "FullyShardedDataParallel"))
        expect(params, "Monitor(model=...)", "a model with trainable parameters", "none")
        members = {id(p) for group in optimizer.param_groups for p in group["params"]}
        expect(
            any(id(p) in members for p in params.values()),
            "Monitor(optimizer=...)",
            "an optimizer over parameters of the model",
            f"{type(optimizer).__name__} over others",
            hint="build it from model.parameters(), after moving the model to its device.",
        )
        self.whole = ""
        self.outputs: int | None = None
        self.few = 0.0
        self.quadratic: bool | None = None
        self._notes: dict[str, Any] = {}
        self._passing: dict[str, Any] = {}
        if probe_batch is not None:
            pair, _ = as_pair(probe_batch)
            expect(pair is not None, "Monitor(probe_batch=...)", "a pair (inputs, targets)",
                   type(probe_batch).__name__, error=TypeError)  # fmt: skip
            assert pair is not None
            self.whole = why_whole(*pair)
            if not self.whole or _is_plain(pair):
                self.whole = ""
                expect_inputs(pair[0], "Monitor(probe_batch=...)")
                expect_inputs(pair[1], "Monitor(probe_batch=...)", n_examples(pair[0]))
            probe_batch = pair
        self.loss: Loss = _not_known if loss is None else loss
        self.knows_loss = loss is not None
        self.optimizer, self.seed = optimizer, seed
        self.probe_batch = probe_batch
        self.grad_scale = scaler if grad_scale is None else grad_scale
        kept = params if distance and not self.sharded else {}
        self.initial: Params = {name: p.detach().clone() for name, p in kept.items()}
        self.device = next(iter(params.values())).device

    def keep_start(self, params: Params) -> None:
        """Take in what was frozen so far: it starts now."""
        for name, p in params.items() if self.initial else ():
            if name not in self.initial:
                self.initial[name] = p.detach().clone()

    def facts(self) -> dict[str, Any]:
        """What is trained, for the head of a record."""
        return {
            "model": type(inside(self.model)).__name__,
            "parameters": sum(p.numel() for p in trained(self.model).values()),
            "optimizer": type(self.optimizer).__name__,
        }

    def shapes(self) -> dict[str, list[int]]:
        """Of what is trained; none where it is sharded."""
        return {} if self.sharded else {n: list(p.shape) for n, p in trained(self.model).items()}

    def renamed(self, saved: dict[str, Any]) -> dict[str, Any]:
        """The same by the names of now: those of a model under `forward` once had one before."""
        known = self.shapes()
        return {n if n in known else n.removeprefix("module."): v for n, v in saved.items()}

    def find_loss(self, x: Any, y: Any) -> None:
        """Take the loss that the model computes inside out of it, unless one is known.

        Raises:
            TypeError, ValueError: There is none, or none that follows from the outputs.
        """
        if not self.knows_loss:
            model = inside(self.model)
            _, self.loss = seen_with_loss("Monitor", model, x, y, None, self._forward)
            self.knows_loss = True

    def rate(self) -> float | Tensor:
        """Largest learning rate of the optimizer's groups; a tensor where it is on a device.

        To make a number of that, the host would have to wait for all that was queued.
        """
        groups = self.optimizer.param_groups
        rate = groups[0]["lr"]
        if len(groups) == 1 and type(rate) is float:  # as nearly always, and asked at every step
            return rate
        # A group without anything to train has a rate that nothing is trained at.
        rates = [g["lr"] for g in groups if any(p.requires_grad for p in g["params"])]
        rates = rates or [group["lr"] for group in groups]
        there = [r for r in rates if isinstance(r, Tensor) and not r.is_cpu]
        if not there:
            return max(map(float, rates))
        # Each of them has one element, in any shape.
        return torch.stack([torch.as_tensor(r).to(there[0]).reshape(()) for r in rates]).max()

    def scale(self) -> float:
        """What the gradients are multiplied by now."""
        scaler = self.grad_scale
        if scaler is None or isinstance(scaler, (int, float)):
            return float(scaler or 1.0)
        # After scaler.unscale_(optimizer) the gradients are the true ones already; the scaler
        # offers no public way to ask.
        states = getattr(scaler, "_per_optimizer_states", {})
        stage = states.get(id(self.optimizer), {}).get("stage")
        return 1.0 if getattr(stage, "name", "") == "UNSCALED" else float(scaler.get_scale())

    def scene(
        self,
        batch: Batch | None,
        *,
        urgent: bool = False,
        part: float = 1.0,
        beside: bool = False,
    ) -> Scene:
        """The present step for a probe."""
        return Scene(
            self.model, self.loss, self.optimizer, self.initial, probe=self.probe_batch,
            batch=batch, grad_scale=self.scale(), urgent=urgent, seed=self.seed, part=part,
            whole=self.whole, outputs=self.outputs, few=self.few, notes=self._notes,
            passing=self._passing, beside=beside,
            training=tuple(part for _, part in self._tree.named() if part.training),
            tree=self._tree, quadratic=self.quadratic,
        )  # fmt: skip

    def forget_step(self) -> None:
        """Drop what probes have found out that is of this step alone."""
        self._passing.clear()

    def keep_probe_batch(self, batch: Batch | None, *, masked: bool = False) -> None:
        """Make a copy of the first finite batch the probe batch, unless there is one.

        Args:
            batch: Of this step.
            masked: Whether its loss is finite: then what is not finite in it is left out there.
        """
        if self.probe_batch is not None or batch is None:
            return
        # Training may get over a bad batch, and the next will do.
        if is_sound(*batch, masked=masked):
            self.go_on_with((copied(batch[0]), copied(batch[1])))

    def go_on_with(self, batch: Batch | None) -> None:
        """Measure on this batch from now on."""
        self.probe_batch = batch
        self.whole = "" if batch is None else why_whole(*batch)

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Evaluate the model inside without leaving a trace, in full precision.

        Gradients are set aside, since a backward pass would add to them in place.
        """
        with (
            undisturbed(self.model, evaluation=True),
            kept_state(parts(self.loss) if isinstance(self.loss, nn.Module) else []),
            torch.autocast(self.device.type, enabled=False),
            _uncompiled(),
            _as_written(self.model),
        ):
            for p in self.model.parameters():
                p.grad = None
            yield

    def synchronize(self) -> None:
        """Wait for the device, so that the clock reads what has been computed."""
        synchronize(self.device)


def expect_settings(
    max_overhead: float, window: int, classes: int | None, samples: int | None, scale: Any
) -> None:
    """Raise, in the name of the monitor, for a setting that nothing can be done with."""
    expect(
        (classes is None) == (samples is None), "Monitor(n_classes=..., n_samples=...)",
        "both or neither", f"n_classes={classes}, n_samples={samples}",
    )  # fmt: skip
    known = scale is None or hasattr(scale, "get_scale")
    for argument, fits, words, given in (
        ("max_overhead", max_overhead > 0, "a share of the training time above 0", max_overhead),
        ("window", window >= 1, "at least one step", window),
        ("n_classes", classes is None or classes >= 2, "at least 2 classes", classes),
        ("n_samples", samples is None or samples >= 1, "at least one sample", samples),
        ("grad_scale", known or (isinstance(scale, (int, float)) and scale > 0),
         "a number above 0, or a GradScaler", scale),
    ):  # fmt: skip
        expect(fits, f"Monitor({argument}=...)", words, described(given))


def bare(model: nn.Module) -> nn.Module:
    """The user's module inside those that compile it or spread it over processes."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod  # pyright: ignore[reportAssignmentType]
        elif not _AROUND_MODULE.isdisjoint(kind.__name__ for kind in type(model).__mro__):
            model = model.module  # pyright: ignore[reportAssignmentType]
        else:
            return model


def _is_plain(pair: tuple[Any, Any]) -> bool:
    """Whether it can only be meant as a list of examples: a tensor of each, or arrays."""
    arrays = any(isinstance(value, np.ndarray) for _, value in leaves(pair))
    return arrays or all(isinstance(part, Tensor) for part in pair)


def bare_optimizer(optimizer: Optimizer) -> tuple[Optimizer, Scaler | None]:
    """The user's optimizer inside those of tools, and what scales its losses, if one knows."""
    scaler = None
    while not _AROUND_OPTIMIZER.isdisjoint(kind.__name__ for kind in type(optimizer).__mro__):
        scaler = getattr(optimizer, "scaler", None) or scaler
        optimizer = optimizer.optimizer  # pyright: ignore[reportAttributeAccessIssue]
    return optimizer, scaler


@contextmanager
def _as_written(model: nn.Module) -> Iterator[None]:
    """Take off the autocast that Accelerate puts around a `forward`, which is kept beside it."""
    kept = {"forward", "_original_forward"}
    own = [(m, m.__dict__["forward"]) for m in model.modules() if kept <= vars(m).keys()]
    try:
        for module, _ in own:
            module.forward = module._original_forward  # pyright: ignore[reportAttributeAccessIssue]
        yield
    finally:
        for module, forward in own:
            module.forward = forward


def _uncompiled() -> AbstractContextManager:
    """Run compiled modules and functions as they were written: forward mode needs that."""
    loaded = "torch._dynamo" in sys.modules  # if not, nothing has been compiled
    return uncompiled() if loaded else nullcontext()


def _not_known(outputs: Tensor, targets: Any) -> Tensor:
    raise complaint(
        "Monitor(loss=None)", "a batch, by which the model's own loss is found", "none yet",
        error=RuntimeError,
    )  # fmt: skip
