"""Bregman divergences: by how much a convex function lies above its tangents."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from overparam._errors import complaint, expect
from overparam._numbers import described

Function = Callable[[np.ndarray], np.ndarray]

CLOSED = ("neither", "left", "right", "both")
_STEP = 1e-4  # of differences, as a share of the spread of a column


class Tangents(NamedTuple):
    """The tangents of φ at points c: D(x, c) = φ(x) − ⟨x, slopes⟩ + offsets, if finite.

    Where c lies on an end of the domain at which φ is infinitely steep, D(x, c) is infinite
    for every x that does not lie there too: for every x with ⟨x, walls⟩ > at.
    """

    slopes: np.ndarray
    offsets: np.ndarray
    walls: np.ndarray | None
    at: np.ndarray | None


class BregmanDivergence:
    """D(x, c) = φ(x) − φ(c) − ⟨∇φ(c), x − c⟩ of a strictly convex φ, the second argument a centre.

    Of all divergences these are the ones for which the mean of a cluster is its best centre,
    whatever the data. They are neither symmetric nor metrics. `named_divergence` knows the usual
    ones; this class takes any.

    Args:
        phi: φ of rows, shape ``(n, d)``: one term a coordinate, ``(n, d)``, of which φ is the
            sum, or one value a row, ``(n,)``.
        grad: ∇φ of rows, ``(n, d)``. Infinite where φ is infinitely steep at a closed end.
        grad_inv: Its inverse, which only centres on the left need.
        hess: Second derivatives of rows: ``(n, d)``, by every coordinate twice, where φ is a
            sum of terms, otherwise matrices, ``(n, d, d)``. None: differences of `grad`.
        domain: Lowest and highest number φ is defined between, the same for every coordinate.
        closed: The ends that data may take: "left", "right", "both" or "neither".
        name: What messages call it.

    Raises:
        TypeError: A function that is none.
        ValueError: A domain that is no interval.

    Example:
        >>> import numpy as np
        >>> quartic = BregmanDivergence(lambda x: x**4, lambda x: 4 * x**3, name="quartic")
        >>> quartic.check(np.linspace(-1, 2, 12).reshape(6, 2))
        >>> quartic(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0]]))
        array([11.])

    References:
        Banerjee, Merugu, Dhillon, Ghosh (2005), Journal of Machine Learning Research 6:1705.
    """

    def __init__(
        self,
        phi: Function,
        grad: Function,
        *,
        grad_inv: Function | None = None,
        hess: Function | None = None,
        domain: tuple[float, float] = (-math.inf, math.inf),
        closed: str = "neither",
        name: str = "own",
    ) -> None:
        where = "BregmanDivergence({}=...)"
        for key, function in {"phi": phi, "grad": grad}.items():
            expect(
                callable(function), where.format(key), "a function of rows", described(function),
                error=TypeError,
            )  # fmt: skip
        for key, function in {"grad_inv": grad_inv, "hess": hess}.items():
            expect(
                function is None or callable(function), where.format(key),
                "a function of rows, or None", described(function), error=TypeError,
            )  # fmt: skip
        try:
            low, high = (float(end) for end in domain)
        except (TypeError, ValueError, RuntimeError) as problem:
            words = "a pair of numbers, the lower first"
            raise complaint(where.format("domain"), words, described(domain)) from problem
        expect(low < high, where.format("domain"), "a lower end below the upper", (low, high))
        expect(
            isinstance(closed, str) and closed in CLOSED,
            where.format("closed"), f"one of {', '.join(CLOSED)}", described(closed),
        )  # fmt: skip
        expect(isinstance(name, str), where.format("name"), "a text", described(name))
        self.phi, self.grad, self.grad_inv, self.hess = phi, grad, grad_inv, hess
        self.domain, self.closed, self.name = (low, high), closed, name

    def __repr__(self) -> str:
        return f"<Bregman divergence {self.name!r} on {self.interval}>"

    @property
    def interval(self) -> str:
        """The domain of the data in words."""
        left = "[" if self.closed in ("left", "both") else "("
        right = "]" if self.closed in ("right", "both") else ")"
        ends = (f"{end:g}".replace("inf", "∞") for end in self.domain)
        return f"{left}{', '.join(ends)}{right}"

    def __call__(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """D(x, c) row by row, straight from the definition.

        Args:
            x: Rows, shape ``(n, d)``.
            c: As many centres, or one: ``(n, d)`` or ``(1, d)``.

        Returns:
            Shape ``(n,)``, infinite where D is.

        Cost:
            Two evaluations of φ and one of ∇φ.
        """
        with np.errstate(all="ignore"):
            above, below = self.phi(x), self.phi(c)
            rise = self.grad(c) * (x - c)
            # On the wall itself the slope is infinite, and the way along it nothing.
            rise = np.where(x == c, 0.0, rise)
            if above.ndim == 2:
                return np.maximum((above - below - rise).sum(1), 0.0)
            return np.maximum(above - below - rise.sum(1), 0.0)

    def value(self, x: np.ndarray) -> np.ndarray:
        """φ of rows, shape ``(n,)``."""
        with np.errstate(all="ignore"):
            terms = self.phi(x)
        return terms.sum(1) if terms.ndim == 2 else terms

    @np.errstate(all="ignore")
    def tangents(self, c: np.ndarray) -> Tangents:
        """The tangents at points, the infinitely steep directions of them taken out."""
        slopes = np.asarray(self.grad(c), dtype=np.float64)
        steep = np.isinf(slopes)
        if not steep.any():
            return Tangents(slopes, (c * slopes).sum(1) - self.value(c), None, None)
        terms = self.phi(c)
        expect(
            terms.ndim == 2, f"{self!r}.grad(c)", "finite slopes, as φ is no sum of terms",
            "an infinite one", hint="keep the data inside the domain.",
        )  # fmt: skip
        walls = np.where(steep, -np.sign(slopes), 0.0)
        slopes = np.where(steep, 0.0, slopes)
        return Tangents(slopes, (c * slopes - terms).sum(1), walls, (walls * c).sum(1))

    def log_det_hessian(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of det ∇²φ of rows, shape ``(n,)``: +∞ where φ bends infinitely."""
        with np.errstate(all="ignore"):
            hess = self._differences(x) if self.hess is None else self.hess(x)
            if hess.ndim == 3:
                return np.linalg.slogdet(hess)[1]
            return np.log(hess).sum(1)

    def _differences(self, x: np.ndarray) -> np.ndarray:
        """Second derivatives from those of first order, central where there is room."""
        step = self._room(x, _STEP * np.maximum(np.abs(x), 1e-3))
        if self.phi(x[:1]).ndim == 2:
            return (self.grad(x + step) - self.grad(x - step)) / (2 * step)
        columns = []
        for j in range(x.shape[1]):
            along = np.zeros_like(x)
            along[:, j] = step[:, j]
            rise = self.grad(x + along) - self.grad(x - along)
            columns.append(rise / (2 * step[:, j : j + 1]))
        hess = np.stack(columns, axis=2)
        return (hess + hess.transpose(0, 2, 1)) / 2

    def _room(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Steps cut to half the way to either end of the domain."""
        return np.minimum(step, np.minimum(x - self.domain[0], self.domain[1] - x) / 2)

    def dual(self) -> "BregmanDivergence":
        """The divergence of the convex conjugate: D(c, x) is its value at ∇φ(x) and ∇φ(c).

        Raises:
            ValueError: Without `grad_inv`.
        """
        expect(
            self.grad_inv is not None, f"{self!r}", "grad_inv, the inverse of grad", "none",
            hint="pass BregmanDivergence(grad_inv=...): centres on the left need it.",
        )  # fmt: skip
        assert self.grad_inv is not None
        return BregmanDivergence(
            partial(_conjugate, self), self.grad_inv, grad_inv=self.grad, name=f"dual {self.name}"
        )

    def inside(self, x: np.ndarray, *, centre: bool = False) -> np.ndarray:
        """Which numbers are in the domain, shape of x; `centre`: strictly inside."""
        low, high = self.domain
        left = not centre and self.closed in ("left", "both")
        right = not centre and self.closed in ("right", "both")
        return (x >= low if left else x > low) & (x <= high if right else x < high)

    def check(self, x: np.ndarray) -> None:
        """Raise unless the functions fit together near some rows.

        Looked at are shapes, that φ lies strictly above its tangents, that `grad` is its slope,
        and that `grad_inv` and `hess` are what they are called. Rows on the ends of the domain
        are left out.

        Args:
            x: Rows, shape ``(n, d)``; some tens are enough.

        Raises:
            ValueError: What does not fit, in one sentence.
        """
        x = np.asarray(x, dtype=np.float64)
        x = x[self.inside(x, centre=True).all(1)]
        if not len(x):
            return
        with np.errstate(all="ignore"):
            self._check_shapes(x)
            spread = np.maximum(x.std(0), 1e-3 * np.abs(x).max(0)) + 1e-12
            signs = np.random.default_rng(0).choice([-1.0, 1.0], size=x.shape)
            step = signs * self._room(x, np.broadcast_to(_STEP * spread, x.shape))
            self._check_slopes(x, step)
            self._check_others(x, step)

    def _check_shapes(self, x: np.ndarray) -> None:
        n, d = x.shape
        for key, function, shapes in (
            ("phi", self.phi, [(n, d), (n,)]),
            ("grad", self.grad, [(n, d)]),
            ("grad_inv", self.grad_inv and (lambda x: self.grad_inv(self.grad(x))), [(n, d)]),  # type: ignore[misc]
            ("hess", self.hess, [(n, d), (n, d, d)]),
        ):
            if function is None:
                continue
            found: Any = function(x)
            where = f"BregmanDivergence({key}=...)"
            ok = isinstance(found, np.ndarray) and found.shape in shapes
            words = f"an array of shape {' or '.join(map(str, shapes))} for rows {x.shape}"
            expect(ok, where, words, described(found))
            expect(
                found.dtype.kind == "f" and np.isfinite(found).all(), where,
                f"finite numbers on {self.interval}", "others, such as NaN",
                hint="say where it is defined: domain=(low, high).",
            )  # fmt: skip

    def _check_slopes(self, x: np.ndarray, step: np.ndarray) -> None:
        """φ between the slopes at both ends of a step: that and nothing else is convexity."""
        low, high = x - step, x + step
        rise = self.value(high) - self.value(low)
        size = np.abs(self.value(high)) + np.abs(self.value(low))
        least, most = (2 * (self.grad(at) * step).sum(1) for at in (low, high))
        slack = 1e-10 * (size + np.abs(least) + np.abs(most))
        where = "BregmanDivergence({}=...)"
        expect(
            (least <= most + slack).all(), where.format("grad"),
            "slopes that rise along every line, as those of a convex function do",
            "some that fall",
        )  # fmt: skip
        expect(
            ((least - slack <= rise) & (rise <= most + slack)).all(), where.format("grad"),
            "the slopes of phi", "others than its differences give",
        )  # fmt: skip
        others = np.roll(x, 1, axis=0)
        apart = self.value(x) - self.value(others) - (self.grad(others) * (x - others)).sum(1)
        noise = 1e-10 * (np.abs(self.value(x)) + np.abs(self.value(others)) + 1e-300)
        far = (np.abs(x - others) > _STEP * (np.abs(x) + np.abs(others))).any(1)
        expect(
            (apart >= -noise).all(), where.format("phi"), "a convex function",
            "one that falls below its tangents",
        )  # fmt: skip
        expect(
            not far.any() or (apart[far] > noise[far]).any(), where.format("phi"),
            "a strictly convex function", "a straight one",
        )  # fmt: skip

    def _check_others(self, x: np.ndarray, step: np.ndarray) -> None:
        if self.grad_inv is not None:
            back = self.grad_inv(self.grad(x))
            expect(
                (np.abs(back - x) <= 1e-6 * (np.abs(x) + np.abs(step) / _STEP)).all(),
                "BregmanDivergence(grad_inv=...)", "the inverse of grad", "another function",
            )  # fmt: skip
        if self.hess is not None:
            hess = self.hess(x)
            along = hess * step if hess.ndim == 2 else np.einsum("nij,nj->ni", hess, step)
            rise = (self.grad(x + step) - self.grad(x - step)) / 2
            size = np.abs(along).max() + np.abs(rise).max()
            noise = 1e-3 * size + 1e-12 * np.abs(self.grad(x)).max()
            expect(
                (np.abs(along - rise) <= noise).all(), "BregmanDivergence(hess=...)",
                "the derivatives of grad", "others than its differences give",
            )  # fmt: skip


def _conjugate(of: BregmanDivergence, theta: np.ndarray) -> np.ndarray:
    """φ*(θ) = ⟨c, θ⟩ − φ(c) at the c with the slope θ: terms or a value a row, as φ gives."""
    assert of.grad_inv is not None
    c = of.grad_inv(theta)
    terms = of.phi(c)
    return c * theta - terms if terms.ndim == 2 else (c * theta).sum(1) - terms
