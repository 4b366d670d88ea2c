"""Ridge solvers against dense algebra, EigenPro against the solution it approaches."""

import re
import warnings

import numpy as np
import pytest
import torch

import overparam.kernels.ridge as ridge_module
from overparam.errors import NumericalError
from overparam.kernels import (
    ClassCodes,
    DotExponential,
    EigenProSolver,
    Gaussian,
    Laplace,
    Quadratic,
    bootstrap_interval,
    feature_recursion,
    fit_eigenpro,
    fit_ridge,
    leave_one_out_ridge,
)
from overparam.kernels.preconditioned import conjugate_gradients


@pytest.fixture
def problem(generator):
    x = torch.randn(150, 6, generator=generator, dtype=torch.float64)
    y = torch.stack([x[:, 0] * x[:, 1], x[:, 2].sin()], 1)
    return x, y + 0.1 * torch.randn(150, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("solver", ["auto", "cholesky", "lstsq"])
@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_solves_its_system(solver, weighted, problem, generator):
    x, y = problem
    weights = None
    shift = torch.full((150,), 0.1, dtype=torch.float64)
    if weighted:
        weights = torch.rand(150, generator=generator, dtype=torch.float64) + 0.1
        shift = 0.1 / weights
    dual = fit_ridge(Laplace(3.0), x, y, ridge=0.1, weights=weights, solver=solver)
    matrix = torch.exp(-(x[:, None] - x).norm(dim=-1) / 3)
    torch.testing.assert_close(matrix @ dual + shift[:, None] * dual, y, rtol=1e-9, atol=1e-9)


def test_conjugate_gradients_solve_the_same_system(problem, generator):
    x, y = problem
    matrix = Laplace(3.0).matrix(x)
    shift = 0.1 + torch.rand(150, generator=generator, dtype=torch.float64)
    y = torch.cat([y, torch.zeros(150, 1, dtype=torch.float64)], 1)
    before = matrix.clone()
    dual, error = conjugate_gradients(matrix, y, shift, tolerance=1e-10)
    assert error <= 1e-10
    assert torch.equal(matrix, before)
    expected = torch.linalg.solve(matrix + torch.diag(shift), y)
    torch.testing.assert_close(dual, expected, rtol=1e-7, atol=1e-8)
    _, given_up = conjugate_gradients(matrix, y, shift, tolerance=1e-10, max_iterations=2)
    assert given_up > 1e-10


def test_their_preconditioner_is_accurate_enough_in_single_precision(generator):
    """Few dimensions, hence a large condition number: an explicit inverse of its core fails."""
    x, y = torch.randn(1500, 2, generator=generator), torch.randn(1500, 1, generator=generator)
    _, error = conjugate_gradients(Laplace(10.0).matrix(x), y, torch.full((1500,), 1e-3))
    assert error <= 1e-4


def test_iterations_that_do_not_arrive_end_in_a_factorisation(problem, monkeypatch):
    x, y = problem
    monkeypatch.setattr(
        ridge_module, "conjugate_gradients", lambda matrix, y, shift: (torch.zeros_like(y), 1.0)
    )
    dual = fit_ridge(Laplace(3.0), x, y, ridge=0.1, solver="cg")
    torch.testing.assert_close(dual, fit_ridge(Laplace(3.0), x, y, ridge=0.1, solver="cholesky"))


def test_a_ridge_too_small_for_single_precision_is_solved_in_double(problem):
    """Smooth kernel, no ridge to speak of: single precision alone cannot even factorise."""
    x, y = problem
    kernel = Gaussian(8.0)
    with pytest.warns(RuntimeWarning, match=r"miss .* of the targets: torch.float32") as caught:
        single = fit_ridge(kernel, x.float(), y.float(), ridge=1e-9, solver="cholesky").double()
    points, targets = x.float().double(), y.float().double()
    double = fit_ridge(kernel, points, targets, ridge=1e-9, solver="cholesky")
    matrix = kernel.matrix(points) + 1e-9 * torch.eye(len(x), dtype=torch.float64)
    # Two solutions in double precision differ by n eps κ, about 0.005; one in single precision,
    # with κ = 1.4e11, by more than themselves.
    largest = float(torch.linalg.eigvalsh(matrix)[-1])
    accuracy = len(x) * torch.finfo(torch.float64).eps * largest / 1e-9
    assert accuracy < 0.01
    assert (single - double).norm() < (accuracy + 2**-24) * double.norm()
    # They are 1e7 large and cancel: half a last digit of each is several times the targets.
    residual = (matrix @ single - targets).norm()
    left = 2**-24 * (matrix.abs() @ single.abs()).norm()
    assert residual < 1.01 * left
    said = float(re.search("miss (.*) of", str(caught[0].message)).group(1))
    assert said == pytest.approx(float(residual / targets.norm()), rel=0.06)  # two digits


def test_double_precision_keeps_what_single_loses(problem):
    x, y = problem
    dual = fit_ridge(Gaussian(8.0), x, y, ridge=1e-9)
    matrix = Gaussian(8.0).matrix(x)
    residual = (matrix @ dual + 1e-9 * dual - y).norm() / y.norm()
    # Backward stable: n eps ‖K‖ ‖α‖, with α up to 1e8 times the targets.
    assert residual < len(x) * 2**-52 * matrix.norm() * dual.norm() / y.norm()


def test_without_a_ridge_duplicates_warn_and_get_the_least_norm(problem):
    x, y = problem
    doubled, targets = torch.cat([x, x]), torch.cat([y, y])
    with pytest.warns(RuntimeWarning, match="not positive definite") as caught:
        dual = fit_ridge(Quadratic(), doubled, targets, ridge=0.0)
    assert 1 <= len(caught) <= 2
    # Rank 21 at most: the fit is the projection of the targets.
    features = torch.einsum("ni,nj->nij", doubled, doubled).flatten(1)
    projected = features @ torch.linalg.pinv(features, rtol=1e-10) @ targets
    fitted = Quadratic().matrix(doubled) @ dual
    torch.testing.assert_close(fitted, projected, rtol=1e-4, atol=1e-4)


def test_leave_one_out_is_leaving_one_out(problem, generator):
    x, y = problem[0][:30], problem[1][:30]
    weights = torch.rand(30, generator=generator, dtype=torch.float64) + 0.5
    kernel, ridges = Laplace(3.0), (1e-3, 1e-1, 1.0)
    for given in (None, weights):
        share = torch.ones(30, dtype=torch.float64) if given is None else given
        errors = []
        for ridge in ridges:
            error = 0.0
            for i in range(30):
                kept = [j for j in range(30) if j != i]
                part = None if given is None else given[kept]
                dual = fit_ridge(kernel, x[kept], y[kept], ridge=ridge, weights=part)
                miss = kernel.matrix(x[i : i + 1], x[kept]) @ dual - y[i]
                error += float(share[i] * miss.square().sum())
            errors.append(error)
        best = ridges[int(np.argmin(errors))]
        assert leave_one_out_ridge(kernel, x, y, ridges=ridges, weights=given) == best


def test_eigenpro_approaches_the_exact_solution(problem):
    x, y = problem
    exact = fit_ridge(Laplace(3.0), x, y, ridge=0.5)
    solver = EigenProSolver(Laplace(3.0), ridge=0.5, n_subsamples=100)
    solver.fit(x, y, epochs=150)
    matrix = Laplace(3.0).matrix(x)
    gap = (matrix @ (solver.dual - exact)).norm() / (matrix @ exact).norm()
    assert gap < 1e-3
    assert solver.history[-1] < solver.history[0]
    torch.testing.assert_close(solver.predict(x), matrix @ solver.dual)


@pytest.mark.parametrize(("n", "d", "samples"), [(300, 3, 100), (1000, 3, 300), (600, 20, 150)])
def test_eigenpro_arrives_where_its_sample_is_small(n, d, samples, generator):
    """The sample's eigenvalues promise longer steps than points outside it allow."""
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = torch.stack([x[:, 0].sin(), x[:, 1] * x[:, 2]], 1)
    kernel = Laplace(3.0)
    exact = fit_ridge(kernel, x, y, ridge=0.5)
    solver = EigenProSolver(kernel, ridge=0.5, n_subsamples=samples).fit(x, y, epochs=20)
    assert len(solver.history) == 20
    matrix = kernel.matrix(x)
    assert (matrix @ (solver.dual - exact)).norm() < 0.01 * (matrix @ exact).norm()


def test_a_weight_is_a_repetition_to_eigenpro(generator):
    x = torch.randn(120, 3, generator=generator, dtype=torch.float64)
    y = x[:, :1] * x[:, 1:2]
    weights = torch.randint(1, 4, (120,), generator=generator).double()
    twice = torch.arange(120).repeat_interleave(weights.long())
    kernel = Laplace(3.0)
    exact = fit_ridge(kernel, x, y, ridge=0.3, weights=weights)
    for weighted, points in ((weights, x), (None, x[twice])):
        targets = y if weighted is not None else y[twice]
        solver = EigenProSolver(kernel, ridge=0.3).fit(points, targets, weights=weighted, epochs=60)
        torch.testing.assert_close(solver.predict(x), kernel.matrix(x) @ exact, rtol=0, atol=1e-3)


WEIGHTS = {
    "one row twice": lambda u: torch.where(torch.arange(len(u)) == 0, 2.0, 1.0).double(),
    "all seven": lambda u: torch.full_like(u, 7.0),
    "any": lambda u: u + 0.01,
    "heavy tails": lambda u: (1 / (u + 0.002)) ** 1.2,
    "one row as half of them": lambda u: torch.where(
        torch.arange(len(u)) == 5, 250.0, 1.0
    ).double(),
}


@pytest.mark.parametrize("weighs", WEIGHTS.values(), ids=WEIGHTS)
def test_eigenpro_with_weights_approaches_the_exact_solution(weighs, generator):
    x = torch.randn(250, 3, generator=generator, dtype=torch.float64)
    y = torch.stack([x[:, 0].sin(), x[:, 1] * x[:, 2]], 1)
    weights = weighs(torch.rand(250, generator=generator, dtype=torch.float64))
    kernel, ridge = Laplace(3.0), 0.5 * float(weights.mean())
    exact = fit_ridge(kernel, x, y, ridge=ridge, weights=weights)
    solver = EigenProSolver(kernel, ridge=ridge, n_subsamples=100)
    solver.fit(x, y, weights=weights, epochs=80)
    matrix, root = kernel.matrix(x), weights.sqrt()[:, None]
    gap = (root * (matrix @ (solver.dual - exact))).norm() / (root * (matrix @ exact)).norm()
    assert gap < 1e-3
    same = EigenProSolver(kernel, ridge=3 * ridge, n_subsamples=100)
    same.fit(x, y, weights=3 * weights, epochs=80)
    # Only the ratio of ridge and weights counts, up to rounding that some hundred steps carry on.
    torch.testing.assert_close(same.dual, solver.dual, rtol=1e-6, atol=1e-8)


def test_eigenpro_tells_of_parts_of_an_epoch(problem):
    x, y = problem
    calls = []
    solver = EigenProSolver(Laplace(3.0), ridge=0.3, batch_size=20, n_subsamples=50)
    solver.fit(x, y, epochs=2, progress=lambda stage, done: calls.append(done))
    assert calls == pytest.approx([part / 40 for part in range(1, 41)])


def test_weights_of_zero_are_refused_by_eigenpro(problem):
    x, y = problem
    for value in (0.0, -1.0, torch.nan, torch.inf):
        weights = torch.ones(len(x), dtype=x.dtype)
        weights[3] = value
        with pytest.raises(ValueError, match=r"weights=.*finite numbers > 0"):
            EigenProSolver(Laplace(3.0)).fit(x, y, weights=weights)


def test_its_correction_takes_far_fewer_steps(generator):
    """The comparison at 2000 points, shrunk: 10 passes with and without leading eigenpairs."""
    x = torch.randn(500, 8, generator=generator, dtype=torch.float64)
    y = (x[:, :1] * x[:, 1:2]).tanh()
    plain, corrected = (
        EigenProSolver(Laplace(10.0), n_subsamples=200, n_components=q).fit(x, y, epochs=5)
        for q in (0, 20)
    )
    assert plain.critical_batch_size_ < 5
    assert corrected.critical_batch_size_ > 50
    assert corrected.history[-1] < plain.history[-1]


def test_eigenpro_stops_when_an_epoch_gains_little(problem):
    x, y = problem
    solver = EigenProSolver(Laplace(3.0), ridge=1.0).fit(x, y, epochs=100, tolerance=0.1)
    assert len(solver.history) < 20
    dual = fit_eigenpro(Laplace(3.0), x, y, ridge=1.0, epochs=3)
    same = EigenProSolver(Laplace(3.0), ridge=1.0).fit(x, y, epochs=3, tolerance=0.01).dual
    assert torch.equal(dual, same)
    # Weights of 2 halve the ridge, and three epochs tell one from the other.
    exact = fit_ridge(Laplace(3.0), x, y, ridge=1.0)
    again = fit_eigenpro(
        Laplace(3.0), x, y, ridge=1.0, epochs=3, weights=torch.full_like(x[:, 0], 2)
    )
    halved = fit_ridge(Laplace(3.0), x, y, ridge=0.5)
    assert (dual - exact).norm() < (dual - halved).norm()
    assert (again - halved).norm() < (again - exact).norm()


def test_partial_fit_adds_centres(problem):
    x, y = problem
    solver = EigenProSolver(Laplace(3.0), ridge=0.1)
    solver.partial_fit(x[:100], y[:100])
    first = solver.dual[:100].clone()
    solver.partial_fit(x[100:], y[100:])
    assert len(solver.centres) == len(solver.dual) == 150
    assert not torch.equal(first, solver.dual[:100])  # the sample is corrected
    assert (solver.predict(x) - y).norm() < y.norm()


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda x, y: EigenProSolver(Laplace(), ridge=-1.0), "EigenProSolver(ridge=...)"),
        (lambda x, y: EigenProSolver(Laplace(), n_subsamples=1), "EigenProSolver(n_subsamples="),
        (
            lambda x, y: EigenProSolver(Laplace(), n_subsamples=5, n_components=5),
            "EigenProSolver(n_components=...)",
        ),
        (lambda x, y: EigenProSolver(Laplace(), batch_size=0), "EigenProSolver(batch_size=...)"),
        (lambda x, y: EigenProSolver(Laplace()).fit(x, y, epochs=0), "EigenProSolver.fit(epochs="),
        (lambda x, y: EigenProSolver(Laplace()).fit(x, y[:9]), "EigenProSolver.partial_fit("),
        (lambda x, y: EigenProSolver(Laplace()).fit(x * torch.nan, y), "EigenProSolver.partial_f"),
        (
            lambda x, y: EigenProSolver(Laplace()).fit(x, y).partial_fit(x[:, :2], y),
            "EigenProSolver.partial_fit(",
        ),
        (lambda x, y: fit_ridge(Laplace(), x, y, ridge=-1.0), "fit_ridge(ridge=...)"),
        (lambda x, y: fit_ridge(Laplace(), x, y, ridge=1.0, solver="lu"), "fit_ridge(solver=...)"),
        (lambda x, y: next(feature_recursion(x, y, Laplace(), n_iter=-1)), "feature_recursion(n_i"),
    ],
)
def test_a_wrong_argument_is_named(make, where, problem):
    with pytest.raises(ValueError, match="expected") as error:
        make(*problem)
    assert str(error.value).startswith(f"`{where}")


