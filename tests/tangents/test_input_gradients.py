"""AGOP against a Jacobian taken example by example, and against what it must be invariant to."""

import math

import pytest
import torch
from torch import nn

from overparam.tangents import agop, agop_alignment, agop_blocks, agop_diagonal


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 4)).double()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def reference(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(x[0].numel(), x[0].numel(), dtype=x.dtype)
    for row in x:
        jacobian = torch.autograd.functional.jacobian(lambda r: model(r[None])[0].flatten(), row)
        jacobian = jacobian.reshape(-1, row.numel())
        total += jacobian.T @ jacobian
    return total / len(x)


def test_agop_equals_the_jacobians_product(model, x):
    torch.testing.assert_close(agop(model, x), reference(model, x), rtol=1e-12, atol=1e-12)


def test_agop_of_a_convolution_with_spatial_outputs():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU()).double()
    x = torch.randn(5, 2, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(agop(model, x), reference(model, x), rtol=1e-12, atol=1e-12)


def test_diagonal_is_that_of_the_matrix(model, x):
    torch.testing.assert_close(agop_diagonal(model, x), agop(model, x).diagonal())


@pytest.mark.parametrize("outputs", ["all", "random"])
def test_blocks_are_those_of_the_matrix(model, x, outputs):
    whole = agop(model, x, outputs=outputs, seed=2)
    blocks = agop_blocks(model, x, 2, outputs=outputs, seed=2, chunk_size=3)
    assert blocks.shape == (3, 2, 2)
    for k, block in enumerate(blocks):
        torch.testing.assert_close(block, whole[2 * k : 2 * k + 2, 2 * k : 2 * k + 2])
    torch.testing.assert_close(agop_blocks(model, x, 6)[0], agop(model, x))
    torch.testing.assert_close(agop_blocks(model, x, 1).flatten(), agop_diagonal(model, x))


@pytest.mark.parametrize("block_size", [0, 4, 7])
def test_blocks_must_cover_the_input(model, x, block_size):
    with pytest.raises(ValueError, match=r"agop_blocks\(block_size=...\).* divisor of the 6"):
        agop_blocks(model, x, block_size)
    with pytest.raises(ValueError, match=r"agop_blocks\(x=...\)"):
        agop_blocks(model, x[:0], 2)


@pytest.mark.parametrize("outputs", ["all", "random"])
@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_chunks_change_nothing(model, x, outputs, chunk_size):
    whole = agop(model, x, outputs=outputs, n_vectors=2, seed=3)
    parts = agop(model, x, outputs=outputs, n_vectors=2, seed=3, chunk_size=chunk_size)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)


def test_random_outputs_are_unbiased(model, x):
    exact = agop(model, x)
    estimate = agop(model, x, outputs="random", n_vectors=4000, seed=0)
    assert float((estimate - exact).norm() / exact.norm()) < 0.03
    one = agop(model, x, outputs="random", n_vectors=1, seed=0)
    assert float((one - exact).norm() / exact.norm()) > 0.05


def test_random_outputs_depend_on_the_seed_alone(model, x):
    torch.manual_seed(5)
    first = agop(model, x, outputs="random", seed=1)
    torch.manual_seed(6)
    assert torch.equal(first, agop(model, x, outputs="random", seed=1))
    assert not torch.equal(first, agop(model, x, outputs="random", seed=2))


def test_one_output_without_an_axis(x):
    weight = torch.arange(6.0, dtype=torch.float64)

    class Dot(nn.Module):
        def forward(self, inputs):
            return inputs @ weight

    torch.testing.assert_close(agop(Dot(), x), torch.outer(weight, weight))


def test_a_model_that_ignores_its_input_has_zero(x):
    class Constant(nn.Module):
        def forward(self, inputs):
            return torch.ones(len(inputs), 2, dtype=inputs.dtype)

    assert torch.equal(agop(Constant(), x), torch.zeros(6, 6, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"`agop_alignment\(...\)` expected two .* not zero"):
        agop_alignment(agop(Constant(), x), torch.eye(6))


def test_alignment_of_known_angles():
    projector = torch.diag(torch.tensor([1.0, 1.0] + [0.0] * 28))
    assert agop_alignment(torch.eye(30), projector) == pytest.approx(math.sqrt(2 / 30))
    assert agop_alignment(projector, 7 * projector) == pytest.approx(1)
    assert agop_alignment(projector, torch.eye(30) - projector) == 0


def test_nothing_is_disturbed(model, x):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x.requires_grad_()
    state = torch.get_rng_state()
    agop(model, x, outputs="random")
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert x.grad is None
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_works_inside_no_grad(model, x):
    with torch.no_grad():
        inside = agop(model, x)
    assert torch.equal(inside, agop(model, x))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"x": torch.full((2, 6), math.nan, dtype=torch.float64)}, r"agop\(x=...\)"),
        ({"x": torch.zeros(0, 6, dtype=torch.float64)}, r"agop\(x=...\)"),
        ({"x": torch.zeros(2, 6, dtype=torch.int64)}, "floating-point"),
        ({"outputs": "al"}, r"agop\(outputs=...\)"),
        ({"outputs": "random", "n_vectors": 0}, r"agop\(n_vectors=...\)"),
        ({"chunk_size": 0}, r"agop\(chunk_size=...\)"),
    ],
)
def test_bad_input(model, x, change, where):
    arguments = {"x": x} | change
    with pytest.raises(ValueError, match=where):
        agop(model, **arguments)


def test_batch_norm_in_training_mode_is_refused(x):
    model = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3)).double()
    with pytest.raises(ValueError, match=r"model.eval\(\)"):
        agop(model, x)


def test_shapes_that_differ_cannot_be_aligned():
    with pytest.raises(ValueError, match=r"agop_alignment\(second=...\)"):
        agop_alignment(torch.eye(2), torch.eye(3))
