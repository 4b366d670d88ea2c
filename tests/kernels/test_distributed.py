"""Rows spread over two processes: the same numbers as in one."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from overparam.kernels import (
    EigenProSolver,
    KernelPredictor,
    Laplace,
    Quadratic,
    predictor_agop,
    predictor_agop_diagonal,
)

distributed = pytest.importorskip("torch.distributed")
pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="needs gloo"
)

COMMON = """
    import sys
    import torch
    from torch import distributed
    from overparam.kernels import EigenProSolver, KernelPredictor, Laplace, Quadratic
    from overparam.kernels import predictor_agop, predictor_agop_diagonal

    rank, folder = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    data = torch.load(f"{folder}/data.pt")
    mine = slice(0, 70) if rank == 0 else slice(70, None)  # not the same number of rows
    x, y, weights = (data[name][mine] for name in ("x", "y", "weights"))
    group = distributed.group.WORLD
"""

# A process that ends while the other still waits for it can take its threads down with it.
LEAVE = """
    distributed.barrier()
    distributed.destroy_process_group()
"""

FIT = """
    solver = EigenProSolver(Laplace(3.0), ridge=0.3, n_subsamples=60, batch_size=40, group=group)
    solver.fit(x, y, epochs=3)
    solver.partial_fit(x + 1, y)
    found = {"dual": solver.dual, "history": solver.history, "batch": solver.batch_size_}
    found["values"] = solver.predict(data["x"][:9])
    solver = EigenProSolver(Laplace(3.0), ridge=0.3, n_subsamples=60, batch_size=40, group=group)
    solver.fit(x, y, weights=weights, epochs=3)
    solver.partial_fit(x + 1, y, weights=weights)
    found["weighted dual"], found["weighted history"] = solver.dual, solver.history
    for name, kernel in (("laplace", Laplace(3.0)), ("quadratic", Quadratic())):
        predictor = KernelPredictor(kernel, x, y, data["metric"])
        found[name] = predictor_agop(predictor, center=True, group=group)
        found[name + " weighted"] = predictor_agop(predictor, 2 * x, weights=weights, group=group)
        found[name + " diagonal"] = predictor_agop_diagonal(predictor, weights=weights, group=group)
    metric = None
    for _ in range(3):  # as docs/how-to/tables.md has it
        solver = EigenProSolver(Laplace(10.0), feature_matrix=metric, ridge=1e-3, group=group)
        solver.fit(x, y)
        metric = predictor_agop(KernelPredictor(solver.kernel, x, solver.dual, metric), group=group)
        metric /= metric.diagonal().max()
    found["learned"] = metric
"""

WRONG = """
    reasons = []
    spoilt = x * (torch.nan if rank == 0 else 1)
    for call in (
        lambda: EigenProSolver(Laplace(), group=group).fit(spoilt, y),
        lambda: predictor_agop(KernelPredictor(Laplace(), x, y), x[: 9 * rank], group=group),
        lambda: predictor_agop(KernelPredictor(Laplace(), x, y), method="gram", group=group),
    ):
        try:
            call()
        except ValueError as problem:
            reasons.append(str(problem))
    torch.save([found, reasons], f"{folder}/found-{rank}.pt")
"""


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(180, 4, generator=generator, dtype=torch.float64)
    half = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    return {
        "x": x,
        "y": torch.stack([x[:, 0].sin(), x[:, 1] * x[:, 2]], 1),
        "weights": torch.rand(180, generator=generator, dtype=torch.float64),
        "metric": half @ half.T / 4,
    }


@pytest.fixture(scope="module")
def both_found(data, tmp_path_factory):
    """What each of two processes found, and what it was told of what is wrong."""
    folder = tmp_path_factory.mktemp("together")
    torch.save(data, folder / "data.pt")
    path = folder / "script.py"
    path.write_text("".join(textwrap.dedent(part) for part in (COMMON, FIT, WRONG, LEAVE)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    words = [sys.executable, "-W", "ignore", str(path)]
    both = [
        subprocess.Popen([*words, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    for process in both:
        _, problem = process.communicate(timeout=240)
        assert process.returncode == 0, problem.decode()
    return [torch.load(folder / f"found-{rank}.pt", weights_only=False) for rank in (0, 1)]


def test_two_processes_find_what_one_finds(data, both_found):
    x, y, weights = data["x"], data["y"], data["weights"]
    (first, _), (second, _) = both_found
    # In a group, rows are numbered process by process, and so are those added later.
    alone = EigenProSolver(Laplace(3.0), ridge=0.3, n_subsamples=60, batch_size=40)
    alone.fit(x, y, epochs=3)
    alone.partial_fit(x + 1, y)
    assert first["batch"] == alone.batch_size_
    old, new = alone.dual[:180], alone.dual[180:]
    torch.testing.assert_close(first["dual"], torch.cat([old[:70], new[:70]]), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        second["dual"], torch.cat([old[70:], new[70:]]), rtol=1e-9, atol=1e-9
    )
    weighted = EigenProSolver(Laplace(3.0), ridge=0.3, n_subsamples=60, batch_size=40)
    weighted.fit(x, y, weights=weights, epochs=3)
    weighted.partial_fit(x + 1, y, weights=weights)
    rows = torch.cat([torch.arange(70), torch.arange(180, 250)])
    others = torch.cat([torch.arange(70, 180), torch.arange(250, 360)])
    for found, own in ((first, rows), (second, others)):
        torch.testing.assert_close(found["weighted dual"], weighted.dual[own], rtol=1e-9, atol=1e-9)
        assert found["weighted history"] == pytest.approx(weighted.history, rel=1e-9)
    metric = None
    for _ in range(3):
        solver = EigenProSolver(Laplace(10.0), feature_matrix=metric, ridge=1e-3).fit(x, y)
        metric = predictor_agop(KernelPredictor(solver.kernel, x, solver.dual, metric))
        metric /= metric.diagonal().max()
    for found in (first, second):
        torch.testing.assert_close(found["learned"], metric, rtol=1e-6, atol=1e-9)
        assert found["history"] == pytest.approx(alone.history, rel=1e-9)
        torch.testing.assert_close(found["values"], alone.predict(x[:9]))
        for name, kernel in (("laplace", Laplace(3.0)), ("quadratic", Quadratic())):
            predictor = KernelPredictor(kernel, x, y, data["metric"])
            weighted = predictor_agop(predictor, 2 * x, weights=weights, method="streamed")
            torch.testing.assert_close(found[name], predictor_agop(predictor, center=True))
            torch.testing.assert_close(found[name + " weighted"], weighted)
            diagonal = predictor_agop_diagonal(predictor, weights=weights)
            torch.testing.assert_close(found[name + " diagonal"], diagonal)


def test_what_is_wrong_in_one_process_is_an_error_in_both(both_found):
    for _, reasons in both_found:
        finite, rows, method = reasons
        assert "EigenProSolver.partial_fit(x=..., targets=...)" in finite
        assert "rows in every process" in rows
        assert "predictor_agop(method=..., group=...)" in method
