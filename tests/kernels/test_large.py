"""Tables whose kernel matrix does not fit: rows that repeat, weights, progress, an interrupt."""

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from overparam import memory_limit
from overparam.kernels import (
    EigenProSolver,
    IRKMClassifier,
    IRKMRegressor,
    Laplace,
    Quadratic,
    RFMClassifier,
    RFMRegressor,
    _rounds,
    unformed,
)
from overparam.kernels.unformed import fit_unformed

DRAW, ROWS = np.random.default_rng(0), 520  # enough to hold some out
X = DRAW.normal(size=(ROWS, 5))
Y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.05 * DRAW.normal(size=ROWS)
TEST = DRAW.normal(size=(300, 5))
TRUTH = np.sin(2 * TEST[:, 0]) + TEST[:, 1] * TEST[:, 2]


def score(model):
    """R² of rows that were not fitted."""
    return 1 - np.square(model.predict(TEST) - TRUTH).mean() / TRUTH.var()


@pytest.mark.parametrize("solver", ["auto", "eigenpro"])
def test_a_row_that_repeats_and_weights_stop_no_large_fit(solver):
    """A limit that lets some 230 rows be solved at once, not 520."""
    repeated = np.r_[0, np.arange(len(X))]
    with memory_limit(2.2 * 250**2 * 8):
        plain, twice, weighted = (
            RFMRegressor(n_iter=int(solver == "auto"), solver=solver, random_state=0).fit(*data)
            for data in (
                (X, Y),
                (X[repeated], Y[repeated]),
                (X, Y, np.r_[np.full(260, 1.5), np.full(260, 0.5)]),
            )
        )
    assert [len(model.X_fit_) for model in (plain, twice, weighted)] == [ROWS] * 3
    assert min(score(model) for model in (plain, twice, weighted)) > 0.7
    # One more weight among 520 changes what steps end in by little.
    assert np.abs(twice.predict(TEST) - plain.predict(TEST)).max() < 0.3 * TRUTH.std()


@pytest.mark.parametrize("kernel", [Laplace(3.0), Quadratic()], ids=["distance", "product"])
@pytest.mark.parametrize("weighted", [False, True])
def test_products_of_a_matrix_that_is_never_formed_solve_its_system(kernel, weighted):
    """More rows than a tile has; a share t of the squared distance that is left, and √κ of it."""
    x = torch.from_numpy(np.tile(X, (2, 1))[:700] + 0.1 * DRAW.normal(size=(700, 5)))
    y = torch.from_numpy(DRAW.normal(size=(700, 2)))
    metric = torch.tensor([1.0, 0.5, 2.0, 0.1, 1.0]).double()
    weights = torch.from_numpy(DRAW.uniform(0.5, 2, 700)) if weighted else None
    shares = []
    settings = {"feature_matrix": metric, "weights": weights}
    dual = fit_unformed(
        kernel, x, y, ridge=0.5, **settings, tolerance=1e-18, max_iterations=200,
        inside=shares.append,
    )  # fmt: skip
    shift = torch.diag(0.5 / (torch.ones(700).double() if weights is None else weights))
    matrix = kernel.matrix(x, None, metric) + shift
    condition = float(torch.linalg.cond(matrix))
    expected = torch.linalg.solve(matrix, y)
    # Ten times, as what all further products would lower is more than what the last did.
    assert (dual - expected).norm() <= 10 * condition**0.5 * 1e-9 * expected.norm()
    assert shares == sorted(shares)
    assert shares[-1] == 1
    with memory_limit(1e4):
        assert fit_unformed(kernel, x, y, ridge=0.5, **settings) is None
    if kernel.distance:
        assert fit_unformed(kernel, x, y, ridge=1e-4, **settings, max_iterations=1) is None


def test_products_hold_where_the_largest_eigenvalue_is_millions_of_the_rest(monkeypatch):
    """In single precision alone what the preconditioner leaves of it is larger than the rest.

    Residuals were then .12 to .13 at the end, with two kinds of instructions, and are .035 to .037.
    """
    monkeypatch.setattr(unformed, "LARGEST", 0.09)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(1500, 3, generator=draw)
    y = torch.sin(2 * x[:, :1]) + 0.3 * torch.randn(1500, 1, generator=draw)
    dual = fit_unformed(Laplace(500.0), x, y - y.mean(), ridge=2e-5)
    assert dual is not None
    system = Laplace(500.0).matrix(x.double()) + 2e-5 * torch.eye(1500).double()
    left = (system @ dual.double() - (y - y.mean()).double()).norm() / y.norm()
    assert left < 0.09


def test_products_share_their_tiles_among_threads_and_stop_when_asked():
    x, y = torch.from_numpy(np.tile(X, (3, 1))), torch.from_numpy(np.tile(Y, 3))[:, None]
    x = x + 0.1 * torch.from_numpy(DRAW.normal(size=x.shape))
    before = torch.get_num_threads()

    def interrupt(done):
        raise KeyboardInterrupt

    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(fit_unformed(Laplace(3.0), x, y, ridge=0.5, tolerance=1e-18))
            with pytest.raises(KeyboardInterrupt):
                fit_unformed(Laplace(3.0), x, y, ridge=0.5, inside=interrupt)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    # Eigenvalues of the system are from 1/2 to n + 1/2; see above for the rest.
    most = 2 * 10 * (2 * len(x) + 1) ** 0.5 * 1e-9
    assert (found[0] - found[1]).norm() <= most * found[0].norm()


