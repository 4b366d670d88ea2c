"""A mutant's code under its function, in this process and nowhere else."""

import ast
import importlib
import inspect
import types
from pathlib import Path

from mutant_list import Mutant


def mutated(source: str, function: str, old: str, new: str) -> str:
    """A module's source with `old` in the body of a function, where it stands once, replaced.

    Raises:
        LookupError: There is no such function, or `old` is not there exactly once.
    """
    node = _node(source, function)
    first = node.body[bool(ast.get_docstring(node))].lineno - 1
    lines = source.splitlines(keepends=True)
    body = "".join(lines[first : node.end_lineno])
    if body.count(old) != 1:
        raise LookupError(f"{old!r} stands {body.count(old)} times in {function}, not once")
    return "".join([*lines[:first], body.replace(old, new), *lines[node.end_lineno :]])


def _node(source: str, function: str) -> ast.FunctionDef:
    """The definition of a function, or of a method as Class.method."""
    node: ast.AST = ast.parse(source)
    for part in function.split("."):
        found = [
            each for each in getattr(node, "body", [])
            if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == part
        ]  # fmt: skip
        if not found:
            raise LookupError(f"there is no {function}")
        node = found[-1]  # what comes last, after overloads, is what counts
    assert isinstance(node, ast.FunctionDef)
    return node


def code_of(code: types.CodeType, qualified: str) -> types.CodeType:
    """The code of a function, within that of its module."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    last = [each for each in inner if each.co_qualname == qualified]
    if last:
        return last[-1]
    within = next(each for each in inner if qualified.startswith(each.co_qualname + "."))
    return code_of(within, qualified)


def target(mutant: Mutant) -> types.FunctionType:
    """The function itself, below its decorators."""
    module, _, names = mutant.place.partition(":")
    found = importlib.import_module(f"overparam.{module}")
    for name in names.split("."):
        found = inspect.getattr_static(found, name)
    found = getattr(found, "fget", None) or getattr(found, "__func__", found)
    function = inspect.unwrap(found)
    assert isinstance(function, types.FunctionType)
    assert function.__qualname__ == names, f"{function.__qualname__} stands where {names} should"
    return function


def apply(mutant: Mutant) -> None:
    """Put the mutant's code under its function, in this process."""
    function = target(mutant)
    path = inspect.getfile(function)
    source = Path(path).read_text(encoding="utf-8")
    changed = mutated(source, function.__qualname__, mutant.old, mutant.new)
    function.__code__ = code_of(compile(changed, path, "exec"), function.__qualname__)
