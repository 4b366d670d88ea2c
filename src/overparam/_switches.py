"""Switches that torch has once per process, turned for a while by threads that do not know others.

Saving a switch, turning it and putting it back is right in one thread alone: where two overlap,
the second saves what the first has set, and puts that back for good. So the first one in turns
a switch, and the last one out turns it back. Nobody waits.
"""

import os
import re
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

Undo = Callable[[], None]

# Over everything here that threads share. Nothing is waited for while it is held.
lock = threading.RLock()


class Switch:
    """A change of the process's state that is made while at least one thread wants it.

    Calling it gives a context manager, which may be nested and which decorates functions.

    Args:
        turn: Makes the change, and returns what takes it back.
    """

    def __init__(self, turn: Callable[[], Undo]) -> None:
        self._turn = turn
        self._back: Undo | None = None
        self._inside: Counter[int] = Counter()
        _FORKED.append(self.forked)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Turned inside."""
        me = threading.get_ident()
        with lock:
            if self._back is None:
                self._back = self._turn()
            self._inside[me] += 1
        try:
            yield
        finally:
            with lock:
                leave(self._inside, me)
                self._settle()

    def forked(self, me: int) -> None:
        """In a child process only the thread that forked goes on."""
        keep(self._inside, me)
        self._settle()

    def _settle(self) -> None:
        if not self._inside and self._back is not None:
            back, self._back = self._back, None
            back()


def leave(inside: Counter[int], me: int) -> None:
    """Count a thread out by one."""
    inside[me] -= 1
    if inside[me] <= 0:
        del inside[me]


def keep(inside: Counter[int], me: int) -> None:
    """Forget all other threads."""
    for other in [thread for thread in inside if thread != me]:
        del inside[other]


_FORKED: list[Callable[[int], None]] = []


def on_fork(forget: Callable[[int], None]) -> None:
    """Call `forget(thread)` in a child process, with the one thread that lives on in it."""
    _FORKED.append(forget)


def _in_child() -> None:
    for forget in _FORKED:
        forget(threading.get_ident())
    lock.release()


if hasattr(os, "register_at_fork"):
    # Held over the fork, so that a child finds nothing half done and the lock free.
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=_in_child)

# Since torch 2.9 each of these has a precision of its own, or "none" for that of the one above.
_ABOVE = [("generic", "all"), ("cuda", "all"), ("mkldnn", "all")]
_OPERATIONS = [(b, op) for b in ("cuda", "mkldnn") for op in ("matmul", "conv", "rnn")]


def _in_full() -> Undo:
    """Single precision is meant: no TF32 and no bfloat16 inside products and convolutions.

    torch keeps this twice, in older flags and in newer ones, refuses to read an older flag that
    contradicts a newer one, and writing an older one writes some of the newer. So all newer
    ones come first and are left without contradiction, and are put back last.
    """
    # The public setter of torch.backends.mkldnn writes the flag of all backends (torch 2.13).
    read = getattr(torch._C, "_get_fp32_precision_getter", None)
    write: Any = getattr(torch._C, "_set_fp32_precision_setter", None)
    newer: list[tuple[tuple[str, str], str]] = []
    if read is not None:
        for place in _ABOVE:  # what stands above is cleared, so that each shows its own
            newer.append((place, read(*place)))
            write(*place, "none")
        newer += [(place, read(*place)) for place in _OPERATIONS]
        for place in (*_ABOVE, *_OPERATIONS):
            write(*place, "ieee")
    try:
        convolutions = torch.backends.cudnn.allow_tf32
    except RuntimeError:  # it says True, where the newer ones say full precision
        convolutions = True
    products = torch.get_float32_matmul_precision()
    # Of Intel's accelerators; only there it can have been set.
    intel = bool(getattr(torch._C, "_get_onednn_allow_tf32", bool)())

    def older(precision: str, tf32: bool, onednn: bool) -> None:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = tf32
        if intel:
            torch._C._set_onednn_allow_tf32(onednn)

    older("highest", False, False)
    for place, _ in newer:
        write(*place, "ieee")

    def undo() -> None:
        older(products, convolutions, intel)
        for place, precision in reversed(newer):
            write(*place, precision)

    return undo


def _plainly() -> Undo:
    """No fused attention and no fused Transformer layer."""
    stack = ExitStack()
    stack.enter_context(sdpa_kernel([SDPBackend.MATH]))
    stack.callback(
        torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled()
    )
    torch.backends.mha.set_fastpath_enabled(False)
    return stack.close


class _Called:
    """In place of what computes a part of a graph again in the backward pass: computes it once."""

    @staticmethod
    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        """The function itself."""
        return function(*args)


def _once(*args: Any, **kwargs: Any) -> Iterator[None]:
    """Nothing before a function and nothing after it."""
    yield


def _keeping() -> Undo:
    """Activations are kept, not computed again: a second pass would meet other parameters.

    The public function looks these two up when it is called, whoever holds it by then.
    """
    places: Any = sys.modules.get("torch.utils.checkpoint")
    others = {"CheckpointFunction": _Called, "_checkpoint_without_reentrant_generator": _once}
    before = {name: getattr(places, name) for name in others if hasattr(places, name)}
    for name in before:
        setattr(places, name, others[name])

    def undo() -> None:
        for name, value in before.items():
            setattr(places, name, value)

    return undo


def _without_mkldnn() -> Undo:
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False
    return lambda: setattr(torch.backends.mkldnn, "enabled", before)


def _eagerly() -> Undo:
    stack = ExitStack()
    stack.enter_context(torch.compiler.set_stance("force_eager"))
    return stack.close


def _counted() -> Undo:
    global _threads
    _threads = torch.get_num_threads()
    return lambda: None  # each thread has its own number as well, and puts that back itself


full_precision = Switch(_in_full)
plain_attention = Switch(_plainly)
kept_activations = Switch(_keeping)
no_mkldnn = Switch(_without_mkldnn)
uncompiled = Switch(_eagerly)


_threads = 1
_thread_count = Switch(_counted)


@contextmanager
def thread_count() -> Iterator[int]:
    """Change torch's number of threads inside; gives the number it was and will be again."""
    with _thread_count():
        try:
            yield _threads
        finally:
            torch.set_num_threads(_threads)


@contextmanager
def quietly(message: str = "", category: type[Warning] = Warning) -> Iterator[None]:
    """Without the warnings of a category that begin with `message`, a regular expression.

    The filters too are the process's, and `warnings.catch_warnings` in two threads leaves those
    of one behind. Here each block adds one filter and takes out that one.
    """
    if getattr(sys.flags, "context_aware_warnings", False):  # Python 3.14 may keep them apart
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message, category)
            yield
        return
    pattern = re.compile(message, re.IGNORECASE) if message else None
    item = ("ignore", pattern, category, None, 0)
    filters: Any = warnings.filters  # another catch_warnings may put another list there
    filters.insert(0, item)
    try:
        yield
    finally:
        for i, other in enumerate(filters):
            if other is item:
                del filters[i]
                break