def test_what_does_not_fit_is_refused_before_it_is_tried(problem, monkeypatch):
    monkeypatch.setattr("overparam._memory.available", lambda device: 1000)
    with pytest.raises(MemoryError, match="solver='eigenpro'"):
        fit_ridge(Laplace(), *problem, ridge=1.0)


def test_divergence_and_overflow_are_numerical_errors(problem):
    x, y = problem
    solver = EigenProSolver(Laplace(3.0), n_subsamples=10, n_components=9, batch_size=1)
    solver.partial_fit(x, y)
    solver._step = 1e300
    with pytest.raises(NumericalError, match="batch_size"):
        solver.partial_fit(x, y)
    warnings.simplefilter("ignore")
    with pytest.raises(NumericalError, match="finite"):
        fit_ridge(DotExponential(1e-3), x, y, ridge=1.0)


def test_the_recursion_is_the_loop_it_says(problem):
    from overparam.kernels import KernelPredictor, predictor_agop_diagonal

    x, y = problem
    rounds = list(
        feature_recursion(
            x,
            y,
            Laplace(3.0),
            ridge=0.1,
            n_iter=2,
            diagonal=True,
            normalize="trace",
            weight_floor=0.01,
        )
    )
    weights = None
    for current in rounds:
        dual = fit_ridge(Laplace(3.0), x, y, ridge=0.1, feature_matrix=weights)
        torch.testing.assert_close(current.predictor.dual, dual)
        outer = predictor_agop_diagonal(KernelPredictor(Laplace(3.0), x, dual, weights))
        weights = outer + 0.01 * outer.max()
        weights = weights / weights.mean()
    assert [current.iteration for current in rounds] == [0, 1, 2]


