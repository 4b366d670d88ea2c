"""Kernels along combinations of the outputs, against Jacobians."""

import pytest
import torch
from torch import nn

from overparam.tangents import empirical_ntk
from overparam.tangents.batch_kernel import orthogonal
from overparam.tangents.empirical import combined_blocks, combined_ntk


class Attention(nn.Module):
    """Of which no rule passes the gradients of all outputs at once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
        self.out = nn.Linear(4, 5)

    def forward(self, x):
        return self.out(self.layer(x).mean(1))


MODELS = {
    "attention": (Attention, (3, 4)),
    "convolution": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5)),
        (3, 4),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_kernel_along_combinations_is_that_of_their_jacobian(name) -> None:
    build, shape = MODELS[name]
    torch.manual_seed(0)
    model, x = build().double().eval(), torch.randn(4, *shape).double()
    along = orthogonal(5, 2, seed=1).double()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        outputs = model(x) @ along
        rows = [
            torch.cat([g.flatten() for g in torch.autograd.grad(
                one, list(model.parameters()), retain_graph=True)])
            for one in outputs.flatten()
        ]  # fmt: skip
    jacobian = torch.stack(rows).view(4, 2, -1)
    blocks = torch.einsum("iap,jbp->ijab", jacobian, jacobian)
    torch.testing.assert_close(combined_blocks(model, x, along), blocks)
    mean = torch.einsum("ijaa->ij", blocks) / 2
    torch.testing.assert_close(combined_ntk(model, x, along), mean)
    # All of them, turned: the mean over outputs.
    every = orthogonal(5, 5, seed=2).double()
    torch.testing.assert_close(combined_ntk(model, x, every), empirical_ntk(model, x))
