"""A user's specification of what to diagnose: a Python file, or a module's attribute."""

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from overparam._errors import UsageError, expect
from overparam._files import expect_readable


class Spec:
    """What a specification offers: `model`, and optionally `data`, `loss`, `optimizer`, `schedule`.

    `model(...)` is called with the examples if it takes an argument, so that its sizes can
    follow the data. Errors raised by the user's code keep their own, shortened, traceback.
    """

    def __init__(self, source: str, members: Any) -> None:
        self.source, self._members = source, members
        code = inspect.getmodule(getattr(members, "model", None)) or members
        self._folder = os.path.dirname(getattr(code, "__file__", None) or "")
        expect(
            callable(getattr(members, "model", None)),
            f"diagnose {source}",
            "a function model() that returns a torch module",
            f"{', '.join(n for n in dir(members) if not n.startswith('_')) or 'nothing'}",
            hint="see `overparam diagnose --help` for an example.",
        )

    def model(self, examples: Any) -> Any:
        """What it gives as the module to diagnose, whatever that is."""
        function = self._members.model
        wants = [
            p
            for p in _parameters(function)
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        return self._run(function, *([examples] if wants else []))

    def maker(self) -> Callable[..., Any]:
        """The same as a function, of the examples where it takes them."""
        required = [p for p in _parameters(self._members.model) if p.default is p.empty]
        return self.model if required else lambda: self.model(None)

    def data(self) -> Any:
        """The specification's data, or `None`."""
        function = getattr(self._members, "data", None)
        return self._run(function) if callable(function) else function

    def loss(self) -> Any:
        """The loss, or `None`. A class or a function of no argument is called first."""
        loss = getattr(self._members, "loss", None)
        if inspect.isclass(loss) or (inspect.isfunction(loss) and not _parameters(loss)):
            return self._run(loss)
        return loss

    def optimizer(self) -> Any:
        """What stands for a function of parameters that makes an optimizer, or `None`."""
        return getattr(self._members, "optimizer", None)

    def forward(self) -> Any:
        """What stands for a function of model and inputs that gives its outputs, or `None`."""
        return getattr(self._members, "forward", None)

    def split(self) -> Any:
        """What stands for a function of a batch that gives inputs and targets, or `None`."""
        return getattr(self._members, "split", None)

    def schedule(self) -> Any:
        """What stands for a function of optimizer and steps that makes a scheduler, or `None`."""
        return getattr(self._members, "schedule", None)

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Tell what the specification's own code raises, later on too, as its mistake."""
        try:
            yield
        except UsageError:
            raise
        except Exception as problem:
            frames = traceback.extract_tb(problem.__traceback__)
            if self._folder and any(frame.filename.startswith(self._folder) for frame in frames):
                raise _told(self.source, problem) from problem
            raise

    def _run(self, function: Callable, *args: Any) -> Any:
        with _telling(self.source):
            return function(*args)


def _parameters(function: Callable) -> list[inspect.Parameter]:
    """What a function takes, as far as that is known of it."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # one written in C does not say
        return []


def load_spec(source: str) -> Spec:
    """The specification in a Python file, or of ``module:name``.

    A file is run as a module of its own, with its folder importable, as `python FILE` would.

    Raises:
        UsageError: The file does not exist or raises; its own traceback, shortened, is in
            the message.
        ValueError: It offers no `model`.
    """
    path = Path(source)
    if path.suffix == ".py" or path.exists():
        if not path.exists():
            raise UsageError(
                f"`diagnose {source}` expected a Python file or module:name, got no such file."
            )
        expect_readable(path, f"diagnose {source}")
        return Spec(source, _module_of(path, source))
    module, _, name = source.partition(":")
    neither = UsageError(
        f"`diagnose {source}` expected a Python file or module:name, got neither "
        "(no such file, no such module)."
    )
    if not all(part.isidentifier() for part in module.split(".")):
        raise neither
    sys.path.insert(0, "")
    try:
        with _telling(source):
            try:
                loaded: Any = importlib.import_module(module)
            except ImportError as problem:
                if problem.name is None or not f"{module}.".startswith(f"{problem.name}."):
                    raise
                raise neither from problem
            for part in filter(None, name.split(".")):
                loaded = getattr(loaded, part)
    finally:
        sys.path.pop(0)
    if not hasattr(loaded, "model") and callable(loaded):
        made = ModuleType(source)
        made.model = loaded  # type: ignore[attr-defined]
        return Spec(source, made)
    return Spec(source, loaded)


def _module_of(path: Path, source: str) -> ModuleType:
    """The module a file makes."""
    specification = importlib.util.spec_from_file_location(f"spec_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise UsageError(f"`diagnose {source}` expected a Python file, got {path.name}.")
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        with _telling(source):
            specification.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


@contextmanager
def _telling(source: str) -> Iterator[None]:
    """Tell what code of the user's raises, be it an attempt to end the program."""
    try:
        yield
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as problem:
        raise _told(source, problem) from problem


def _told(source: str, problem: BaseException) -> UsageError:
    """The user's own traceback, without the frames that are ours or Python's."""
    ours = str(Path(__file__).resolve().parent.parent)
    python = str(Path(importlib.__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(problem.__traceback__)
        if not frame.filename.startswith((ours, python, "<frozen"))
    ][-3:]
    last = traceback.format_exception_only(problem)[-1].strip()
    told = "".join(traceback.format_list(frames)).rstrip()
    if isinstance(problem, SyntaxError):
        told = "".join(traceback.format_exception_only(problem)[:-1]).rstrip()
    return UsageError(f"`diagnose {source}` expected code that runs, got {last}", told)