def test_codes_decode_to_priors_and_back():
    labels = np.array([0, 0, 1, 2, 2, 2])
    codes = ClassCodes.of(labels, np.array([1.0, 1, 1, 1, 1, 5]))
    np.testing.assert_allclose(codes.priors, [0.2, 0.1, 0.7])
    np.testing.assert_allclose(codes.decoded(codes.targets(labels)), np.eye(3)[labels], atol=1e-12)
    weights = np.array([1.0, 1, 1, 1, 1, 5])
    np.testing.assert_allclose(weights @ codes.targets(labels), 0, atol=1e-12)
    np.testing.assert_allclose(codes.basis.T @ codes.basis, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(codes.probabilities(np.zeros((1, 2)))[0], codes.priors)


def test_the_bootstrap_narrows_with_the_number_of_rows():
    draw = np.random.default_rng(0)
    few, many = draw.exponential(size=(50, 3)), draw.exponential(size=(5000, 3))
    narrow, wide = (np.diff(bootstrap_interval(v, seed=1), axis=0).mean() for v in (many, few))
    assert 5 < wide / narrow < 20  # the root of 100 is 10


@pytest.mark.parametrize(("level", "deviations"), [(0.9, 2 * 1.6449), (0.5, 2 * 0.6745)])
def test_the_bootstrap_is_as_wide_as_a_mean_scatters(level, deviations):
    """Columns u and 1 − u: the shares are means of u and of 1 − u, nearly normal."""
    u = np.random.default_rng(0).uniform(size=400)
    low, high = bootstrap_interval(np.stack([u, 1 - u], 1), level=level, seed=1)
    # Quantiles of 1000 draws are known to 7 % of a deviation and less, widths to 10 % of one.
    scatter = u.std() / 20
    np.testing.assert_allclose(high - low, deviations * scatter, rtol=0, atol=0.4 * scatter)
    np.testing.assert_allclose((low + high) / 2, [u.mean(), 1 - u.mean()], atol=0.2 * scatter)
    weights = np.where(u < 0.5, 3.0, 0.0)
    low, high = bootstrap_interval(np.stack([u, 1 - u], 1), weights=weights)
    assert low[0] < u[u < 0.5].mean() < high[0] < 0.3
