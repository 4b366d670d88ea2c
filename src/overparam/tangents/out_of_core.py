"""Tangent kernels larger than memory, in a file, tile by tile."""

import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from joblib import delayed, effective_n_jobs
from torch import nn

from overparam._batch import chunks, copied, detached, n_examples, named_tensors, take
from overparam._checked import checked
from overparam._deprecated import deprecated, renamed
from overparam._errors import expect, unknown
from overparam._forward import Adapted, seen_through
from overparam._memory import GIB, expect_room
from overparam._model import undisturbed
from overparam._progress import Progress, counted, expect_progress
from overparam._threads import compute_on
from overparam._types import Forward, Inputs
from overparam._workers import told_of_the_dead
from overparam.cluster.backend import as_finished, send
from overparam.cluster.worker import Sent
from overparam.tangents.engine.gram_file import GramFile, stored_tile
from overparam.tangents.engine.grid import Grid, Tile
from overparam.tangents.engine.session import chosen_params
from overparam.tangents.engine.tile_maker import TileMaker

# Tiles a job takes at a time where jobs share nothing, so that factors serve more than once.
_GROUP = 4

F = TypeVar("F", bound=Callable[..., Any])


def _of_a_kind(function: F) -> F:
    """Take `kind=`, as until 0.3, for the functions that it stands for."""

    @functools.wraps(function)
    def wrapper(*args: Any, kind: str | None = None, **settings: Any) -> np.memmap:
        if kind is None:
            return function(*args, **settings)
        kinds = {
            "trace": empirical_ntk_to_file,
            "blocks": empirical_ntk_blocks_to_file,
            "sum_of_logits": sum_of_logits_ntk_to_file,
        }
        if kind not in kinds:
            unknown("empirical_ntk_to_file(kind=...)", "a kind", str(kind), kinds)
        named = kinds[kind]
        deprecated(f"empirical_ntk_to_file(kind={kind!r})", f"{named.__name__}(...)", stacklevel=4)
        return named(*args, **settings)

    return cast(F, wrapper)


@renamed(params="names", jobs="n_jobs")
@_of_a_kind
@checked
def empirical_ntk_to_file(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    path: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    tile: int | None = None,
    memory: int = GIB,
    n_jobs: int | None = None,
    progress: Progress = True,
    forward: Forward | None = None,
) -> np.memmap:
    """The empirical tangent kernel in a .npy file, which may be larger than memory.

    The numbers are those of `empirical_ntk`, the *mean* over outputs, in C order:

        K[i, j] = (1/C) Σ_c ⟨∂f_c(x1[i])/∂θ, ∂f_c(x2[j])/∂θ⟩.

    The C × C blocks before averaging are `empirical_ntk_blocks_to_file`, the kernel of the
    summed outputs is `sum_of_logits_ntk_to_file`.

    The matrix is computed in tiles, the symmetric half once. A tile is on the disk before a
    journal beside the file says so; the same call after an interruption, a power failure
    included, goes on after the last finished tile and ends in the same bits (on one machine,
    with one number of threads). Until the last tile is in, the matrix is ``PATH.part``, so
    that a file at `path` is always whole; ``PATH.journal`` stays, and calling again computes
    nothing. A call with another model, other data or other settings is refused.

    The journal holds a digest of every tile, and what was finished before is compared with it
    before it is believed. Tiles that ``PATH.part`` lost are computed again. A file at `path`
    that is not, to the bit, what was written is refused and left alone; so is one that an
    earlier version finished, whose journal has no digests.

    Tiles are spread by joblib: within ``joblib.parallel_config(backend=...)`` by whatever back
    end, and within `on_cluster` over several machines, whose workers then get the model and the
    inputs once and compute on as many threads as this process. Only this process writes to the
    file.

    Args:
        model: As for `empirical_ntk`.
        x1: n1 examples.
        x2: n2 examples. `None` means `x1`, at about half the cost.
        path: Of the file, ending in .npy.
        names: Names of the parameters that make up θ; `None` means all that require a
            gradient.
        tile: Examples on a tile's side. `None` means as many as `memory` allows, at most 2048,
            or what an interrupted call took.
        memory: Bytes of layers' factors that a job holds at most, unless two examples need more.
        n_jobs: Tiles computed at a time, as joblib's; `None` means one, or what an outer
            ``joblib.parallel_config`` says.
        progress: Whether to draw a bar where somebody watches, or a function that is called with
            the stage and the share of it that is done.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        The matrix (n1, n2), mapped for reading: what is not looked at is not in memory.

    Raises:
        ValueError: As `empirical_ntk`; if an argument is out of range; if the file is of
            another model, other data or other settings, or is no longer what was written.
        TypeError: If `x1` holds no tensors or `model` returns none.
        MemoryError: If the factors and one tile do not fit.
        OSError: If the disk has no room, or another process writes to the file.
        NumericalError: If a tile is not finite. What was finished before is kept.

    Cost:
        That of `empirical_ntk`, and for every tile that does not find its examples' factors
        among those held, differentiating these again. Memory is `memory` and one tile for each
        job, whatever n1 and n2 are; the disk holds the result alone. A call that finds tiles
        finished reads these once and hashes them, a few seconds for each gigabyte.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> with TemporaryDirectory() as folder:
        ...     K = empirical_ntk_to_file(torch.nn.Linear(2, 3), x, path=f"{folder}/K.npy")
        ...     print(K)
        [[2. 2.]
         [2. 3.]]

    References:
        Novak, Sohl-Dickstein, Schoenholz (2022), arXiv:2206.08720: contraction of layers'
        factors.
    """
    name, kind = "empirical_ntk_to_file", "trace"
    model = seen_through(model, forward, name)
    return _to_file(name, kind, model, x1, x2, path, names, tile, memory, n_jobs, progress)


