"""The split of the loss against a dense eigen-decomposition in double precision."""

import math

import pytest
import torch
from torch import nn

from overparam.dynamics import SpectralSplit, spectral_loss_split
from overparam.dynamics.spectral_split import is_squared_error, split_along
from overparam.errors import NumericalError
from overparam.tangents.batch_kernel import orthogonal


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 3)).double()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    return x, torch.randn(6, 3, dtype=torch.float64, generator=generator)


def jacobian(model, x):
    params = {name: p.detach() for name, p in model.named_parameters()}
    parts = torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (x,)))(params)
    return torch.cat([part.flatten(2) for part in parts.values()], 2).flatten(0, 1)


def expected_split(model, x, y, s):
    j = jacobian(model, x)
    vectors = torch.linalg.eigh(j @ j.T)[1]
    residual = (model(x) - y).detach().flatten()
    parts = (vectors.T @ residual) ** 2
    return float(parts[-s:].sum()), float(parts.sum())


@pytest.mark.parametrize("s", [1, 5, 18])
@pytest.mark.parametrize(
    ("loss", "factor"),
    [
        (nn.MSELoss(), 1 / 18),
        (nn.MSELoss(reduction="sum"), 1),
        (lambda f, y: (f - y).square().sum() / 12, 1 / 12),
    ],
    ids=["mean over entries", "sum", "half mean over examples"],
)
def test_squared_error_of_any_normalisation(model, batch, loss, factor, s):
    top, total = expected_split(model, *batch, s)
    split = spectral_loss_split(model, *batch, s, loss=loss)
    assert split.quadratic
    assert split.top == pytest.approx(factor * top, rel=1e-9)
    assert split.total == pytest.approx(factor * total, rel=1e-9)


def test_lanczos_on_a_larger_set_agrees(model):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(60, 4, dtype=torch.float64, generator=generator)
    y = torch.randn(60, 3, dtype=torch.float64, generator=generator)
    top, _ = expected_split(model, x, y, 5)
    assert spectral_loss_split(model, x, y, 5).top == pytest.approx(top / 180, rel=1e-4)


def test_cross_entropy_uses_the_metric_of_the_loss(model, batch):
    x, y = batch[0], torch.tensor([0, 1, 2, 0, 1, 2])
    j, f = jacobian(model, x), model(x).detach()
    p = f.softmax(1)
    blocks = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    roots = [torch.linalg.eigh(block) for block in blocks]
    root = torch.block_diag(*[(u * e.clamp(min=0).sqrt()) @ u.T for e, u in roots])
    vectors = torch.linalg.eigh(root @ j @ j.T @ root)[1]
    residual = (p - nn.functional.one_hot(y, 3)).flatten()
    share = float(((vectors.T @ residual) ** 2)[-4:].sum() / residual.square().sum())
    split = spectral_loss_split(model, x, y, 4, loss=nn.CrossEntropyLoss())
    assert not split.quadratic
    assert split.total == pytest.approx(float(nn.functional.cross_entropy(f, y)))
    assert split.top == pytest.approx(share * split.total, rel=1e-8)


def test_a_shift_of_all_logits_is_invisible_to_cross_entropy(model, batch):
    # The kernel's leading vector moves all classes alike; the residual has none of that.
    x, y = batch[0], torch.tensor([0, 1, 2, 0, 1, 2])
    everything = spectral_loss_split(model, x, y, 12, loss=nn.CrossEntropyLoss())
    assert everything.rest == pytest.approx(0, abs=1e-9 * everything.total)


def test_zero_loss_has_no_parts(model, batch):
    split = spectral_loss_split(model, batch[0], model(batch[0]).detach())
    assert (split.top, split.rest) == (0, 0)


def test_share_of_a_rise():
    before = SpectralSplit(1.0, 2.0, quadratic=True)
    assert SpectralSplit(7.0, 2.0, True).share_of_rise(before) == 1
    assert SpectralSplit(4.0, 5.0, True).share_of_rise(before) == 0.5
    assert math.isnan(SpectralSplit(1.5, 1.0, True).share_of_rise(before))


