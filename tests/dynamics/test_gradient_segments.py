"""Gradients of segments against gradients taken sample by sample."""

import math

import pytest
import torch
from torch import nn

from overparam.dynamics import clean_dominance, gradient_alignment, segment_gradients


@pytest.fixture
def problem():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(9, 5, dtype=torch.float64, generator=generator)
    y = torch.randint(0, 3, (9,), generator=generator)
    return model, x, y


def per_sample(model, x, y, loss) -> torch.Tensor:
    rows = []
    for i in range(len(x)):
        gradients = torch.autograd.grad(loss(model(x[i : i + 1]), y[i : i + 1]), model.parameters())
        rows.append(torch.cat([g.flatten() for g in gradients]))
    return torch.stack(rows)


def test_alignment_equals_the_inner_products(problem):
    model, x, y = problem
    rows = per_sample(model, x, y, nn.functional.cross_entropy)
    expected = rows @ rows.mean(0)
    found = gradient_alignment(model, x, y, nn.functional.cross_entropy)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_alignment_predicts_the_change_of_each_loss(problem):
    model, x, y = problem
    loss = nn.functional.cross_entropy
    alignment = gradient_alignment(model, x, y, loss)
    each = nn.CrossEntropyLoss(reduction="none")
    before = each(model(x), y).detach()
    loss(model(x), y).backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= 1e-6 * p.grad
    change = (each(model(x), y).detach() - before) / -1e-6
    torch.testing.assert_close(change, alignment, rtol=1e-4, atol=1e-6)


def test_alignment_does_not_depend_on_the_reduction(problem):
    model, x, y = problem
    mean = gradient_alignment(model, x, y, nn.CrossEntropyLoss())
    total = gradient_alignment(model, x, y, nn.CrossEntropyLoss(reduction="sum"))
    torch.testing.assert_close(mean, total)


def test_segments_equal_sums_over_samples(problem):
    model, x, y = problem
    rows = per_sample(model, x, y, nn.functional.cross_entropy)
    segments = torch.tensor([0, 2, 2, 0, 2, 0, 0, 2, 2])
    found = segment_gradients(model, x, y, nn.functional.cross_entropy, segments)
    sums = torch.stack([rows[segments == s].sum(0) for s in range(3)]) / len(x)
    torch.testing.assert_close(found.norms, sums.norm(dim=1), rtol=1e-11, atol=1e-13)
    expected = nn.functional.cosine_similarity(sums[0], sums[2], dim=0)
    torch.testing.assert_close(found.cosines[0, 2], expected, rtol=1e-11, atol=1e-12)
    assert float(found.norms[1]) == 0
    assert math.isnan(float(found.cosines[0, 1]))


def test_dominance_at_initialisation_is_near_the_prediction():
    # With p = 1/C and orthogonal samples of equal length per class, rho of one class under
    # symmetric noise is the ratio of majorities: here 8 clean against 2 relabelled alike.
    x = torch.ones(10, 1, dtype=torch.float64)
    y = torch.tensor([0] * 8 + [1] * 2)
    model = nn.Linear(1, 2, bias=False).double()
    nn.init.zeros_(model.weight)
    rho = clean_dominance(model, x, y, nn.functional.cross_entropy, y == 0)
    assert rho == pytest.approx(4)


def test_dominance_without_one_of_the_segments(problem):
    model, x, y = problem
    loss = nn.functional.cross_entropy
    assert clean_dominance(model, x, y, loss, torch.ones(9, dtype=torch.bool)) == math.inf
    assert clean_dominance(model, x, y, loss, torch.zeros(9, dtype=torch.bool)) == 0


def test_gradients_of_the_model_are_left(problem):
    model, x, y = problem
    nn.functional.cross_entropy(model(x), y).backward()
    before = [p.grad.clone() for p in model.parameters()]
    gradient_alignment(model, x, y, nn.functional.cross_entropy)
    clean_dominance(model, x, y, nn.functional.cross_entropy, y == 0)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before, strict=True))


def test_one_output_without_an_axis():
    class Dot(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def forward(self, x):
            return x @ self.w

    x = torch.eye(2, dtype=torch.float64)
    found = gradient_alignment(Dot(), x, torch.ones(2, dtype=torch.float64), nn.MSELoss())
    torch.testing.assert_close(found, torch.full((2,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda m, x, y: gradient_alignment(m, x * math.nan, y, nn.CrossEntropyLoss()), "x=..."),
        (lambda m, x, y: gradient_alignment(m, x, y[:3], nn.CrossEntropyLoss()), "y=..."),
        (
            lambda m, x, y: segment_gradients(m, x, y, nn.CrossEntropyLoss(), y - 1),
            "segments=...",
        ),
        (lambda m, x, y: clean_dominance(m, x, y, nn.CrossEntropyLoss(), y), "clean=..."),
    ],
)
def test_bad_input(problem, call, where):
    with pytest.raises(ValueError, match=where):
        call(*problem)