@checked
def empirical_ntk_blocks_to_file(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    path: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    tile: int | None = None,
    memory: int = GIB,
    n_jobs: int | None = None,
    progress: Progress = True,
    forward: Forward | None = None,
) -> np.memmap:
    """The tangent kernel of every pair of outputs in a .npy file, which may exceed memory.

        K[i, j, c, d] = ⟨∂f_c(x1[i])/∂θ, ∂f_d(x2[j])/∂θ⟩,

    the numbers of `empirical_ntk_blocks` in C order, written as by `empirical_ntk_to_file`.

    Args, Raises: As for `empirical_ntk_to_file`.

    Returns:
        The array (n1, n2, C, C), mapped for reading.

    Cost:
        That of `empirical_ntk_blocks`, and otherwise as for `empirical_ntk_to_file`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> with TemporaryDirectory() as folder:
        ...     model = torch.nn.Linear(2, 2, bias=False)
        ...     print(empirical_ntk_blocks_to_file(model, x, path=f"{folder}/K.npy"))
        [[[[5. 0.]
           [0. 5.]]]]
    """
    name, kind = "empirical_ntk_blocks_to_file", "blocks"
    model = seen_through(model, forward, name)
    return _to_file(name, kind, model, x1, x2, path, names, tile, memory, n_jobs, progress)


@checked
def sum_of_logits_ntk_to_file(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    path: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    tile: int | None = None,
    memory: int = GIB,
    n_jobs: int | None = None,
    progress: Progress = True,
    forward: Forward | None = None,
) -> np.memmap:
    """The tangent kernel of the outputs' sum over √C in a .npy file, which may exceed memory.

    The numbers of `sum_of_logits_ntk` in C order, written as by `empirical_ntk_to_file`.

    Args, Raises: As for `empirical_ntk_to_file`.

    Returns:
        The matrix (n1, n2), mapped for reading.

    Cost:
        That of `sum_of_logits_ntk`, and otherwise as for `empirical_ntk_to_file`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> with TemporaryDirectory() as folder:
        ...     model = torch.nn.Linear(2, 1, bias=False)
        ...     print(sum_of_logits_ntk_to_file(model, x, path=f"{folder}/K.npy"))
        [[1. 1.]
         [1. 2.]]
    """
    name = "sum_of_logits_ntk_to_file"
    model = seen_through(model, forward, name)
    return _to_file(
        name, "sum_of_logits", model, x1, x2, path, names, tile, memory, n_jobs, progress
    )