def test_nothing_is_disturbed(model, batch):
    nn.functional.mse_loss(model(batch[0]), batch[1]).backward()
    grads = [p.grad.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    spectral_loss_split(model, *batch)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))


@pytest.mark.parametrize(
    ("s", "change", "where"),
    [
        (0, {}, "s=..."),
        (19, {}, "s=..."),
        (1, {"x": torch.full((6, 4), math.nan, dtype=torch.float64)}, "x=..."),
        (1, {"y": torch.zeros(5, 3, dtype=torch.float64)}, "y=..."),
    ],
)
def test_bad_input(model, batch, s, change, where):
    arguments = {"x": batch[0], "y": batch[1]} | change
    with pytest.raises(ValueError, match=rf"spectral_loss_split\({where}\)"):
        spectral_loss_split(model, s=s, **arguments)


def test_along_combinations_it_is_that_of_the_loss_as_a_function_of_these():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6)).double()
    x, y, along = torch.randn(5, 4).double(), torch.arange(5) % 6, orthogonal(6, 3, 0).double()
    cross = nn.functional.cross_entropy
    split, kernel = split_along(model, x, y, 2, cross, combinations=along)
    outputs = model(x).detach()
    whole = jacobian(model, x).view(5, 6, -1)
    rows, start = torch.einsum("ncp,cm->nmp", whole, along).flatten(0, 1), outputs @ along

    def loss(g):
        return cross(outputs + (g.view(5, 3) - start) @ along.T, y)

    residual = torch.func.grad(loss)(start.flatten())
    values, vectors = torch.linalg.eigh(torch.func.hessian(loss)(start.flatten()))
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    values, vectors = torch.linalg.eigh(root @ rows @ rows.T @ root)
    share = (vectors[:, -2:].T @ residual).square().sum() / residual.square().sum()
    assert split.top == pytest.approx(float(share * split.total), rel=1e-8)
    assert split.total == pytest.approx(float(cross(outputs, y)), rel=1e-12)
    assert split.eigenvalues == pytest.approx(values[-2:].flip(0).tolist(), rel=1e-8)
    assert not split.quadratic
    # The kernel on the way there is the mean over the combinations.
    assert kernel is not None
    by_output = rows.view(5, 3, -1)
    assert torch.allclose(kernel, torch.einsum("imp,jmp->ij", by_output, by_output) / 3, rtol=1e-8)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        (nn.functional.mse_loss, True),
        (lambda f, y: 3 * (f - y).square().sum(), True),
        (lambda f, y: (f - y).square().mean() + 1, False),
        (nn.functional.smooth_l1_loss, False),
        (lambda f, y: (f - y).abs().mean(), False),
        (lambda f, y: (f.detach() - y).square().mean(), None),
    ],
)
def test_what_is_a_squared_error(loss, wanted):
    torch.manual_seed(0)
    outputs = 3 * torch.randn(6, 2)
    assert is_squared_error(loss, outputs, torch.zeros(6, 2)) is wanted
    assert is_squared_error(loss, outputs.half(), torch.zeros(6, 2)) is None


def test_cross_entropy_is_none_and_at_rest_it_does_not_show():
    cross, classes = nn.functional.cross_entropy, torch.arange(6) % 3
    assert is_squared_error(cross, torch.randn(6, 3), classes) is False
    assert is_squared_error(nn.functional.mse_loss, torch.ones(3, 1), torch.ones(3, 1)) is None


def test_curvature_that_is_not_finite_is_told_as_such(model, batch):
    def bent(outputs, y):  # its slope is 1 here, its second derivative infinite
        return outputs.sum() + (outputs - outputs.detach()).clamp(min=0).pow(1.5).sum()

    with pytest.raises(NumericalError, match="left all bounds"):
        spectral_loss_split(model, *batch, loss=bent)
