"""A second device in the CPU's memory, so that tests see where code puts its tensors.

Inside ``with SecondDevice("cuda"):`` tensors stay tensors of the CPU, and a mark on their storage
says where they would be. The marks answer ``.device``, and at every operator, below autograd,
vmap and jvp, they decide whether an accelerator would have refused it. What Python asks of a
device (factories, moves, generators, ``torch.cuda``, ``torch.accelerator``) is replaced as long.

Its rules are what CUDA is known to refuse; it knows nothing of kernels' rounding, of several
devices of a kind, of subprocesses, of ``torch.compile`` and of sparse tensors. Marks are one
thread's: others see the CPU.
"""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._C import _functorch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext, _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Where a tensor is. One that was made inside an operator may go along with either.
NEAR, FAR, EITHER = "near", "far", "either"

# What takes tensors of the CPU beside those of the device: moves, and single numbers.
_MOVES = {"_to_copy", "copy_", "copy", "_copy_from", "lift_fresh", "lift_fresh_copy", "set_"}
_NUMBERS = {"fill", "fill_", "masked_fill", "masked_fill_", "index_fill", "index_fill_", "where",
            "lerp", "addcmul", "addcmul_"}  # fmt: skip
_INDICES = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
# What CUDA has for floating-point numbers alone.
_FLOATING = {"mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "vdot", "convolution", "addr"}
_LIKE = [f"{name}_like" for name in ("empty", "full", "ones", "rand", "randint", "randn", "zeros")]
_NEW = [f"new_{name}" for name in ("empty", "empty_strided", "full", "ones", "tensor", "zeros")]
_DRAWN = [
    "normal_",
    "uniform_",
    "random_",
    "exponential_",
    "bernoulli_",
    "bernoulli",
    "multinomial",
]

_true_device = Tensor.device.__get__  # pyright: ignore[reportAttributeAccessIssue]
# torch compiles its forward-mode rules once, and must not see them replaced then.
torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.zeros(()),))


def place_of(t: Tensor) -> str:
    """Where a tensor is."""
    t = _unwrapped(t)
    try:
        return getattr(t.untyped_storage(), "place", NEAR)
    except (RuntimeError, NotImplementedError):  # no storage: a zero of forward mode, sparse
        return getattr(t, "_place", EITHER)


def put(t: Tensor, place: str) -> None:
    """Mark a tensor, and so all that share its memory."""
    t = _unwrapped(t)
    try:
        t.untyped_storage().place = place  # pyright: ignore[reportAttributeAccessIssue]
    except (RuntimeError, NotImplementedError):
        t._place = place  # pyright: ignore[reportAttributeAccessIssue]


class Stream:
    """A stream that has always done everything."""

    def __init__(self, device: Any = None, *_: Any, **__: Any) -> None:
        self.device = device

    def synchronize(self) -> None: ...

    def is_capturing(self) -> bool:
        return False

    def wait_stream(self, _: Any) -> None: ...


