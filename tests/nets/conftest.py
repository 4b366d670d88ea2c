"""Oracles for networks: derivatives formed in full by plain autograd, in double precision."""

import pytest
import torch
from torch.func import functional_call, hessian, jacrev


@pytest.fixture
def dense_kernel():
    """The tangent kernel from Jacobians that are formed, averaged over outputs."""

    def kernel(model, x):
        params = {name: p.detach() for name, p in model.named_parameters()}
        n, outputs = model(x).flatten(1).shape
        jacobians = jacrev(lambda p: functional_call(model, p, (x,)).flatten(1))(params)
        rows = torch.cat([j.reshape(n, outputs, -1) for j in jacobians.values()], 2)
        return torch.einsum("icp,jcp->ij", rows, rows) / outputs

    return kernel


@pytest.fixture
def dense_hessian():
    """The Hessian of the first output at one input, over all parameters end to end."""

    def matrix(model, x):
        point = {name: p.detach() for name, p in model.named_parameters()}
        sizes = [p.numel() for p in point.values()]

        def scalar(flat):
            parts = zip(point.items(), flat.split(sizes), strict=True)
            params = {name: part.view_as(p) for (name, p), part in parts}
            return functional_call(model, params, (x,)).flatten()[0]

        return hessian(scalar)(torch.cat([p.flatten() for p in point.values()]))

    return matrix


@pytest.fixture
def normal(generator):
    """Standard normal numbers in double precision, others at each call."""

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    return draw