def _to_file(
    name: str,
    kind: str,
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None,
    path: str | os.PathLike[str],
    names: Sequence[str] | None,
    tile: int | None,
    memory: int,
    n_jobs: int | None,
    progress: Progress,
) -> np.memmap:
    """A kernel of some kind in a file; `name` is the public call it is for."""
    target = _checked_path(path, f"{name}(path=...)")
    whole = isinstance(tile, int) and tile >= 1
    expect(tile is None or whole, f"{name}(tile=...)", "an integer ≥ 1, or None", tile)
    expect(memory > 0, f"{name}(memory=...)", "a positive number of bytes", memory)
    expect(n_jobs != 0, f"{name}(n_jobs=...)", "a number of jobs, or -1 for every core", n_jobs)
    expect_progress(progress, f"{name}(progress=...)")
    chosen = chosen_params(model, x1, x2, names, None, name)
    x1, x2 = detached(x1), None if x2 is None else detached(x2)
    other = x1 if x2 is None else x2
    n1, n2 = n_examples(x1), n_examples(other)

    larger = x1 if n1 >= n2 else other
    probe = take(larger, sorted({0, n_examples(larger) // 2, n_examples(larger) - 1}))
    maker = TileMaker(model, probe, list(chosen), kind, tile or stored_tile(target), memory)
    maker.name = name
    plan = maker.prepare()
    block = plan.outputs if kind == "blocks" else 1
    device = next(iter(chosen.values())).device
    each = plan.dtype.itemsize * 2 * (block * maker.tile) ** 2
    needed = min(memory, maker.needed) + each
    expect_room(needed, device, f"{name}(memory=...)", "choose a smaller memory or tile.")
    identity = {
        "model": f"{model._get_name()} {_digest_of_model(model)}{_digest_of_call(model, probe)}",
        "data": f"{n1} × {n2} examples {_digest(x1)}" + ("" if x2 is None else f" {_digest(x2)}"),
        "kind": kind,
        "params": f"{len(chosen)} parameters {_sha(sorted(chosen))}",
        "tile": str(maker.tile),
    }
    shape = (n1, n2, *((block, block) if kind == "blocks" else ()))
    dtype = torch.empty(0, dtype=plan.dtype).numpy().dtype
    grid = Grid(chunks(n1, maker.tile), chunks(n2, maker.tile), symmetric=x2 is None)
    bars = bool(progress) and not callable(progress)
    with GramFile(target, identity, grid, shape, dtype, f"{name}(path=...)", progress=bars) as file:
        if not file.complete:
            _fill(file, maker, x1, other, n_jobs, progress)
            file.finish()
    return cast(np.memmap, np.load(target, mmap_mode="r"))


@dataclass(frozen=True)
class _Problem:
    """Everything that tiles are computed from.

    Attributes:
        threads: How many a tile takes: sums are split by thread, and so are their bits.
    """

    maker: TileMaker
    grid: Grid
    x1: Inputs
    x2: Inputs
    threads: int

    def strip(self, i: int, group: Sequence[int]) -> tuple[Any, ...]:
        """What the maker takes for some tiles of a row."""
        rows, columns, symmetric = self.grid.rows, self.grid.columns, self.grid.symmetric
        same = {j for j in group if symmetric and i == j}
        rights = {j: None if j in same else copied(take(self.x2, columns[j])) for j in group}
        return i, copied(take(self.x1, rows[i])), rights, symmetric


def _strip_there(sent: Sent[_Problem], i: int, group: Sequence[int]) -> Any:
    """Some tiles of a row, on a worker that has the problem."""
    compute_on(sent.value.threads)
    return sent.value.maker.strip(*sent.value.strip(i, group))


def _fill(
    file: GramFile,
    maker: TileMaker,
    x1: Inputs,
    x2: Inputs,
    n_jobs: int | None,
    progress: Progress,
) -> None:
    """Compute and write every tile that the file lacks."""
    grid = file.grid
    every = list(grid.tiles())
    waiting = [tile for tile in every if tile not in file.finished]
    if not waiting:
        return
    together = effective_n_jobs(n_jobs) > 1  # type: ignore[arg-type]

    problem = _Problem(maker, grid, x1, x2, torch.get_num_threads())
    sent = send(problem)

    def tasks() -> Iterator[Any]:
        for i, group in _groups(waiting, _GROUP if together else 1):
            if sent is None:
                yield delayed(maker.strip)(*problem.strip(i, group))
            else:
                yield delayed(_strip_there)(sent, i, group)

    answers = as_finished(tasks(), n_jobs)
    done = len(every) - len(waiting)
    stage = file.path.name
    with (
        told_of_the_dead(f"{maker.name}(n_jobs=...)"),
        counted(progress, stage, len(every), done=done, unit="tile") as advance,
    ):
        for answer in cast(Iterator[list[tuple[Tile, np.ndarray]]], answers):
            for tile, numbers in answer:
                file.write(tile, numbers)
                advance()


def _groups(tiles: list[Tile], size: int) -> Iterator[tuple[int, list[int]]]:
    """Tiles of one row that follow one another, at most `size` together."""
    row: int | None = None
    group: list[int] = []
    for i, j in tiles:
        if row is not None and (i != row or len(group) == size):
            yield row, group
            group = []
        row = i
        group.append(j)
    if row is not None:
        yield row, group


def _checked_path(path: str | os.PathLike[str], where: str) -> Path:
    """A place for a .npy file."""
    known = isinstance(path, (str, os.PathLike))
    expect(known, where, "a path", type(path).__name__, error=TypeError)
    target = Path(path)
    expect(target.suffix == ".npy", where, "a path that ends in .npy", repr(str(path)))
    expect(
        target.parent.is_dir(),
        where,
        "a file in a folder that exists",
        repr(str(path)),
        hint=f"create {target.parent} first.",
    )
    return target


def _sha(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _digest(x: Inputs) -> str:
    """Of a batch: shapes, types, names and every bit."""
    total = hashlib.sha256()
    for name, value in named_tensors(x):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        for part in value.split(4096) if value.ndim else [value]:
            numbers = part.detach().cpu().contiguous().flatten().view(torch.uint8)
            total.update(numbers.numpy())  # type: ignore[arg-type]
    return total.hexdigest()[:16]


def _digest_of_call(model: nn.Module, probe: Inputs) -> str:
    """What tells one `forward` from another; nothing for a model that is called as it is."""
    if not isinstance(model, Adapted):
        return ""
    with undisturbed(model), torch.no_grad():
        return f" {_digest(model(probe))}"


def _digest_of_model(model: nn.Module) -> str:
    """Of parameters, buffers and what the modules print of themselves, addresses left out."""
    tensors = dict(sorted([*model.named_parameters(), *model.named_buffers()]))
    return _sha((re.sub(r" at 0x[0-9a-f]+", "", repr(model)), _digest(tensors)))
