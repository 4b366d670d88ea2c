"""The tangent kernel of a network whose examples influence one another, as with batch norm."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import n_examples
from overparam._model import as_function, expect_outputs, trainable, undisturbed
from overparam._training_mode import repeatably
from overparam._types import Inputs
from overparam.tangents.engine.contraction import expect_finite


def batch_ntk(
    model: nn.Module, x: Inputs, *, directions: int | None = None, seed: int = 0
) -> Float[Tensor, "n n"]:
    """Tangent kernel of the map from parameters to the outputs of a batch, averaged over outputs.

        K[i, j] = (1/C) Σ_c ⟨∂f_c(x)_i/∂θ, ∂f_c(x)_j/∂θ⟩

    where f(x)_i is the output of example i in the batch x, which may depend on the others: the
    model is taken in the modes it is in, layers in training mode with the statistics of `x`, random
    ones with one and the same mask every time. Where examples are separate this is
    `empirical_ntk`, which is faster.

    Args:
        model: A module; it is left as it was, buffers and random numbers included.
        x: n examples.
        directions: Combinations of outputs to average over: that many random orthogonal ones in
            place of all C outputs if C is larger, with the same expectation. `None` means all.
        seed: Of the combinations.

    Returns:
        K, exactly symmetric.

    Raises:
        ValueError: No trainable parameter.
        NumericalError: If K is not finite.

    Cost:
        A forward pass, and n backward passes of the whole batch for each direction; memory of n
        gradients.

    Example:
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)).train()
        >>> _ = nn.init.ones_(model[0].weight)
        >>> K = batch_ntk(model, x)  # by gain and shift alone: what precedes them cannot move it
        >>> K.round(decimals=2)
        tensor([[2., 0.],
                [0., 2.]])
    """
    where = "batch_ntk(model=...)"
    n = n_examples(x)
    leaves = {
        name: p.detach().requires_grad_() for name, p in trainable(model, None, where).items()
    }
    with undisturbed(model), repeatably(model):
        outputs = expect_outputs(as_function(model)(leaves, x), n, where).reshape(n, -1)
        width = outputs.shape[1]
        if directions is not None and directions < width:
            outputs = outputs @ orthogonal(width, directions, seed).to(outputs)
        size = sum(p.numel() for p in leaves.values())
        rows = torch.empty(n, size, dtype=outputs.dtype, device=outputs.device)
        kernel = torch.zeros(n, n, dtype=outputs.dtype, device=outputs.device)
        for column in outputs.T:
            for row, output in zip(rows, column, strict=True):
                parts = torch.autograd.grad(
                    output, list(leaves.values()), retain_graph=True, materialize_grads=True
                )
                torch.cat([part.reshape(-1) for part in parts], out=row)
            kernel += rows @ rows.T
    kernel = (kernel + kernel.T) / (2 * outputs.shape[1])
    expect_finite(kernel, where, "entries")
    return kernel


def orthogonal(width: int, directions: int, seed: int) -> Float[Tensor, "c m"]:
    """Random orthonormal columns: of unit length, so that each has the mean over outputs."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(width, directions, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn)[0]
