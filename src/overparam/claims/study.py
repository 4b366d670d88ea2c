"""A study: cells to compute, claims to compare them with, figures to draw from them."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
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
            truth values, strings, or lists of them. ``{"absent": "why", …}`` says that there was
            nothing to compute with, such as data: it is not stored, and claims about it are not
            testable. A `FileNotFoundError`, as of `load`, says the same.
        sizes: A configuration for each of "smoke", "quick" and "full".
        claims: What is compared, in the order of the page.
        figures: Maps the table of finished cells to figures (see `figure`).
        needs: Packages its cells cannot do without, and the extra of this library that brings
            each, such as ``{"pybamm": "battery"}``.
        data: Sets of `overparam.datasets` that its cells load from a folder of data, such as
            ``("mnist",)``. With another file of that name, or without one, they are other cells.
        headlines: What the paper is known for: the sentences of its abstract that a run could
            contradict, in our words. Each is the `sentence` of a claim of kind "paper".

    Raises:
        ValueError: If a size is missing or unknown, two claims share a name, or a headline has no
            claim.
    """

    cells: Callable[[Any], Sequence[Mapping[str, Any]]]
    cell: Callable[..., Mapping[str, Any]]
    sizes: Mapping[str, Any]
    claims: Sequence[Claim]
    figures: "Callable[[pd.DataFrame], dict[str, Any]]"
    needs: Mapping[str, str] = field(default_factory=dict)
    data: Sequence[str] = ()
    headlines: Sequence[str] = ()

    def __post_init__(self) -> None:
        expect(set(self.sizes) == set(SIZES), "Study(sizes=...)", ", ".join(SIZES), [*self.sizes])
        names = [claim.name for claim in self.claims]
        expect(len(set(names)) == len(names) > 0, "Study(claims=...)", "unique names", names)
        tested = {claim.sentence for claim in self.claims if claim.kind == "paper"}
        untested = [headline for headline in self.headlines if headline not in tested]
        asked = "each to be the `sentence` of a claim of kind 'paper'"
        expect(not untested, "Study(headlines=...)", asked, untested)

    @property
    def name(self) -> str:
        """Name of the file or folder the study stands in."""
        return self._module.rpartition(".")[2]

    @property
    def header(self) -> Header:
        """Title and sections of that file's docstring."""
        return parse_header(self.name, sys.modules[self._module].__doc__ or "")

    @property
    def missing(self) -> str:
        """The extra that has to be installed before a cell can be computed; empty if none."""
        lacks = (extra for package, extra in self.needs.items() if find_spec(package) is None)
        return next(lacks, "")

    @property
    def versions(self) -> dict[str, str]:
        """Of the packages it needs: with another one, cells are computed again."""
        if not self.needs:
            return {}
        known = metadata.packages_distributions()  # imported as `ot`, installed as POT
        return {
            package: metadata.version(known[package][0])
            for package in self.needs
            if package in known
        }

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