class SecondDevice(TorchDispatchMode):
    """The device.

    Args:
        kind: cuda, xpu or mps.
        float64: Whether it has double precision.

    Attributes:
        device: Where to put things.
        waits: How often the host had to wait for it, by operator.
    """

    def __init__(self, kind: str = "cuda", *, float64: bool = True) -> None:
        super().__init__()
        self.kind, self.float64 = kind, float64
        self.device = torch.device(kind, 0)
        self.waits: Counter[str] = Counter()
        self.state = torch.Generator().manual_seed(0).get_state()
        self._asked, self._target = False, None

    # Operators, as they come.

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), func.name().removeprefix("aten::").split(".")[0]
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        places = [place_of(t) for t in given]
        target = self._target
        if self._is_mine(kwargs.get("device")):
            target, kwargs["device"] = target or FAR, torch.device("cpu")
        kwargs.pop("pin_memory", None)
        if FAR in places:
            if name not in _MOVES:
                self._refuse(func, name, args, kwargs, given, places)
            for t, place in zip(given, places, strict=True):
                if place == EITHER:
                    put(t, FAR)
            self._wait(name, args, places, target)
        known = FAR if FAR in places else NEAR if NEAR in places else EITHER
        result = target or (known if given else NEAR if self._asked else EITHER)
        random = torch.Tag.nondeterministic_seeded in func.tags and result == FAR
        with self.numbers() if random else contextlib.nullcontext():
            out = func(*args, **kwargs)
        own = {_memory(t) for t in given}
        for t in tree_leaves(out):
            if isinstance(t, Tensor):
                if result != NEAR and _memory(t) not in own:
                    put(t, result)
                if result == FAR:
                    self._expect_dtype(t.dtype)
        return out

    def _wait(self, name: str, args: tuple, places: list[str], target: str | None) -> None:
        """Count what the host waits for: numbers it reads, and copies that are not in passing."""
        reads = name == "_local_scalar_dense" or (name == "_to_copy" and target == NEAR)
        copies = name == "copy_" and places[:2] == [NEAR, FAR] and not (len(args) > 2 and args[2])
        if reads or copies:
            self.waits[name] += 1

    def _refuse(
        self, func: Any, name: str, args: tuple, kwargs: dict, given: list, places: list[str]
    ) -> None:
        """Raise what CUDA would, where tensors of the CPU meet some of the device."""
        near = [t for t, place in zip(given, places, strict=True) if place == NEAR]
        if name in _INDICES and place_of(args[0]) == FAR:
            indices = {id(t) for t in tree_leaves(args[1])}
            near = [t for t in near if id(t) not in indices and t.dim()]
        elif name.startswith("_fused"):
            near = [t for t in near if t.dim()]
        elif (torch.Tag.pointwise in func.tags and len(given) < 3) or name in _NUMBERS or (
            name.startswith("_foreach")
        ):  # fmt: skip
            written = {id(t) for t in tree_leaves(_written(func, args, kwargs))}
            near = [t for t in near if t.dim() or id(t) in written]
        if near:
            shapes = ", ".join(str(tuple(t.shape)) for t in near)
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{self.device} and cpu! ({func.name()}: shapes {shapes} are on the cpu)"
            )
        whole = [t for t in given if not (t.is_floating_point() or t.is_complex())]
        if self.kind == "cuda" and name in _FLOATING and whole:
            raise RuntimeError(f'"{name}_cuda" not implemented for {whole[0].dtype}')

    @contextlib.contextmanager
    def numbers(self) -> Iterator[None]:
        """The device's own generator in the place of the CPU's."""
        cpu = torch.get_rng_state()
        torch.set_rng_state(self.state)
        try:
            yield
        finally:
            self.state = torch.get_rng_state()
            torch.set_rng_state(cpu)

    def _expect_dtype(self, dtype: torch.dtype) -> None:
        if not self.float64 and dtype in (torch.float64, torch.complex128):
            raise TypeError(f"{self.kind} framework doesn't support {dtype}")

    # What Python asks for.

    def _is_mine(self, device: Any) -> bool:
        return device is not None and torch.device(device).type == self.kind

    def where(self, device: Any) -> str:
        """The place that a device stands for."""
        kind = self.kind if isinstance(device, int) else torch.device(device).type
        if kind not in (self.kind, "cpu", "meta"):
            raise RuntimeError(f"no device of the kind {kind}")
        return {self.kind: FAR, "cpu": NEAR}.get(kind, EITHER)

    def expect_generator(self, name: str, generator: Any, place: str) -> None:
        """Raise for a generator of the other device."""
        if generator is not None and place != EITHER and generator_place(generator) != place:
            kind = self.kind if place == FAR else "cpu"
            raise RuntimeError(f"{name}: Expected a '{kind}' device type for generator")

    def factory(self, original: Callable) -> Callable:
        """One that makes tensors, such as `torch.zeros` and `torch.as_tensor`."""

        @functools.wraps(original)
        def make(*args: Any, **kwargs: Any) -> Any:
            device = kwargs.pop("device", None)
            kwargs.pop("pin_memory", None)
            data = args[0] if args and isinstance(args[0], Tensor) else None
            if data is not None and original.__name__ in ("tensor", "as_tensor", "asarray"):
                if device is not None and original.__name__ != "tensor":
                    data = data.to(device)
                place = place_of(data) if device is None else self.where(device)
                args = (data, *args[1:])
            else:
                place = self.where(_default() if device is None else device)
            self.expect_generator(original.__name__, kwargs.get("generator"), place)
            kept = self._asked, self._target
            self._asked, self._target = True, FAR if place == FAR else None
            try:
                out = original(*args, **kwargs, device="cpu" if place != EITHER else device)
            finally:
                self._asked, self._target = kept
            if place == FAR:
                self._expect_dtype(out.dtype)
            if out is not data and place != EITHER and place_of(out) != place:
                put(out, place)
            return out

        return make

    def like(self, original: Callable) -> Callable:
        """One that makes a tensor like another, there unless another device is asked for."""

        @functools.wraps(original)
        def make(t: Tensor, *args: Any, **kwargs: Any) -> Any:
            device, kept = kwargs.pop("device", None), self._target
            kwargs.pop("pin_memory", None)
            place = place_of(t) if device is None else self.where(device)
            if device is not None:
                kwargs["device"] = "cpu" if place != EITHER else device
            self._target = None if place == EITHER else place
            try:
                out = original(t, *args, **kwargs)
            finally:
                self._target = kept
            if place != EITHER and place_of(out) != place:  # new_tensor asks no operator
                put(out, place)
            return out

        return make

    def drawn(self, original: Callable) -> Callable:
        """One that draws random numbers of a tensor's shape."""

        @functools.wraps(original)
        def draw(t: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(t, Tensor):
                self.expect_generator(original.__name__, kwargs.get("generator"), place_of(t))
            return original(t, *args, **kwargs)

        return draw

    def to(self, original: Callable) -> Callable:
        """`Tensor.to`: a move is a copy under another mark, and the gradient moves back."""

        def to(t: Tensor, *args: Any, **kwargs: Any) -> Any:
            other = kwargs.pop("other", args[0] if args else None)
            if isinstance(other, Tensor):
                there = _true_device(other) if place_of(other) == EITHER else other.device
                args = (there, other.dtype, *args[1:])
            copy = bool(kwargs.pop("copy", False) or (len(args) > 3 and args[3]))
            device, dtype, _, form = torch._C._nn._parse_to(*args[:3], **kwargs)
            source, more = place_of(t), {} if form is None else {"memory_format": form}
            place = source if device is None or source == EITHER else self.where(device)
            if place == FAR:
                self._expect_dtype(dtype or t.dtype)
            if device is not None and device.type == "meta":
                return original(t, device, dtype=dtype, **more)
            if place == source:
                return original(t, dtype=dtype or t.dtype, copy=copy, **more)
            kept, self._target = self._target, place
            try:
                out = original(t, dtype=dtype or t.dtype, copy=True, **more)
            finally:
                self._target = kept
            if out.grad_fn is not None and t.requires_grad:
                home = self.device if source == FAR else "cpu"
                out.grad_fn.register_hook(
                    lambda gradients, _: tuple(g if g is None else g.to(home) for g in gradients)
                )
            return out

        return to

    def numpy(self, original: Callable) -> Callable:
        """`Tensor.numpy`, which only the CPU has."""

        def numpy(t: Tensor, *args: Any, **kwargs: Any) -> Any:
            if place_of(t) == FAR:
                raise TypeError(
                    f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() "
                    "to copy the tensor to host memory first."
                )
            return original(t, *args, **kwargs)

        return numpy

    def tolist(self, original: Callable) -> Callable:
        """`Tensor.tolist`, for which the host waits once."""

        def tolist(t: Tensor) -> Any:
            self.waits["tolist"] += place_of(t) == FAR
            return original(t)

        return tolist

    def synchronize(self, *_: Any) -> None:
        """What waits for the device."""

    def seed(self, seed: int, *_: Any) -> None:
        """What starts its generator."""
        self.state = torch._C.Generator().manual_seed(int(seed)).get_state()

    def runtime(self) -> dict[str, Any]:
        """What `torch.cuda`, or that of another kind, answers."""
        return {
            "is_available": lambda: True, "is_initialized": lambda: True, "init": lambda: None,
            "_lazy_init": lambda: None, "device_count": lambda: 1, "current_device": lambda: 0,
            "_is_in_bad_fork": lambda: False, "is_bf16_supported": lambda *_, **__: True,
            "is_current_stream_capturing": lambda: False, "empty_cache": lambda: None,
            "current_stream": Stream, "Stream": Stream, "Event": Event,
            "memory_allocated": lambda *_: 0, "memory_reserved": lambda *_: 0,
            "mem_get_info": lambda *_: (2**33, 2**34), "synchronize": self.synchronize,
            "get_rng_state": lambda *_: self.state.clone(),
            "set_rng_state": lambda state, *_: setattr(self, "state", state.clone()),
            "manual_seed": self.seed, "manual_seed_all": self.seed,
        }  # fmt: skip

    def accelerator(self) -> dict[str, Any]:
        """What `torch.accelerator` answers."""
        return {
            "is_available": lambda: True, "device_count": lambda: 1,
            "current_accelerator": lambda *_, **__: torch.device(self.kind),
            "current_device_index": lambda: 0, "current_stream": Stream,
            "synchronize": self.synchronize,
        }  # fmt: skip

    def __enter__(self) -> "SecondDevice":
        self._replaced = contextlib.ExitStack()

        def replace(owner: Any, name: str, new: Any) -> None:
            self._replaced.enter_context(mock.patch.object(owner, name, new, create=True))

        for function in _device_constructors():
            owner, name = torch, function.__name__
            if name.startswith("fft_"):
                owner, name = torch.fft, name[4:]
            if hasattr(owner, name):
                replace(owner, name, self.factory(function))
        for owner, names, wrap in (
            (torch, _LIKE, self.like), (Tensor, _NEW, self.like), (Tensor, _DRAWN, self.drawn),
            (torch, ("bernoulli", "multinomial", "normal", "poisson"), self.drawn),
        ):  # fmt: skip
            for name in names:
                replace(owner, name, wrap(getattr(owner, name)))
        replace(torch, "Generator", _generator(self))
        replace(Tensor, "to", self.to(Tensor.to))
        replace(Tensor, "cpu", lambda t, **k: t.to("cpu", **k))
        replace(Tensor, self.kind, lambda t, *_, **__: t.to(self.device))
        replace(Tensor, "type_as", lambda t, other: t.to(other))
        replace(Tensor, "numpy", self.numpy(Tensor.numpy))
        replace(Tensor, "tolist", self.tolist(Tensor.tolist))
        replace(Tensor, "pin_memory", lambda t, *_: t)
        here = lambda t: self.device if place_of(t) == FAR else _true_device(t)  # noqa: E731
        replace(Tensor, "device", property(here))
        replace(Tensor, "is_cpu", property(lambda t: here(t).type == "cpu"))
        replace(Tensor, f"is_{self.kind}", property(lambda t: here(t).type == self.kind))
        replace(Tensor, "get_device", lambda t: 0 if place_of(t) == FAR else -1)
        replace(torch.UntypedStorage, "clone", _cloned(torch.UntypedStorage.clone))
        for name, answer in self.runtime().items():
            replace(getattr(torch, self.kind), name, answer)
        for name, answer in self.accelerator().items():
            replace(torch.accelerator, name, answer)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._replaced.close()


class Event:
    """An event that came to pass when it was recorded."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.recorded = False

    def record(self, stream: Any = None) -> None:
        self.recorded = True

    def query(self) -> bool:
        return self.recorded

    def synchronize(self) -> None: ...


def generator_place(generator: Any) -> str:
    """Where a generator is."""
    return getattr(generator, "place", NEAR)


def _generator(mode: SecondDevice) -> type:
    """`torch.Generator` with a place."""
    true = torch.Generator

    class Kind(type(true)):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, true)

    class Generator(true, metaclass=Kind):
        def __new__(cls, device: Any = "cpu") -> Any:
            made = true.__new__(cls, "cpu")
            made.place = mode.where(device)  # pyright: ignore[reportAttributeAccessIssue]
            return made

        def __init__(self, device: Any = "cpu") -> None: ...

        device = property(lambda g: mode.device if g.place == FAR else torch.device("cpu"))

    return Generator


def _cloned(original: Callable) -> Callable:
    """`UntypedStorage.clone`, with the mark."""

    def clone(storage: Any) -> Any:
        out = original(storage)
        if hasattr(storage, "place"):
            out.place = storage.place
        return out

    return clone


def _written(func: Any, args: tuple, kwargs: dict) -> list:
    """The arguments that an operator writes to."""
    schema = func._schema.arguments
    in_place = [
        v for a, v in zip(schema, args, strict=False) if a.alias_info and a.alias_info.is_write
    ]
    return in_place + [kwargs[a.name] for a in schema if a.is_out and a.name in kwargs]


def _default() -> Any:
    """The device of `torch.set_default_device`, or of ``with torch.device(...)``."""
    modes = _get_current_function_mode_stack()
    found = [mode.device for mode in modes if isinstance(mode, DeviceContext)]
    return found[-1] if found else "cpu"


def _unwrapped(t: Tensor) -> Tensor:
    """The tensor inside those of vmap and jvp."""
    while _functorch.is_functorch_wrapped_tensor(t):
        t = _functorch.get_unwrapped(t)
    return t


def _memory(t: Tensor) -> int:
    try:
        return t.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):
        return id(t)
