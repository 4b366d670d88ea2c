import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn
from torch.testing import assert_close

from overparam.tangents import NTKOperator, empirical_ntk_blocks


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(kind: str) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layer = nn.Linear(4, 4)
        models = {
            "mlp": nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)),
            "re-used": nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(4, 2)),
            "one output": nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1), nn.Flatten(0)),
            "attention": nn.Sequential(
                nn.Unflatten(1, (2, 2)),
                nn.TransformerEncoderLayer(2, 1, 4, batch_first=True),
                nn.Flatten(),
            ),
        }
        return models[kind].double().eval(), torch.randn(7, 4).double()


def square(model: nn.Module, x: Tensor) -> Tensor:
    blocks = empirical_ntk_blocks(model, x)
    n, _, c, _ = blocks.shape
    return blocks.permute(0, 2, 1, 3).reshape(n * c, n * c)


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("kind", ["mlp", "re-used", "one output", "attention"])
def test_equals_the_dense_kernel(kind: str, chunk_size: int | None) -> None:
    model, x = network(kind)
    dense = square(model, x)
    operator = NTKOperator(model, x, chunk_size=chunk_size)
    eye = torch.eye(len(dense)).double()
    products = torch.stack([operator.matvec(v) for v in eye])
    assert_close(products, dense, rtol=1e-10, atol=1e-10)
    assert_close(operator.diagonal(), dense.diagonal(), rtol=1e-10, atol=1e-10)
    assert operator.trace() == pytest.approx(float(dense.trace()), rel=1e-12)
    assert_close(operator @ eye, dense, rtol=1e-10, atol=1e-10)
    assert_close(operator.dense(), dense, rtol=1e-10, atol=1e-10)
    top = operator.eigenpairs(2, tolerance=1e-10)
    assert_close(top.values, torch.linalg.eigvalsh(dense).flip(0)[:2], rtol=1e-9, atol=1e-9)


def test_scipy_takes_it() -> None:
    model, x = network("mlp")
    values = eigsh(NTKOperator(model, x).to_scipy(), k=3, return_eigenvectors=False)
    expected = torch.linalg.eigvalsh(square(model, x))[-3:]
    assert_close(torch.from_numpy(np.sort(values)), expected, rtol=1e-9, atol=1e-9)


def test_follows_training_and_names_a_subset() -> None:
    model, x = network("mlp")
    operator = NTKOperator(model, x, names=["0.weight"])
    with torch.no_grad():
        model[2].weight.mul_(2)
    blocks = empirical_ntk_blocks(model, x, names=["0.weight"])
    expected = blocks.permute(0, 2, 1, 3).reshape(21, 21)
    assert_close(operator.matvec(torch.ones(21).double()), expected.sum(1))


def test_without_forward_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object) -> None:
        raise NotImplementedError("no forward mode")

    model, x = network("mlp")
    monkeypatch.setattr(torch.func, "jvp", missing)
    v = torch.arange(21).double()
    assert_close(NTKOperator(model, x).matvec(v), square(model, x) @ v)


@pytest.mark.parametrize("kind", ["mlp", "re-used"])
def test_nothing_is_changed(kind: str) -> None:
    model, x = network(kind)
    parameters = [(p, p.detach().clone()) for p in model.parameters()]
    rng = torch.get_rng_state()
    operator = NTKOperator(model, x)
    operator.matvec(torch.ones(operator.shape[0]))
    operator.diagonal()
    for (p, value), now in zip(parameters, model.parameters(), strict=True):
        assert p is now
        assert p.grad is None
        assert torch.equal(p, value)
    assert torch.equal(rng, torch.get_rng_state())


def test_bad_input() -> None:
    model, x = network("mlp")
    with pytest.raises(ValueError, match=r"`NTKOperator\(x=...\)` expected finite"):
        NTKOperator(model, x * torch.nan)
    with pytest.raises(ValueError, match="a vector of 21"):
        NTKOperator(model, x).matvec(torch.ones(20))


def test_the_old_names_work_and_say_what_replaces_them() -> None:
    """While the operator was SciPy's, its vectors were arrays."""
    model, x = network("mlp")
    operator, v = NTKOperator(model, x), torch.arange(21).double()
    product = operator.matvec(v)
    for old, new in (
        (lambda: operator.torch_matvec(v), product),
        (lambda: torch.from_numpy(operator.matvec(v.numpy())), product),
        (lambda: torch.from_numpy(operator @ v.numpy()), product),
        (lambda: torch.from_numpy(operator @ v.numpy()[:, None])[:, 0], product),
        (lambda: operator.diag(), operator.diagonal()),
        (lambda: operator.eigsh(2).values, operator.eigenpairs(2).values),
        (lambda: operator.torch_dtype, torch.float64),
    ):
        with pytest.warns(DeprecationWarning, match="is now .* works until 0.3"):
            found = old()
        assert torch.equal(found, new) if isinstance(new, Tensor) else found is new
