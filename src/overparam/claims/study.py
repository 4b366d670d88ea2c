"""A study: cells to compute, claims to compare them with, figures to draw from them."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from overparam._errors import expect, unknown
from overparam.claims.claim import SIZES, Claim
from overparam.claims.header import Header, parse_header

if TYPE_CHECKING:
    import pandas as pd

PAPERS = "overparam.studies"  # the package of studies: a file or a folder each


@dataclass(frozen=True)
class Cell:
    """One independent computation of a study: its parameters and its seed, both plain data."""

    parameters: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Study:
    """Everything that checks one paper's claims; its file is its registration.

    Args:
        cells: Maps a size's configuration to the parameters of its cells, one mapping each,
            among them `replicate`: 0, 1, … for repetitions with independent randomness.
        cell: Computes one: ``cell(**parameters, seed=…)`` without `replicate`. A pure,
            module-level function that draws from `seed` alone and returns a dict of numbers,
            truth values, strings, or lists of them.
        sizes: A configuration for each of "smoke", "quick" and "full".
        claims: What is compared, in the order of the page.
        figures: Maps the table of finished cells to figures (see `figure`).
        extra: What has to be installed beside the library, as ``overparam[extra]``, and the name
            by which it is imported, for studies that need more.

    Raises:
        ValueError: If a size is missing or unknown, or two claims share a name.
    """

    cells: Callable[[Any], Sequence[Mapping[str, Any]]]
    cell: Callable[..., Mapping[str, Any]]
    sizes: Mapping[str, Any]
    claims: Sequence[Claim]
    figures: "Callable[[pd.DataFrame], dict[str, Any]]"
    extra: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        expect(set(self.sizes) == set(SIZES), "Study(sizes=...)", ", ".join(SIZES), [*self.sizes])
        names = [claim.name for claim in self.claims]
        expect(len(set(names)) == len(names) > 0, "Study(claims=...)", "unique names", names)

    @property
    def name(self) -> str:
        """Name of the file or folder the study stands in."""
        return self._module.rpartition(".")[2]

    @property
    def lacks(self) -> str:
        """Why it cannot be run here, as a command that would change it; empty if it can."""
        if self.extra is None or find_spec(self.extra[1]) is not None:
            return ""
        return f"needs pip install 'overparam[{self.extra[0]}]'"

    @property
    def header(self) -> Header:
        """Title and sections of that file's docstring."""
        return parse_header(self.name, sys.modules[self._module].__doc__ or "")

    @property
    def _module(self) -> str:
        """Where the study is, also if its cell function stands in a file of its folder."""
        module, studies = self.cell.__module__, f"{PAPERS}."
        if not module.startswith(studies):
            return module
        return studies + module.removeprefix(studies).partition(".")[0]

    def plan(self, size: str, seed: int) -> list[Cell]:
        """The cells of a size.

        Replicate r of a study run with seed s draws from seed 1000 s + r: it is the same in
        every cell of a comparison, and no other s shares it.

        Args:
            size: One of "smoke", "quick", "full".
            seed: The study's seed s ≥ 0.

        Raises:
            ValueError: If there is no such size or `seed` is negative.
        """
        if size not in self.sizes:
            unknown("study run --size", "a size", size, self.sizes)
        expect(seed >= 0, "study run --seed", "a whole number ≥ 0", seed)
        return list(self._plan(size, seed))

    def _plan(self, size: str, seed: int) -> Iterator[Cell]:
        for parameters in self.cells(self.sizes[size]):
            rest = {name: value for name, value in parameters.items() if name != "replicate"}
            replicate = parameters["replicate"]
            assert 0 <= replicate < 1000, f"replicate {replicate} would share another run's seed"
            yield Cell(rest, 1000 * seed + replicate)
