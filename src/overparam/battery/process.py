"""From process parameters to the structure of an electrode."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from overparam._errors import expect

Bounds = Mapping[str, tuple[float, float]]

_WINDOW = {"active_material": (0.90, 0.98), "solids": (0.55, 0.70), "calendering": (0.0, 0.45)}


@dataclass(frozen=True)
class Structure:
    """What a porous-electrode model needs to know of a positive electrode.

    Attributes:
        thickness: Of the coating, in m.
        porosity: Share of the volume that electrolyte fills.
        active_fraction: Share of the volume that active material fills.
        conductivity: Effective electronic conductivity, in S/m.
        tortuosity: Factor τ of the pores: what diffuses does so by D · porosity / τ.
        coverage: Share of the particles' surface that binder covers.
        particle_radius: In m.
    """

    thickness: float
    porosity: float
    active_fraction: float
    conductivity: float
    tortuosity: float
    coverage: float = 0.0
    particle_radius: float = 5e-6

    def impossible(self) -> str:
        """What makes this no electrode, in words; empty if nothing does.

        Example:
            >>> Structure(50e-6, 0.2, 0.7, 1.0, tortuosity=2.0).impossible()
            ''
            >>> Structure(50e-6, -0.1, 1.0, 1.0, tortuosity=2.0).impossible()
            'a porosity of -0.1'
        """
        numbers = vars(self)
        for name in ("thickness", "conductivity", "particle_radius"):
            if not (math.isfinite(numbers[name]) and numbers[name] > 0):
                return f"a {name.replace('_', ' ')} of {numbers[name]:.4g}"
        for name in ("porosity", "active_fraction"):
            if not 0 < numbers[name] < 1:
                return f"a {name.replace('_', ' ')} of {numbers[name]:.4g}"
        if self.porosity + self.active_fraction > 1 + 1e-12:
            return "more than its volume filled by pores and active material"
        if not (math.isfinite(self.tortuosity) and self.tortuosity >= 1):
            return f"a tortuosity of {self.tortuosity:.4g}"
        return "" if 0 <= self.coverage < 1 else f"a coverage of {self.coverage:.4g}"


@runtime_checkable
class ProcessModel(Protocol):
    """Whatever turns process parameters into a structure: relations, a table, a simulator.

    Attributes:
        bounds: The window of each parameter, ``{name: (lowest, highest)}``.
        smallest_porosity: Below it no design is proposed.
    """

    @property
    def bounds(self) -> Bounds:
        """The window of each parameter."""
        ...

    @property
    def smallest_porosity(self) -> float:
        """Below it no design is proposed."""
        ...

    def structure(self, parameters: Mapping[str, float]) -> Structure:
        """The structure that these parameters give; `Structure.impossible` if they give none."""
        ...


@dataclass(frozen=True)
class CoatingProcess:
    r"""A slurry coated at a fixed wet gap, dried, and calendered: closed relations.

    Three parameters are designed: ``active_material``, mass fraction of it in the solids;
    ``solids``, mass fraction of solids in the slurry; ``calendering``, relative reduction of the
    thickness. With the volumes per mass of solids v_A = w/ρ_A and v_C = (1−w)/ρ_C:

        solids' density  ρ_s = 1/(v_A + v_C)
        areal loading    m = solids · gap / (solids/ρ_s + (1 − solids)/ρ_solvent)
        dried porosity   ε₀ = 1 − φ_A (1 + v_C/v_A)
        thickness        L = m / (ρ_s (1 − ε₀)) · (1 − calendering)
        porosity         ε = 1 − (1 − ε₀)/(1 − calendering)
        tortuosity       τ = ε^(−α) (1 + k_τ ε_C)
        conductivity     σ = σ_b + σ₀ max(ε_C/(1 − ε_nano) − φ_c, 0)^t
        coverage         1 − exp(−2 k_c ε_C/ε_A)

    Calendering conserves the solids, which is exact. α is what tomography of cathodes of layered
    oxides finds (Ebner & Wood 2015, 0.5 to 0.53); the exponent t of percolation in three
    dimensions lies between 1.6 and 2. How binder lengthens the paths (k_τ), the scale and
    threshold of percolation (σ₀, φ_c) and the coverage (k_c) are plausible assumptions rather
    than measurements: fit them to your line, or replace the model.

    Args:
        bounds: Window of each parameter.
        smallest_porosity: Below it no design is proposed.
        wet_gap: Height of the slurry as coated, in m.
        active_density: Of the active material, in kg/m³; of NMC111.
        binder_density: Of carbon and binder together, in kg/m³.
        solvent_density: In kg/m³; of NMP.
        packing: Volume fraction of active material in the dried coating.
        pore_exponent: α.
        binder_tortuosity: k_τ.
        base_conductivity: σ_b, in S/m.
        binder_conductivity: σ₀, in S/m.
        binder_porosity: ε_nano, of the carbon-binder phase itself.
        percolation_threshold: φ_c.
        percolation_exponent: t.
        binder_coverage: k_c.
        particle_radius: In m.

    Raises:
        ValueError: If a coefficient is no number of its kind, or a window is empty or leads
            outside of what a mass fraction or a reduction can be.

    Example:
        >>> process = CoatingProcess()
        >>> made = process.structure({"active_material": 0.96, "solids": 0.62, "calendering": 0.3})
        >>> f"{1e6 * made.thickness:.1f} µm, porosity {made.porosity:.3f}"
        '55.1 µm, porosity 0.257'

    References:
        Duquesnoy, Liu, Zapata Dominguez, Kumar, Ayerbe, Franco (2023), arXiv:2307.05521, whose
        structures come from particle simulations instead. Ebner, Wood (2015), J. Electrochem.
        Soc. 162, A3064: tortuosity.
    """

    bounds: Bounds = field(default_factory=lambda: dict(_WINDOW))
    smallest_porosity: float = 0.15
    wet_gap: float = 150e-6
    active_density: float = 4750.0
    binder_density: float = 1855.0
    solvent_density: float = 1030.0
    packing: float = 0.47
    pore_exponent: float = 0.53
    binder_tortuosity: float = 2.0
    base_conductivity: float = 1e-3
    binder_conductivity: float = 300.0
    binder_porosity: float = 0.5
    percolation_threshold: float = 0.03
    percolation_exponent: float = 1.8
    binder_coverage: float = 2.0
    particle_radius: float = 5e-6

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name == "bounds":
                continue
            where, expected = f"CoatingProcess({name}=...)", "a number"
            number = isinstance(value, int | float) and not isinstance(value, bool)
            expect(number and math.isfinite(value), where, expected, repr(value))
            share = name in ("packing", "binder_porosity", "smallest_porosity")
            positive = name.endswith(("density", "gap", "radius")) or name == "base_conductivity"
            if share:
                expect(0 < value < 1, where, "a share between 0 and 1", value)
            else:
                expect(value > 0 if positive else value >= 0, where,
                       "a positive number" if positive else "a number ≥ 0", value)  # fmt: skip
        where = "CoatingProcess(bounds=...)"
        names = list(_WINDOW)
        expect(
            isinstance(self.bounds, Mapping) and set(self.bounds) == set(names),
            where,
            f"a window for each of {', '.join(names)}",
            list(self.bounds) if isinstance(self.bounds, Mapping) else self.bounds,
        )
        expect_window(self.bounds, where, hint="fractions are between 0 and 1, not in per cent.")
        for name, (low, high) in self.bounds.items():
            expect(
                low >= 0 and high < 1 and (low > 0 or name == "calendering"),
                where,
                f"a window of {name} between 0 and 1",
                (low, high),
                "fractions are between 0 and 1, not in per cent.",
            )

    def structure(self, parameters: Mapping[str, float]) -> Structure:
        """The structure that these parameters give, which may be impossible; see there."""
        missing = [name for name in _WINDOW if name not in parameters]
        expect(not missing, "CoatingProcess.structure(...)", ", ".join(_WINDOW), [*parameters])
        active, solids, reduction = (float(parameters[name]) for name in _WINDOW)
        volume_active = active / self.active_density
        volume_binder = (1 - active) / self.binder_density
        density = 1 / (volume_active + volume_binder)
        slurry = 1 / (solids / density + (1 - solids) / self.solvent_density)
        loading = slurry * self.wet_gap * solids
        filled = self.packing * (1 + volume_binder / volume_active)
        thickness = loading / (density * filled) * (1 - reduction)
        filled /= 1 - reduction
        active_fraction = filled * volume_active * density
        binder = filled - active_fraction
        porosity = 1 - filled
        over = max(binder / (1 - self.binder_porosity) - self.percolation_threshold, 0.0)
        return Structure(
            thickness=thickness,
            porosity=porosity,
            active_fraction=active_fraction,
            conductivity=self.base_conductivity
            + self.binder_conductivity * over**self.percolation_exponent,
            # Of no pores there is no tortuosity; the porosity says that this is no electrode.
            tortuosity=max(porosity, 1e-9) ** -self.pore_exponent
            * (1 + self.binder_tortuosity * binder),
            coverage=1 - math.exp(-2 * self.binder_coverage * binder / active_fraction),
            particle_radius=self.particle_radius,
        )


def expect_window(bounds: Bounds, where: str, hint: str = "") -> None:
    """Raise unless every parameter has a window of two numbers, the lower first."""
    for name, window in bounds.items():
        pair = isinstance(window, tuple | list) and len(window) == 2
        numbers = pair and all(
            isinstance(end, int | float) and math.isfinite(end) for end in window
        )
        expect(
            numbers and window[0] < window[1],
            where,
            f"(lowest, highest) for {name}",
            window,
            hint,
        )
