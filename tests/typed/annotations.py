"""Every annotation of the library checked while the tests run: types and the shapes of tensors.

`pytest --typed` (or `python3 x.py test --typed`) loads this. A function that is called with what
its annotation does not allow must refuse it: then all is well, and many tests are about just
that. If it accepts it, the annotation says something untrue, and the test fails. The same goes
for what comes back. Subprocesses are not looked at.
"""

import ast
import contextlib
import functools
import importlib
import inspect
import itertools
import random
import sys
import typing
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any
from unittest import mock

import jaxtyping
import jaxtyping._import_hook as hook
import pytest

# Which item of a list is looked at is drawn; not from the numbers that a test counts.
with mock.patch("random.getrandbits", random.Random(0).getrandbits):
    import beartype._check.code.codemain
    import beartype._util.kind.integer.utilintget
    from beartype import BeartypeConf, beartype
    from beartype.roar import BeartypeCallHintParamViolation, BeartypeCallHintViolation
from sklearn.base import BaseEstimator

PACKAGE = "overparam"
# They count the calls between them and the user's line, and a check would be one more.
UNCHECKED = {f"{PACKAGE}._deprecated", f"{PACKAGE}._lazy", f"{PACKAGE}._user_line"}
# An int may stand for a float, as everywhere in Python (PEP 484).
_CONF = BeartypeConf(is_pep484_tower=True)
_jaxtyped = jaxtyping.jaxtyped
# How often a function that stands in another is checked.
_OFTEN = 50


class FalseAnnotation(pytest.fail.Exception):
    """An annotation and what a function takes or gives differ.

    No `except Exception` hides it, and a fixture that ends with it ends no other test's.
    """


class _Loader(hook._JaxtypingLoader):
    """Jaxtyping's, which has a name of its own for the compiled code of a module.

    But not for what that imports, as jaxtyping's has: other packages would be compiled anew, and
    what a compiler says of their strings is an error in these tests.
    """

    def get_code(self, fullname: str) -> Any:
        """Compiled code, read or made."""
        name = functools.partial(hook._optimized_cache_from_source, self._typechecker.get_hash())
        with mock.patch("importlib._bootstrap_external.cache_from_source", name):
            return super().get_code(fullname)

    def exec_module(self, module: Any) -> None:
        """Run it."""
        SourceFileLoader.exec_module(self, module)


def install() -> None:
    """Check all modules of the package that are imported from now on."""
    early = [name for name in sys.modules if name.split(".")[0] == PACKAGE]
    assert not early, f"imported before their annotations could be checked: {early}"
    jaxtyping.jaxtyped = _checked
    vars(hook)["_JaxtypingLoader"] = _Loader
    jaxtyping.install_import_hook(PACKAGE, f"{__name__}.check")
    # A check lies between two functions of ours, and is no line of the user's.
    importlib.import_module(f"{PACKAGE}._user_line")._BETWEEN.add(__name__)


def check(function: Any) -> Any:
    """A function that refuses arguments of wrong types; shapes are jaxtyping's part."""
    return beartype(conf=_CONF)(function)


def _checked(made: Any = None, *, typechecker: Any) -> Any:
    """In place of `jaxtyping.jaxtyped`: a refusal by the function itself comes first."""
    if made is None:
        return functools.partial(_checked, typechecker=typechecker)
    if made.__module__ in UNCHECKED:
        return made
    # One in a function is made anew in every call, and its checks would be: half a millisecond.
    inner = "<locals>" in made.__qualname__ and hasattr(made, "__code__")
    if inner and next(_times(made.__code__)) >= _OFTEN:
        return made
    if inspect.isclass(made):
        if getattr(made, "_is_protocol", False):
            return typing.runtime_checkable(made)  # else none that is one can be recognised
        if "__dataclass_fields__" in vars(made) and "__init__" in vars(made):
            made.__init__ = _checked(made.__init__, typechecker=typechecker)
        return made
    _name_what_only_types_need(made)
    made.__annotations__ = {
        name: Any if "Self" in str(hint) else hint  # what the class is, beartype knows of classes
        for name, hint in made.__annotations__.items()
    }
    # Names of axes are kept for every call, which takes twenty times as long as looking at types.
    shaped = any(map(_has_shape, made.__annotations__.values()))
    strict = _jaxtyped(made, typechecker=typechecker) if shaped else typechecker(made)

    @functools.wraps(made)
    def call(*args: Any, **kwargs: Any) -> Any:
        if made.__name__ == "__init__" and isinstance(args[0], BaseEstimator):
            return made(*args, **kwargs)  # by scikit-learn's convention, `fit` judges settings
        try:
            return strict(*args, **kwargs)
        except (jaxtyping.TypeCheckError, BeartypeCallHintViolation) as error:
            wrong_call = isinstance(error, BeartypeCallHintParamViolation)
            if wrong_call or "whilst checking the parameters of" in str(error):
                made(*args, **kwargs)
            raise FalseAnnotation(str(error)) from None

    return call


def _has_shape(hint: Any) -> bool:
    """Whether an annotation speaks of axes."""
    if isinstance(hint, (str, typing.ForwardRef)):
        return "[" in str(hint)
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(_has_shape, typing.get_args(hint)))


@functools.cache
def _times(code: Any) -> Iterator[int]:
    return itertools.count()


def _name_what_only_types_need(function: Any) -> None:
    """Import what a module imports under `if TYPE_CHECKING:` alone."""
    names = getattr(function, "__globals__", {})
    for line in _only_for_types(names.get("__file__", "")):
        with contextlib.suppress(ImportError):  # a module of ours that is just being imported
            exec(line, names)


@functools.cache
def _only_for_types(path: str) -> list[str]:
    if not path.endswith(".py") or "TYPE_CHECKING" not in (source := Path(path).read_text("utf-8")):
        return []
    blocks = [
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return [ast.unparse(line) for block in blocks for line in block]
