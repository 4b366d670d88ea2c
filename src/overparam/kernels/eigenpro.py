"""EigenPro: kernel regression by preconditioned stochastic gradients, in memory linear in n."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, distributed

from overparam._as_before import or_as_before
from overparam._checked import checked
from overparam._errors import expect
from overparam._progress import Progress, counted, expect_progress
from overparam._switches import full_precision
from overparam.errors import NumericalError
from overparam.kernels._shards import Shards
from overparam.kernels.functions import FeatureMatrix, Kernel

PARTS = 20  # of an epoch, after each of which progress is told
# Of the largest step that cannot lengthen the error on a batch, 2 over its largest eigenvalue.
STABLE = 1.5
PROBED = 1024  # points of the batch by which that eigenvalue is known
TIE = 1e-6  # weights over their mean that differ by less count as equal


class EigenProSolver:
    """Coefficients of kernel regression by gradient steps whose largest directions are damped.

    With residual g = f(X_B) + λ α_B − Y_B on a batch B of m points:

        α_B ← α_B − η g,     α_S ← α_S + η E D Eᵀ k(X_S, X_B) g,
        D_i = (1 − λ_{q+1}/λ_i) / (s λ_i)

    where K_S/s = E Λ Eᵀ for a sample S of s points. That turns the q largest eigenvalues into
    λ_{q+1}, so batches up to m* = β/λ_{q+1}, β = max k(x, x) + λ, are as good per point as single
    ones. Step: η = 1/β below m*, 2/(β + (m − 1) λ_{q+1}) from there on, and no longer than a batch
    that was drawn allows: 1.5 over the largest eigenvalue that is left of it, since a small sample
    says too little of points outside. Where the batch, limited by n, is below m*, eigenvalues are
    lowered to β/m only, which is all it can use.

    With weights w the solution is that of `fit_ridge` with them. A point is visited ⌈w⌉ times an
    epoch, w in units of the mean, each time with the share w/⌈w⌉ of its gradient: a weight of 2
    is then a point that occurs twice, the heaviest point shortens no step, and an epoch has at
    most twice the visits.

    Every point fitted is a centre. Directions of eigenvalue λ_i take about β/(n λ_i) epochs, so
    stopping early is a ridge too, and a very small ridge is not reached.

    Args:
        kernel: k.
        feature_matrix: M.
        ridge: λ ≥ 0.
        n_subsamples: s, at most n.
        n_components: q < s; None takes as many as let a batch of `batch_size`, or of 1024
            points, be critical, up to s/4.
        batch_size: m, or ``"critical"``: m*, at most n.
        seed: Of the sample and of the order of the batches.
        group: Processes of `torch.distributed` that share the points; None is this process
            alone. Each gives its own rows and the same arguments otherwise, calls the same
            methods in the same order, and finds the coefficients of its own rows; batches are
            of all rows, so that the number of processes changes rounding alone.

    Attributes:
        centres: Points seen so far; in a group, those of this process.
        dual: Their coefficients.
        batch_size_: m.
        critical_batch_size_: m*.
        n_components_: q.
        history: Root mean squared residual g of each epoch, measured as it went; a weighted
            mean, of f(x) + λ α/w − y.

    Raises:
        ValueError: A number out of range, or targets that do not match.
        NumericalError: If the steps diverge. After an error the solver is as it was before.

    Cost:
        n² kernel values an epoch, up to 2 n² with weights, and s³ + 1024³ once; memory n (d + c)
        + s² numbers and a block. In a group of p processes, n (n + s)/p kernel values each, and
        m (d + 2c) + s c numbers exchanged a batch.

    Example:
        >>> from overparam.kernels import Laplace
        >>> x = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
        >>> solver = EigenProSolver(Laplace(1.0)).fit(x, x**2, epochs=20)
        >>> bool((solver.predict(x) - x**2).abs().max() < 0.05)
        True

    References:
        Ma, Belkin (2017), arXiv:1703.10622, and (2019), arXiv:1806.06144: the preconditioner
        from a sample, the critical batch size and its step.
    """

    @checked
    def __init__(
        self,
        kernel: Kernel,
        *,
        feature_matrix: FeatureMatrix = None,
        ridge: float = 0.0,
        n_subsamples: int = 2000,
        n_components: int | None = None,
        batch_size: int | Literal["critical"] = "critical",
        seed: int = 0,
        group: "distributed.ProcessGroup | None" = None,
    ) -> None:
        where = "EigenProSolver"
        expect(ridge >= 0, f"{where}(ridge=...)", "a number ≥ 0", ridge)
        expect(n_subsamples >= 2, f"{where}(n_subsamples=...)", "at least 2 points", n_subsamples)
        expect(
            n_components is None or 0 <= n_components < n_subsamples,
            f"{where}(n_components=...)",
            "a number of eigenpairs from 0 to n_subsamples - 1, or None",
            n_components,
        )
        expect(
            batch_size == "critical" or (isinstance(batch_size, int) and batch_size >= 1),
            f"{where}(batch_size=...)",
            "a positive number of points or 'critical'",
            batch_size,
        )
        self.kernel = kernel
        self.feature_matrix = feature_matrix
        self.ridge = ridge
        self.n_subsamples = n_subsamples
        self.n_components = n_components
        self.batch_size = batch_size
        self.group = group
        self.history: list[float] = []
        self._draw = torch.Generator().manual_seed(seed)
        self._prepared = False

    @or_as_before
    @checked
    @full_precision()
    def fit(
        self,
        x: Float[Tensor, "n d"],
        targets: Float[Tensor, "n c"],
        *,
        weights: Float[Tensor, "n"] | None = None,
        epochs: int = 10,
        tolerance: float = 0.0,
        progress: Progress = False,
    ) -> "EigenProSolver":
        """Forget everything and pass over the data.

        Args:
            x: Points.
            targets: Y, one column an output.
            weights: w > 0, one a point; None: all 1. In a group either all give some or none.
            epochs: Passes.
            tolerance: Stop when the residual is at most this share of the targets, or an epoch
                lowers it by less than this share.
            progress: Whether to draw a bar where somebody watches, or a function that is called
                with the stage and the share of it that is done, many times an epoch.
        """
        expect(epochs >= 1, "EigenProSolver.fit(epochs=...)", "at least one pass", epochs)
        expect_progress(progress, "EigenProSolver.fit(progress=...)")
        self._prepared, self.history = False, []
        with counted(progress, "epochs", epochs * PARTS, unit="part") as advance:
            points = self._add(x, targets, weights, advance)
            enough = tolerance * points.size
            for _ in range(1, epochs):
                self._epoch(points, advance)
                before, after = self.history[-2:]
                if after <= enough or before - after < tolerance * before:
                    break
        return self

    @or_as_before
    @checked
    @full_precision()
    def partial_fit(
        self,
        x: Float[Tensor, "n d"],
        targets: Float[Tensor, "n c"],
        *,
        weights: Float[Tensor, "n"] | None = None,
    ) -> "EigenProSolver":
        """One pass over new points, which become centres; the first call fixes the sample.

        Args:
            x: Points.
            targets: Y, one column an output.
            weights: w > 0, one a point, in the unit of the first call; None: all 1.
        """
        self._add(x, targets, weights)
        return self

    def _add(
        self,
        x: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        advance: Callable[[], None] = lambda: None,
    ) -> "_Points":
        """New centres and a pass over them."""
        where = "EigenProSolver.partial_fit(x=..., targets=...)"
        expect(
            x.ndim == 2 and targets.ndim == 2 and len(x) == len(targets) > 0,
            where,
            "matrices with as many rows, at least one",
            (tuple(x.shape), tuple(targets.shape)),
        )
        shards = Shards(len(x), self.group, x.device, where)
        finite = bool(torch.isfinite(x).all() and torch.isfinite(targets).all())
        expect(shards.all(finite), where, "finite numbers", "NaN or inf")
        positive = weights is None or bool((torch.isfinite(weights) & (weights > 0)).all())
        words = "EigenProSolver.partial_fit(weights=...)", "finite numbers > 0"
        expect(shards.all(positive), *words, "others", hint="leave out points of weight 0.")
        if self._prepared:
            expect(
                x.shape[1] == self.centres.shape[1] and targets.shape[1] == self.dual.shape[1],
                where,
                f"{self.centres.shape[1]} columns and {self.dual.shape[1]} outputs, as before",
                (x.shape[1], targets.shape[1]),
            )
            self.centres = torch.cat([self.centres, x])
            self.dual = torch.cat([self.dual, torch.zeros_like(targets)])
            points = _Points(shards, targets, weights, self._unit)
        else:
            self.centres, self.dual = x, torch.zeros_like(targets)
            points = _Points(shards, targets, weights, None)
            self._unit = points.unit
            self._prepare(points)
        self._epoch(points, advance)
        return points

    @checked
    @full_precision()
    def predict(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m c"]:
        """Values of the predictor; in a group, of the same points in every process."""
        return self._values(x)

    def _values(self, x: Tensor) -> Tensor:
        """Likewise, also while they may diverge."""
        values = self.kernel.product(x, self.centres, self.dual, self.feature_matrix)
        if self.group is not None:
            distributed.all_reduce(values, group=self.group)
        return values

    def _prepare(self, points: "_Points") -> None:
        """The sample, its leading eigenpairs, and from them batch and step."""
        shards, n = points.shards, len(points.visits)
        size = min(self.n_subsamples, n)
        drawn = points.visits[torch.randperm(n, generator=self._draw)[:size]]
        if points.weights is not None:  # a point that was drawn twice counts twice
            drawn, times = torch.unique(drawn, return_counts=True)
        self._of_sample, self._sample_rows = shards.own(drawn)
        self._sample = shards.spread(self.centres[self._sample_rows], self._of_sample, len(drawn))
        matrix = self.kernel.matrix(self._sample.double(), None, _double(self.feature_matrix))
        if points.weights is not None:
            own = points.share[self._sample_rows, None]
            root = shards.spread(own, self._of_sample, len(drawn))[:, 0].double()
            root = (root * times.to(root)).sqrt()
            matrix *= root * root[:, None]
        values, vectors = torch.linalg.eigh(matrix)
        values, vectors = values.flip(0).clamp_min(0) / size, vectors.flip(1)
        if points.weights is not None:
            vectors *= root[:, None]
        diagonal = self.kernel.diagonal(self.centres, self.feature_matrix)
        # No share is above 1.
        beta = shards.largest(float(diagonal.max())) + self.ridge / points.unit
        wanted = 1024 if self.batch_size == "critical" else int(self.batch_size)
        if self.n_components is None:
            enough = int((beta / values.clamp_min(1e-300) < min(wanted, n)).sum())
            self.n_components_ = min(enough, len(values) // 4)
        else:
            self.n_components_ = min(self.n_components, len(values) - 1)
        q = self.n_components_
        edge = max(float(values[q]), 1e-9 * beta)
        self.critical_batch_size_ = int(beta / edge + 1)
        critical = self.batch_size == "critical"
        self.batch_size_ = min(n, self.critical_batch_size_ if critical else int(self.batch_size))
        m = self.batch_size_
        edge = max(edge, beta / m) if m < self.critical_batch_size_ else edge
        values = values.clamp_min(edge)
        self._step = 1 / beta if m < self.critical_batch_size_ else 2 / (beta + (m - 1) * edge)
        # The sample's eigenvalues are those of the whole only up to sampling.
        damping = (1 - (edge / values[:q]) ** 0.95) / (size * values[:q])
        self._vectors = vectors[:, :q].to(self.centres.dtype)
        self._damping = damping.to(self.centres.dtype)
        self._step = min(self._step, STABLE / self._largest(points))
        self._prepared = True

    def _largest(self, points: "_Points") -> float:
        """Largest eigenvalue of what a step applies to the residual of a batch, of one drawn.

        The sample's λ_{q+1} is too small for points outside it, the more the smaller it is.
        """
        shards = points.shards
        m = min(self.batch_size_, PROBED)
        drawn = points.visits[torch.randperm(len(points.visits), generator=self._draw)[:m]]
        here, rows = shards.own(drawn)
        batch = shards.spread(self.centres[rows], here, m)
        matrix = self.kernel.matrix(batch, None, self.feature_matrix).double()
        seen = self.kernel.matrix(batch, self._sample, self.feature_matrix) @ self._vectors
        matrix -= ((seen * self._damping) @ seen.T).double()
        if points.weights is not None:
            root = shards.spread(points.share[rows, None], here, m)[:, 0].double().sqrt()
            matrix *= root * root[:, None]
        largest = float(torch.linalg.eigvalsh(matrix)[-1])
        # Eigenvalues of a sum are at most the sum of those of its parts.
        return largest * self.batch_size_ / m + self.ridge / points.unit

    def _epoch(self, points: "_Points", advance: Callable[[], None] = lambda: None) -> None:
        """One pass over the last centres, those of `points`, in random order."""
        shards, targets = points.shards, points.targets
        order = points.visits[torch.randperm(len(points.visits), generator=self._draw)]
        first = len(self.centres) - len(targets)
        parts, told = order.split(self.batch_size_), 0
        total = 0.0
        for place, part in enumerate(parts, 1):
            here, rows = shards.own(part)
            own, centres = self.centres[first + rows], first + rows
            weight = 1.0 if points.weights is None else points.weights[rows, None]
            known = targets[rows] - self.ridge / weight * self.dual[centres]
            batch = shards.spread(own, here, len(part))
            residual = self._values(batch) - shards.spread(known, here, len(part))
            gradient = residual[here]
            if points.weights is None:
                total += float(residual.square().sum())
                self.dual[centres] -= self._step * gradient
            else:
                share = points.share[rows, None]
                total += float(shards.sum_((share * gradient.square()).sum()))
                gradient = share * gradient
                _add_rows_(self.dual, centres, -self._step * gradient)
            common = self.kernel.matrix(self._sample, own, self.feature_matrix) @ gradient
            common = shards.sum_(common)
            correction = self._vectors @ (self._damping[:, None] * (self._vectors.T @ common))
            self.dual[self._sample_rows] += self._step * correction[self._of_sample]
            while told < PARTS * place // len(parts):
                advance()
                told += 1
        self.history = [*self.history, math.sqrt(total / (points.mass * targets.shape[1]))]
        expect(
            math.isfinite(total),
            "EigenProSolver.fit()",
            "steps that converge",
            "a residual of NaN or inf",
            hint="raise n_subsamples, or give a smaller batch_size.",
            error=NumericalError,
        )


class _Points:
    """Points with their targets and weights, and how often an epoch visits each.

    Attributes:
        visits: Numbers of points over all processes, each as often as it is visited.
        unit: The weight that is visited once.
        share: Of the gradient in each visit, at most 1; of this process's points.
        mass: Sum of the shares over all visits.
        size: Root mean square of the targets.
    """

    def __init__(
        self, shards: Shards, targets: Tensor, weights: Tensor | None, unit: float | None
    ) -> None:
        self.shards, self.targets, self.weights = shards, targets, weights
        self.visits = torch.arange(shards.total)
        self.unit = 1.0 if unit is None else unit
        squares, self.mass = targets.square().sum(), float(shards.total)
        if weights is not None:
            summed = float(shards.sum_(weights.double().sum()))
            self.unit = summed / shards.total if unit is None else unit
            # Weights that are equal to rounding are equal: one visit each.
            relative = weights.double() / self.unit
            times = (relative - TIE).ceil().clamp_min(1)
            self.share = (relative / times).to(targets.dtype)
            own = torch.arange(len(targets), device=targets.device) + shards.start
            of_all = shards.spread(times[:, None], own, shards.total)[:, 0]
            self.visits = self.visits.repeat_interleave(of_all.long().cpu())
            squares = (targets.square() * (weights / self.unit)[:, None]).sum()
            self.mass = summed / self.unit
        squares = float(shards.sum_(squares))
        self.size = math.sqrt(squares / (self.mass * targets.shape[1]))


def _add_rows_(matrix: Tensor, rows: Tensor, values: Tensor) -> None:
    """Add to rows, some of them twice, in an order that each device keeps to."""
    if matrix.device.type == "cpu":
        matrix.index_add_(0, rows, values)
    else:
        matrix.index_put_((rows,), values, accumulate=True)


@checked
def fit_eigenpro(
    kernel: Kernel,
    x: Float[Tensor, "n d"],
    targets: Float[Tensor, "n c"],
    *,
    ridge: float,
    feature_matrix: FeatureMatrix = None,
    weights: Float[Tensor, "n"] | None = None,
    epochs: int = 20,
    seed: int = 0,
    progress: Progress = False,
) -> Float[Tensor, "n c"]:
    """Coefficients by `EigenProSolver`, to a residual of a hundredth or until little is gained.

    Args:
        kernel: The kernel.
        x: n points in d dimensions, the centres.
        targets: (n, c), a column an output.
        ridge: λ ≥ 0, as for `fit_ridge`.
        feature_matrix: M of the kernel's distance; `None` is the identity.
        weights: Of the points, > 0; `None` is 1 each.
        epochs: Passes over the points at most.
        seed: Of the points that are drawn.
        progress: Whether to draw a bar where somebody watches, or a function that is told.

    Returns:
        The coefficients, (n, c).

    Cost:
        That of `EigenProSolver.fit`.
    """
    solver = EigenProSolver(kernel, feature_matrix=feature_matrix, ridge=ridge, seed=seed)
    solver.fit(x, targets, weights=weights, epochs=epochs, tolerance=0.01, progress=progress)
    return solver.dual


def _double(feature_matrix: FeatureMatrix) -> FeatureMatrix:
    return None if feature_matrix is None else feature_matrix.double()
