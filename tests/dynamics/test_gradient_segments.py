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


def test_dominance_at_initialisation_is_the_majority():
    # With p = 1/C and equal inputs within a class, ρ of a class is the ratio of its counts.
    x = torch.eye(2, dtype=torch.float64)[[0] * 10 + [1] * 8]
    y = torch.tensor([0] * 8 + [1] * 2 + [1] * 6 + [0] * 2)
    true = torch.tensor([0] * 10 + [1] * 8)
    model = nn.Linear(2, 2, bias=False).double()
    nn.init.zeros_(model.weight)
    found = clean_dominance(model, x, y, nn.functional.cross_entropy, y == true, classes=true)
    torch.testing.assert_close(found.per_class, torch.tensor([4.0, 3.0]).double())
    torch.testing.assert_close(found.cosines, torch.tensor([-1.0, -1.0]).double())
    # The two classes see orthogonal inputs: lengths add as squares, 8² + 6² against 2² + 2².
    assert found.total == pytest.approx((100 / 8) ** 0.5)
    assert found.cosine == pytest.approx(-28 / 800**0.5)


def test_dominance_with_several_wrong_labels_starts_at_its_prediction():
    # 18 clean and 2 wrong samples of one class among 3: ρ = (1−δ)(C−1)/δ with δ = 0.1.
    x, y = torch.ones(20, 1, dtype=torch.float64), torch.tensor([0] * 18 + [1, 2])
    model = nn.Linear(1, 3, bias=False).double()
    nn.init.zeros_(model.weight)
    found = clean_dominance(model, x, y, nn.functional.cross_entropy, y == 0)
    assert found.total == pytest.approx(0.9 * 2 / 0.1)
    assert found.cosine == pytest.approx(-1)


def test_dominance_equals_sums_over_samples(problem):
    model, x, y = problem
    rows = per_sample(model, x, y, nn.functional.cross_entropy)
    clean = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1, 0], dtype=torch.bool)
    classes = torch.tensor([0, 0, 0, 2, 2, 2, 3, 3, 3])
    found = clean_dominance(model, x, y, nn.functional.cross_entropy, clean, classes=classes)
    good, bad = rows[clean].sum(0), rows[~clean].sum(0)
    assert found.total == pytest.approx(float(good.norm() / bad.norm()), rel=1e-10)
    assert found.cosine == pytest.approx(float(nn.functional.cosine_similarity(good, bad, dim=0)))
    assert math.isnan(found.per_class[1])
    for c in (0, 2, 3):
        good, bad = rows[clean & (classes == c)].sum(0), rows[~clean & (classes == c)].sum(0)
        torch.testing.assert_close(found.per_class[c], good.norm() / bad.norm())


def test_dominance_without_one_of_the_segments(problem):
    model, x, y = problem
    loss = nn.functional.cross_entropy
    every = torch.ones(9, dtype=torch.bool)
    clean = clean_dominance(model, x, y, loss, every, classes=y)
    assert clean.total == math.inf
    assert math.isnan(clean.cosine)
    assert (clean.per_class == math.inf).all()
    assert clean_dominance(model, x, y, loss, ~every).total == 0


def test_means_per_segment_would_hide_the_majority():
    x, y = torch.ones(10, 1, dtype=torch.float64), torch.tensor([0] * 8 + [1] * 2)
    model = nn.Linear(1, 2, bias=False).double()
    nn.init.zeros_(model.weight)
    found = segment_gradients(model, x, y, nn.functional.cross_entropy, y)
    # A mean over each segment has the same length in both; a proxy of them starts at 1.
    means = found.norms * 10 / torch.tensor([8, 2])
    torch.testing.assert_close(means[0], means[1])
    assert clean_dominance(model, x, y, nn.functional.cross_entropy, y == 0).total > 3.9


class ReverseOnly(torch.autograd.Function):
    """A square without a forward-mode formula."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, *gradient):
        return 2 * ctx.saved_tensors[0] * gradient[0]


class Fused(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(5, 4).double(), nn.Linear(4, 3).double()

    def forward(self, x):
        return self.second(ReverseOnly.apply(self.first(x)))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.layers = nn.Sequential(nn.Unflatten(1, (5, 1)), nn.Linear(1, 8), layer)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.layers(x).mean(1))


@pytest.mark.parametrize("kind", [Fused, Attention])
def test_alignment_where_forward_mode_is_lacking(problem, kind):
    _, x, y = problem
    torch.manual_seed(2)
    model = kind().double().eval()
    rows = per_sample(model, x, y, nn.functional.cross_entropy)
    found = gradient_alignment(model, x, y, nn.functional.cross_entropy)
    torch.testing.assert_close(found, rows @ rows.mean(0), rtol=1e-9, atol=1e-11)


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
        (
            lambda m, x, y: clean_dominance(m, x, y, nn.CrossEntropyLoss(), y == 0, classes=-y),
            "classes=...",
        ),
    ],
)
def test_bad_input(problem, call, where):
    with pytest.raises(ValueError, match=where):
        call(*problem)
