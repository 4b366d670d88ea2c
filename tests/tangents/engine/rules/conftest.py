"""A kernel by rules against the Jacobian by autograd, one output of one example at a time."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from overparam._model import trainable
from overparam.tangents import empirical_ntk_blocks
from overparam.tangents.engine.plan import Plan, make_plan
from overparam.tangents.engine.session import opened

EPS = torch.finfo(torch.float64).eps


def planned(model: nn.Module, x: Tensor) -> Plan:
    """What the engine makes of a model."""
    chosen = trainable(model)
    with opened(model, chosen):
        return make_plan(model, x, chosen, "test")[0]


def by_autograd(model: nn.Module, x: Tensor) -> Tensor:
    """(n, C, P)."""
    params = list(model.parameters())
    return torch.stack([
        torch.stack([
            torch.cat([g.flatten() for g in torch.autograd.grad(v, params, retain_graph=True)])
            for v in model(example[None])[0].flatten()
        ])
        for example in x
    ])  # fmt: skip


def hold(model: nn.Module, x: Tensor, *, swept: bool, direct: int = 0) -> None:
    """Every parameter has a rule (but `direct`), a sweep passes (or not), the kernel is right.

    An entry is a sum over P numbers of products of two gradients, each of which went through d
    operations that add up at most m numbers, those of an example or of a parameter:
    |ΔK| ≤ (P + 2 d m κ) ε ‖J_i‖ ‖J_j‖. Here d ≤ 10. A normalisation loses κ = max |x| / std of its
    digits: below 10, with inputs and weights of order one and several numbers in a group.
    """
    model, x = model.double().eval(), x.double()
    plan = planned(model, x)
    assert len(plan.direct) == direct, plan.direct
    assert plan.swept is swept
    jacobian = by_autograd(model, x)
    expected = torch.einsum("icp,jdp->ijcd", jacobian, jacobian)
    sizes = [x[0].numel(), *(p.numel() for p in model.parameters())]
    terms = jacobian.shape[-1] + 2 * 10 * 10 * max(sizes)
    norms = jacobian.norm(dim=-1)
    bound = terms * EPS * norms[:, None, :, None] * norms[None, :, None, :]
    for chunk_size in (None, 2):
        error = (empirical_ntk_blocks(model, x, chunk_size=chunk_size) - expected).abs()
        assert bool((error <= bound).all()), float((error / bound).max())


@pytest.fixture
def held_to_autograd() -> Callable[..., None]:
    """`hold`, with random numbers of its own around it."""

    def call(build: Callable[[], nn.Module], *shape: int, **expected: object) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model, x = build(), torch.randn(shape)
            model.eval()(x)  # lazy layers learn shapes
            for name, parameter in model.named_parameters():
                if parameter.ndim == 1:  # gains that are not one, biases that are not zero
                    nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0)
            hold(model, x, **expected)  # type: ignore[arg-type]

    return call
