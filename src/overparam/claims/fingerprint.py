"""A hash of everything that decides a cell's result, so that stale results are never reused."""

import ast
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
_STUDIES = _PACKAGE / "studies"
# What runs cells and judges them decides none of their results.
_ENGINE = (_PACKAGE / "claims", _STUDIES)


def fingerprint(cell: Callable[..., Any]) -> str:
    """Hash of a cell function: its code, what it uses of its study, and the library behind it.

    From the study's files count only the definitions that the function reaches, so that a
    reworded claim or a new figure costs nothing. From the library count the whole files that
    these import, and those that they import in turn: a repaired kernel makes every cell
    computed with the old one stale. Comments, docstrings and layout count nowhere.

    Args:
        cell: A module-level function with source code, decorated or not.
    """
    cell = inspect.unwrap(cell)
    digest = hashlib.sha256()
    library: set[Path] = set()
    for node in _reached(Path(inspect.getsourcefile(cell) or ""), cell.__name__):
        digest.update(ast.dump(node).encode())
        library.update(_imported(node))
    for path in sorted(_library_files(library)):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(_read(path.read_text(encoding="utf-8"))[0])
    return digest.hexdigest()


def _reached(start: Path, name: str) -> list[ast.stmt]:
    """Top-level statements of a study's files that bind a name or what it uses, in their order."""
    trees: dict[Path, dict[str, list[ast.stmt]]] = {}
    found: dict[tuple[Path, int], ast.stmt] = {}
    waiting, seen = [(start, name)], set()
    while waiting:
        at = path, wanted = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        if path not in trees:
            trees[path] = _binding(path)
        for statement in trees[path].get(wanted, []):
            found[path, statement.lineno] = statement
            waiting += [
                (path, node.id) for node in ast.walk(statement) if isinstance(node, ast.Name)
            ]
            for node in ast.walk(statement):
                if isinstance(node, ast.ImportFrom):
                    waiting += _of_the_study(node, statement, wanted)
    return [found[place] for place in sorted(found)]


def _of_the_study(
    node: ast.ImportFrom, statement: ast.stmt, wanted: str
) -> Iterator[tuple[Path, str]]:
    """The file and name of each thing that an import takes from a file of a study."""
    for alias in node.names:
        # A deferred import, inside of a function, is used there as a whole.
        if node is statement and (alias.asname or alias.name) != wanted:
            continue
        for path in _files(node, alias.name):
            if path.is_relative_to(_STUDIES):
                yield path, alias.name


def _binding(path: Path) -> dict[str, list[ast.stmt]]:
    """By name, the top-level statements of a file that give it a value."""
    binds: dict[str, list[ast.stmt]] = {}
    for statement in _bare(path.read_text(encoding="utf-8")).body:
        for name in _bound(statement):
            binds.setdefault(name, []).append(statement)
    return binds


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names a top-level statement gives a value to."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield (alias.asname or alias.name).partition(".")[0]
    else:
        # What a comprehension counts by is its own: claims in a loop over `name` bind no `name`.
        loops = [node for node in ast.walk(statement) if isinstance(node, ast.comprehension)]
        own = {node for loop in loops for node in ast.walk(loop.target)}
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in own:
                yield node.id


def _library_files(start: set[Path]) -> set[Path]:
    """These files of the library and all that they need, transitively."""
    found: set[Path] = set()
    waiting = list(start)
    while waiting:
        path = waiting.pop()
        if path in found or path.parent in _ENGINE or path.is_relative_to(_STUDIES):
            continue
        found.add(path)
        waiting += _read(path.read_text(encoding="utf-8"))[1]
    return found


@functools.cache  # many studies need the same files
def _read(text: str) -> tuple[bytes, list[Path]]:
    """A hash of a file's code, and the files it imports."""
    tree = _bare(text)
    return hashlib.sha256(ast.dump(tree).encode()).digest(), list(_imported(tree))


def _bare(text: str) -> ast.Module:
    """A file's code without its docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return tree


def _imported(tree: ast.AST) -> Iterator[Path]:
    """Files that `from overparam.… import …` statements, deferred ones too, name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield from _files(node, alias.name)


def _files(node: ast.ImportFrom, name: str) -> list[Path]:
    """Files of this library that may hold what is imported under a name."""
    if not (node.module or "").startswith("overparam"):
        return []
    base = _PACKAGE.joinpath(*(node.module or "").split(".")[1:])
    candidates = (base.with_suffix(".py"), base / "__init__.py", base / f"{name}.py")
    return [path for path in candidates if path.is_file()]
