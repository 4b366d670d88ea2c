"""A hash of everything that decides a cell's result, so that stale results are never reused."""

import ast
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
# What runs cells and judges them decides none of their results.
_ENGINE = (_PACKAGE / "claims", _PACKAGE / "studies")


def fingerprint(cell: Callable[..., Any]) -> str:
    """Hash of a cell function: its code, what it uses in its file, and the library behind it.

    From the study's file count only the definitions that the function reaches, so that a
    reworded claim or a new figure costs nothing. From the library count the whole files that
    the study's file imports, and those that these import: a repaired kernel makes every cell
    computed with the old one stale. Comments and layout of the study's file do not count.

    Args:
        cell: A module-level function with source code, decorated or not.
    """
    cell = inspect.unwrap(cell)
    tree = ast.parse(Path(inspect.getsourcefile(cell) or "").read_text(encoding="utf-8"))
    digest = hashlib.sha256()
    for node in _reached(tree, cell.__name__):
        digest.update(ast.dump(node).encode())
    for path in sorted(_library_files(tree)):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _reached(tree: ast.Module, start: str) -> list[ast.stmt]:
    """Top-level statements that bind `start` or a name it uses, directly or not, in order."""
    binds: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _bound(statement):
            binds.setdefault(name, []).append(statement)
    reached: list[ast.stmt] = []
    names = [start]
    while names:
        for statement in binds.pop(names.pop(), []):
            if statement not in reached:
                reached.append(statement)
                names += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return sorted(reached, key=lambda statement: statement.lineno)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names a top-level statement gives a value to."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield (alias.asname or alias.name).partition(".")[0]
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _library_files(tree: ast.Module) -> set[Path]:
    """Files of this library outside of `_ENGINE` that a module needs, transitively."""
    found: set[Path] = set()
    waiting = list(_imported(tree))
    while waiting:
        path = waiting.pop()
        if path in found or path.parent in _ENGINE:
            continue
        found.add(path)
        waiting += _needed(path.read_text(encoding="utf-8"))
    return found


@functools.cache  # many studies need the same files
def _needed(text: str) -> list[Path]:
    """`_imported` of a file with this text."""
    return list(_imported(ast.parse(text)))


def _imported(tree: ast.Module) -> Iterator[Path]:
    """Files that a module's `from overparam.… import …` statements, deferred ones too, name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("overparam"):
            base = _PACKAGE.joinpath(*(node.module or "").split(".")[1:])
            candidates = [base.with_suffix(".py"), base / "__init__.py"]
            candidates += [base / f"{alias.name}.py" for alias in node.names]
            yield from (path for path in candidates if path.is_file())
