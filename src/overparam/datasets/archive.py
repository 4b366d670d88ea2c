"""NumPy archives (`.npz`), opened by what they declare before anything is allocated."""

import warnings
import zipfile
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from overparam._files import expect_readable
from overparam._memory import GIB, expect_room
from overparam.errors import InvalidValue, NotEnoughMemory

Arrays = dict[str, np.ndarray]

_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Arrays are joined and split: three copies at most.
_COPIES = 3
# Measured data do not shrink so far; what does is made to fill a memory.
_MOST_GROWTH = 100
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _Refused(Exception):
    """What an archive holds that is not read, and what to do about it."""


def open_npz(path: Path, where: str) -> Arrays:
    """Every array of the archive, without pickle.

    Raises:
        ValueError: If it is no archive of plain arrays, or a damaged one.
        MemoryError: If its arrays would not fit into memory.
    """
    expect_readable(path, where)
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            members = {_name(member): member for member in _members(archive)}
            size = sum(member.file_size for member in members.values())
            _expect_no_bomb(size, path.stat().st_size)
            expect_room(
                _COPIES * size, None, where,
                "take a part of the examples.", "an archive of arrays",
            )  # fmt: skip
            return {name: _read(archive, member, name) for name, member in members.items()}
    except NotEnoughMemory:
        raise
    except MemoryError as error:
        raise NotEnoughMemory(
            f"`{where}` expected arrays that fit into memory ({error})."
        ) from None
    except _Refused as problem:
        got, hint = problem.args
    except Exception as error:  # of damaged bytes zipfile, zlib and NumPy raise anything
        got = f"{path}, which NumPy cannot read ({error or type(error).__name__})"
        hint = "it may be cut short or no .npz at all; write or fetch it again."
    raise InvalidValue(f"`{where}` expected an archive of plain arrays, got {got}.\nHint: {hint}")


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The archive's members, each once and each readable."""
    members = archive.infolist()
    hint = "np.savez(file, X=inputs, y=targets) writes an archive that is read."
    twice = [name for name, n in Counter(map(_name, members)).items() if n > 1]
    if twice:
        raise _Refused(f"one that holds {twice[0]!r} twice", hint)
    for member in members:
        if member.flag_bits & 1:
            raise _Refused(f"one whose {_name(member)!r} is encrypted", hint)
        if member.compress_type not in _READABLE:
            raise _Refused(
                f"one whose {_name(member)!r} is compressed by method {member.compress_type}", hint
            )
    return members


def _expect_no_bomb(size: int, stored: int) -> None:
    if size > max(GIB, _MOST_GROWTH * stored):
        raise _Refused(
            f"{stored / 2**20:.1f} MiB that would grow to {size / GIB:.1f} GiB",
            "np.savez writes without compression.",
        )


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    """A member's array, if it is as large as the archive says."""
    with archive.open(member) as stream:
        shape, dtype = _header(stream, name)
        declared = stream.tell() + prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or declared != member.file_size:
            raise _Refused(
                f"one whose {name!r} says it has shape {shape} and dtype {dtype}, "
                f"in {member.file_size:,} bytes",
                "it may be damaged; write or fetch it again.",
            )
        stream.seek(0)
        array = np.lib.format.read_array(stream, allow_pickle=False)
    if dtype.kind == "U":
        "".join(map(str, array.ravel())).encode()  # raises for numbers that are no letters
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _header(stream: Any, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array that a stream begins with."""
    hint = "an archive holds arrays and nothing else; np.savez writes one."
    if stream.read(6) != b"\x93NUMPY":
        raise _Refused(f"one whose {name!r} is no array", hint)
    stream.seek(0)
    version = np.lib.format.read_magic(stream)  # pyright: ignore[reportArgumentType]
    if version not in _HEADERS:
        raise _Refused(f"one whose {name!r} is an array of version {version}", hint)
    shape, _, dtype = _HEADERS[version](stream)  # pyright: ignore[reportArgumentType]
    if dtype.hasobject:
        raise _Refused(
            "one that holds Python objects, which could run code when opened",
            "save arrays of numbers or of text, not of dtype object.",
        )
    return shape, dtype
