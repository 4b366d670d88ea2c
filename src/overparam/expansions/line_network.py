"""A two-layer ReLU network on inputs on a line: gradient descent in O(width), whatever n."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam._model import expect_inputs
from overparam.nets.seeding import generator

Gates = Literal["frozen", "moving"]


@dataclass(frozen=True)
class LineDescent:
    """A run of gradient descent.

    Attributes:
        loss: (1/n) Σ r² before every step, and after the last.
        positive: λ of the tangent kernel along x restricted to x > 0, likewise.
        negative: λ along x restricted to x < 0. Neither is sorted: they may cross.
        diverged: Whether it was given up.
    """

    loss: Float[Tensor, "steps"]
    positive: Float[Tensor, "steps"]
    negative: Float[Tensor, "steps"]
    diverged: bool


@dataclass(frozen=True)
class _Side:
    """What a half-line of examples has to say: f is s·x on it, with one slope s."""

    sign: float
    squares: float  # Σ x²
    slope: float  # the least-squares slope Σ xy / Σ x²

    def active(self, u: Tensor) -> Tensor:
        return self.sign * u > 0


class LineNetwork:
    """Weights of f(x) = (1/√m) Σᵢ vᵢ relu(uᵢ x), for real numbers x.

    On either half-line f is a multiple of x, so the tangent kernel has rank two, its
    eigenvectors are x restricted to x > 0 and to x < 0 as long as the gates hold, and a step
    of gradient descent needs m numbers however many examples there are.

    Args:
        u: Input weights, m numbers.
        v: Output weights, m numbers.

    Raises:
        ValueError: If they differ in length or are not finite.

    Example:
        Two units, one for each half-line, on an input each:

        >>> net = LineNetwork(torch.tensor([1.0, -2.0]), torch.tensor([1.0, 1.0]))
        >>> net.eigenvalues(torch.tensor([1.0, -1.0]))
        (1.0, 2.5)

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2022), arXiv:2205.11787: the theory for several
        examples is for this network.
    """

    @checked
    def __init__(self, u: Float[Tensor, "m"], v: Float[Tensor, "m"]) -> None:
        for name, weights in (("u", u), ("v", v)):
            expect_inputs(weights, f"LineNetwork({name}=...)", None if name == "u" else len(u))
            expect(
                weights.ndim == 1,
                f"LineNetwork({name}=...)",
                "a vector",
                f"shape {tuple(weights.shape)}",
            )
        self.u, self.v = u.double(), v.double()

    @classmethod
    @checked
    def random(cls, width: int, *, seed: int | torch.Generator) -> "LineNetwork":
        """Weights as in the paper: u from N(0, 1), v from ±1.

        Args:
            width: m ≥ 1.
            seed: A number, or a generator that is advanced.
        """
        expect(width >= 1, "LineNetwork.random(width=...)", "at least one unit", width)
        draw = generator(seed)
        u = torch.randn(width, generator=draw, dtype=torch.float64)
        return cls(u, 2.0 * torch.randint(0, 2, (width,), generator=draw) - 1)

    @checked
    def eigenvalues(self, x: Float[Tensor, "n"]) -> tuple[float, float]:
        """λ of K = J Jᵀ along x restricted to x > 0 and to x < 0: (Σ x²/m) Σ (u² + v²)."""
        sides = _sides("LineNetwork.eigenvalues", x, x)
        mass = self.u.square() + self.v.square()
        positive, negative = (
            float(side.squares * mass[side.active(self.u)].sum()) / len(mass) for side in sides
        )
        return positive, negative

    @checked
    def descend(
        self,
        x: Float[Tensor, "n"],
        y: Float[Tensor, "n"],
        lr: float,
        steps: int,
        *,
        gates: Gates = "frozen",
    ) -> LineDescent:
        """Full-batch gradient descent on L = (1/n) Σ r², from these weights, which stay.

        The mean has neither half nor sum: the critical rate of a direction is n/λ.

        Args:
            x: Inputs. A zero has output zero for good.
            y: Targets.
            lr: Learning rate.
            steps: Steps to take. It ends early where the loss is not finite or beyond 10¹²
                times the first; a catapult multiplies it by up to the width.
            gates: ``"frozen"`` at the start is the second Taylor polynomial of the network
                (see `freeze_gates`); ``"moving"`` is the network itself.

        Raises:
            ValueError: Inputs or targets that are not n finite numbers, a rate that is not
                positive, no steps, unknown `gates`.

        Cost:
            A few passes over m numbers per step.
        """
        where = "LineNetwork.descend"
        expect(math.isfinite(lr) and lr > 0, f"{where}(lr=...)", "a positive number", lr)
        expect(steps >= 1, f"{where}(steps=...)", "at least one step", steps)
        if gates not in ("frozen", "moving"):
            unknown(f"{where}(gates=...)", "gates", str(gates), ["frozen", "moving"])
        sides, n, m = _sides(where, x, y), len(x), len(self.u)
        # What neither slope can change: the part of y that is not a multiple of x on a side.
        floor = float(y.double().square().sum())
        floor = max(floor - sum(side.squares * side.slope**2 for side in sides), 0.0)
        u, v = self.u.clone(), self.v.clone()
        active = [side.active(u) for side in sides]
        parts = [(u[here], v[here]) for here in active]
        losses: list[float] = []
        eigenvalues: list[list[float]] = []
        for step in range(steps + 1):
            if gates == "moving" and step:
                for here, (a, b) in zip(active, parts, strict=True):
                    u[here], v[here] = a, b
                active = [side.active(u) for side in sides]
                parts = [(u[here], v[here]) for here in active]
            gaps = [
                float(a @ b) / math.sqrt(m) - side.slope
                for (a, b), side in zip(parts, sides, strict=True)
            ]
            total = sum(side.squares * gap * gap for side, gap in zip(sides, gaps, strict=True))
            losses.append((total + floor) / n)
            masses = [float(a @ a + b @ b) / m for a, b in parts]
            eigenvalues.append(
                [side.squares * mass for side, mass in zip(sides, masses, strict=True)]
            )
            if not losses[-1] <= 1e12 * max(losses[0], 1e-300) or step == steps:
                break
            rates = [
                lr * 2 / n * side.squares * gap / math.sqrt(m)
                for side, gap in zip(sides, gaps, strict=True)
            ]
            parts = [
                (a - rate * b, b - rate * a) for (a, b), rate in zip(parts, rates, strict=True)
            ]
        positive, negative = torch.tensor(eigenvalues, dtype=torch.float64).T
        diverged = not losses[-1] <= 1e12 * max(losses[0], 1e-300)
        return LineDescent(torch.tensor(losses, dtype=torch.float64), positive, negative, diverged)


def _sides(where: str, x: Tensor, y: Tensor) -> tuple[_Side, _Side]:
    """The two half-lines, after their examples were checked."""
    for name, values in (("x", x), ("y", y)):
        expect_inputs(values, f"{where}({name}=...)", len(x) if x.ndim else None)
        expect(values.ndim == 1, f"{where}({name}=...)", "a vector", f"shape {tuple(values.shape)}")
    x, y = x.double(), y.double()
    found = []
    for sign in (1.0, -1.0):
        here = sign * x > 0
        squares = float(x[here].square().sum())
        slope = float(x[here] @ y[here]) / squares if squares else 0.0
        found.append(_Side(sign, squares, slope))
    return found[0], found[1]