@pytest.mark.parametrize("alpha", [0.1, 0.0])
def test_where_a_matrix_does_not_fit_its_products_or_steps_do(alpha, monkeypatch):
    """Without a ridge there is no preconditioner, and EigenPro it is."""
    steps = []
    monkeypatch.setattr(
        _rounds, "fit_eigenpro", lambda *a, **k: steps.append(len(a[1])) or a[2] / len(a[1])
    )
    exact = RFMRegressor(n_iter=1, alpha=0.1, random_state=0).fit(X, Y)
    with memory_limit(2.2 * 400**2 * 8):
        model = RFMRegressor(n_iter=1, alpha=alpha, random_state=0).fit(X, Y)
    assert steps == ([] if alpha else [ROWS])
    if alpha:
        # The residual is that of the coefficients; features are of fewer rows.
        assert abs(score(model) - score(exact)) < 0.02


def test_features_are_learned_from_a_part_where_all_rows_do_not_fit(monkeypatch):
    solved = []
    solve = _rounds.fit_ridge
    monkeypatch.setattr(
        _rounds, "fit_ridge", lambda *a, **k: solved.append(len(a[1])) or solve(*a, **k)
    )
    with memory_limit(2.2 * 400**2 * 8):
        model = RFMRegressor(n_iter=2, random_state=0).fit(X, Y)
    # Rounds in a part that fits, and at the end all rows by products.
    assert len(solved) == 3
    assert set(solved) == {int(400 * 0.9**0.5)}
    assert len(model.X_fit_) == ROWS
    assert model.feature_importances_[:3].sum() > 0.9
    few = RFMRegressor(n_iter=2, random_state=0).fit(X[:379], Y[:379])
    assert score(model) > score(few) - 0.02


@pytest.mark.parametrize(
    "settings", [{}, {"solver": "eigenpro"}, {"dtype": "float32"}, {"kernel": "gaussian"}]
)
def test_progress_moves_inside_a_round(settings):
    calls = []
    copies = {"dtype": 4, "solver": 1}.get(
        next(iter(settings), ""), 2
    )  # from 1500 rows on by iterations
    big = np.tile(X, (copies, 1)) + 0.01 * DRAW.normal(size=(copies * ROWS, 5))
    RFMRegressor(n_iter=1, progress=lambda *call: calls.append(call), **settings).fit(
        big, np.tile(Y, copies)
    )
    assert {stage for stage, _ in calls} == {"rounds", "all rows"}
    for stage, least in (("rounds", 8), ("all rows", 1)):
        shares = [done for name, done in calls if name == stage]
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert len(set(shares)) >= least
        if stage == "rounds":
            assert max(np.diff([0, *shares])) < 0.35  # of two rounds


@pytest.mark.parametrize("kind", [RFMRegressor, IRKMRegressor, RFMClassifier, IRKMClassifier])
def test_an_interrupt_keeps_the_best_round(kind):
    y = Y if "Regressor" in kind.__name__ else np.where(Y > 0, "high", "low")

    def interrupt(iteration, model):
        if iteration == 2:
            raise KeyboardInterrupt

    whole = kind(n_iter=4, random_state=0, callback=lambda i, m: None)
    cut = kind(n_iter=4, random_state=0, callback=interrupt)
    with pytest.raises(KeyboardInterrupt):
        cut.fit(X, y)
    whole.fit(X, y)
    errors = [record["validation_error"] for record in whole.history_]
    assert cut.best_iter_ == int(np.argmin(errors[:2]))
    assert cut.predict(TEST).shape == (300,)
    right = np.where(TRUTH > 0, "high", "low")
    if kind in (RFMClassifier, IRKMClassifier):
        assert (cut.predict(TEST) == right).mean() > 0.8
    else:
        assert score(cut) > 0.8
    np.testing.assert_allclose(cut.feature_importances_.sum(), 1)


def test_an_interrupt_of_the_last_fit_keeps_the_round_that_was_chosen(monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(_rounds.Rounds, "with_rows", interrupt)
    model = RFMRegressor(n_iter=1, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert score(model) > 0.8


@pytest.mark.parametrize("form", ["memory-mapped", "Parquet"])
def test_blocks_of_a_file_go_through_eigenpro(form, tmp_path):
    """As docs/how-to/tables.md has it: no more than a block is read at a time."""
    table = np.column_stack([X, Y])
    if form == "Parquet":
        columns = {str(i): table[:, i] for i in range(6)}
        parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet", row_group_size=130)
        file = parquet.ParquetFile(tmp_path / "t.parquet")
        blocks = [np.column_stack(batch.columns) for batch in file.iter_batches(130)]
    else:
        np.save(tmp_path / "t.npy", table)
        rows = np.load(tmp_path / "t.npy", mmap_mode="r")
        blocks = [np.array(rows[start : start + 130]) for start in range(0, ROWS, 130)]
    solver = EigenProSolver(Laplace(3.0), ridge=0.1)
    for block in blocks:
        read = torch.from_numpy(block)
        solver.partial_fit(read[:, :5], read[:, 5:], weights=torch.full((130,), 2.0).double())
    assert len(blocks) == 4
    assert len(solver.centres) == ROWS
    predicted = solver.predict(torch.from_numpy(TEST)).numpy()[:, 0]
    assert 1 - np.square(predicted - TRUTH).mean() / TRUTH.var() > 0.6
