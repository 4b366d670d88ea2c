"""A model's folder: words in JSON, and the numbers that the words name by their digest.

`model.json` is replaced last. Until then it names the numbers of the model before, which stand
beside the new ones under another name; so a folder holds one model or the other whole, whenever
the writer was stopped.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import numpy as safetensors

from overparam._errors import expect
from overparam._files import expect_writable, sync_folder, write_whole
from overparam._json import json_digest, strict, to_json

try:
    import fcntl
except ImportError:  # Windows: two processes then should not save into one folder at once
    fcntl = None

FORMAT = 4
WORDS = "model.json"
# Format 1: numbers without a digest, under one name for every model. Format 2: no reader.
# Format 3: neither a scale of the target nor residuals.
_FIRST, _FIRST_NUMBERS = 1, "model.safetensors"
_NUMBERS = r"model(-[0-9a-f]{16})?\.safetensors"
_OURS = re.compile(rf"{re.escape(WORDS)}|{_NUMBERS}|\.({re.escape(WORDS)}|{_NUMBERS})\.\w+\.part")


def write_model(folder: Path, words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a model's files; the model that was there stays until the new one is on the disk.

    Args:
        folder: Made if need be; see `expect_model_folder`.
        words: Plain data.
        arrays: Numbers.

    Raises:
        OSError: If they cannot be written; the folder holds the model it held.
    """
    content = safetensors.save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    found = strict({"format": FORMAT, "numbers": hashlib.sha256(content).hexdigest(), **words})
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        try:
            write_whole(folder / _numbers(found), content)
            write_whole(folder / WORDS, to_json({**found, "digest": json_digest(found)}))
        finally:
            with suppress(ValueError, RecursionError, AttributeError, OSError):
                _sweep(folder)
        sync_folder(folder.absolute().parent)


def read_model(folder: Path, where: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The words and numbers of one model, as they were written.

    Args:
        folder: Of the model.
        where: The public call this is for.

    Returns:
        The words without format and digests, and the numbers.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If its files are damaged, not of one model, or from a later version.
    """
    expect(
        (folder / WORDS).is_file(),
        where,
        f"a folder with {WORDS}",
        f"one without {WORDS}" if folder.is_dir() else "none",
        error=FileNotFoundError,
    )
    for _ in range(3):
        words = _words(folder, where)
        numbers = folder / _numbers(words)
        with suppress(FileNotFoundError):  # if another process has saved meanwhile, once more
            if numbers.is_file():
                content = numbers.read_bytes()
                break
    else:
        raise FileNotFoundError(
            f"`{where}` expected {WORDS} and the numbers it names, got no {numbers.name}."
        )
    if words.pop("format") != _FIRST:
        same = hashlib.sha256(content).hexdigest() == words.pop("numbers", None)
        expect_sound(same, where, f"{numbers.name} is not what was written with {WORDS}")
    damage = ""
    try:
        arrays = safetensors.load(content)
    except Exception as error:  # of the format's reader, of NumPy, of types it does not know
        damage, arrays = f"{numbers.name}: {type(error).__name__}: {error}", {}
    expect_sound(not damage, where, damage)
    return words, {name: np.array(array) for name, array in arrays.items()}


def expect_model_folder(folder: Path, where: str) -> None:
    """Raise unless a model can be saved into a folder; asked before the work is done.

    Raises:
        ValueError: If it holds other files than a model's, or the folder above does not exist.
        OSError: If the system does not let it be written.
    """
    others = _others(folder) if folder.is_dir() else []
    expect(
        (folder.is_dir() and not others) or not os.path.lexists(folder),
        where,
        "a folder that is new, empty or a model's",
        f"one that holds {', '.join(others[:3])}" if others else f"{str(folder)!r}, no folder",
    )
    expect_writable(folder / WORDS if folder.is_dir() else _nearest(folder), where)


def expect_sound(condition: Any, where: str, problem: str) -> None:
    """Raise unless `condition` holds: the files are no model."""
    problem = " ".join(problem.split())
    expect(
        condition,
        where,
        "a model as `overparam fit --save` writes it",
        f"files that are damaged ({problem:.300})",
    )


def _words(folder: Path, where: str) -> dict[str, Any]:
    """What model.json says, to the letter as it was written if it has a digest."""
    words: Any = None
    damage = ""
    try:
        words = json.loads((folder / WORDS).read_bytes(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        damage = f"{WORDS}: {type(error).__name__}: {error}"
    expect_sound(not damage, where, damage)
    version = words.get("format") if isinstance(words, dict) else None
    if not isinstance(words, dict) or not isinstance(version, int):
        expect_sound(False, where, f"{WORDS} says no format")
    expect(
        version in range(_FIRST, FORMAT + 1),
        where,
        f"a model of format {_FIRST} to {FORMAT}",
        f"one of format {version}",
        hint="a later version of overparam may have written it.",
    )
    if version != _FIRST:
        digest = words.pop("digest", None)
        expect_sound(digest == json_digest(words), where, f"{WORDS} is not as it was written")
    return words


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _numbers(words: Mapping[str, Any]) -> str:
    """Name of the numbers' file; none if the words name none, or more than a name."""
    if words.get("format") == _FIRST:
        return _FIRST_NUMBERS
    name = f"model-{str(words.get('numbers'))[:16]}.safetensors"
    return name if re.fullmatch(_NUMBERS, name) else _FIRST_NUMBERS


def _sweep(folder: Path) -> None:
    """Remove what a model before left, and what a save that was stopped began."""
    words: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        words = json.loads((folder / WORDS).read_bytes())
    kept = {WORDS, _numbers(words)} if words else set()
    for file in folder.iterdir():
        if _OURS.fullmatch(file.name) and file.name not in kept:
            file.unlink(missing_ok=True)


def _others(folder: Path) -> list[str]:
    """Names in a folder that are not a model's files."""
    return sorted(
        file.name
        for file in folder.iterdir()
        if not (_OURS.fullmatch(file.name) and file.is_file())
    )


def _nearest(folder: Path) -> Path:
    """The uppermost of the folders that have to be made."""
    while not folder.absolute().parent.exists():
        folder = folder.absolute().parent
    return folder


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep a second save into the folder waiting."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # file systems of networks may not know locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
