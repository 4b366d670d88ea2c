"""The kernel of tied examples, against the Jacobian written out."""

import torch
from torch import Tensor, nn

from overparam.tangents import empirical_ntk
from overparam.tangents.batch_kernel import batch_ntk


def jacobian_kernel(model: nn.Module, x: Tensor) -> Tensor:
    """(1/C) Σ_c J_c J_cᵀ with J of the whole batch, without buffers that change."""
    names = [name for name, _ in model.named_parameters()]

    def outputs(*values: Tensor) -> Tensor:
        places = dict(zip(names, values, strict=True)) | dict(model.named_buffers())
        copies = {name: value.clone() for name, value in places.items()}
        return torch.func.functional_call(model, copies, (x,))

    parts = torch.autograd.functional.jacobian(outputs, tuple(model.parameters()))
    n, c = outputs(*model.parameters()).shape
    rows = torch.cat([part.reshape(n, c, -1) for part in parts], dim=2)
    return torch.einsum("icp,jcp->ij", rows, rows) / c


def test_it_is_that_of_the_whole_batch_and_leaves_no_trace() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 4)).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    kernel = batch_ntk(model, x)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    torch.testing.assert_close(kernel, jacobian_kernel(model, x))
    assert torch.equal(kernel, kernel.T)


def test_random_directions_have_the_mean_over_outputs_as_their_expectation() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 8)).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    exact = batch_ntk(model, x)
    torch.testing.assert_close(batch_ntk(model, x, directions=8), exact)
    drawn = torch.stack([batch_ntk(model, x, directions=2, seed=s) for s in range(40)])
    error = (drawn.mean(0) - exact).norm() / exact.norm()
    spread = ((drawn - exact).square().sum((1, 2)).mean().sqrt() / exact.norm()) / 40**0.5
    assert error < 3 * spread


def test_of_separate_examples_it_is_the_usual_kernel() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(batch_ntk(model, x), empirical_ntk(model, x))
