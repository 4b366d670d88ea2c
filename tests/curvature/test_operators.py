"""Products with the curvature of a loss, against autograd's full matrices."""

import pytest
import torch
from torch import Tensor, nn

from overparam.curvature import GGNOperator, HessianOperator
from overparam.errors import NumericalError
from overparam.optim import critical_learning_rate


def tiny(kind: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(3)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double(), torch.randn(
            7, 3, dtype=torch.float64
        )
    if kind == "convolution":
        model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Softplus(), nn.Flatten(), nn.Linear(8, 3))
        return model.double(), torch.randn(7, 1, 3, 3, dtype=torch.float64)
    layer = nn.TransformerEncoderLayer(4, 2, 5, dropout=0.1, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(8, 3)).double().eval()
    return model, torch.randn(7, 2, 4, dtype=torch.float64)


def dense_ggn(model: nn.Module, x: Tensor, y: Tensor, loss) -> Tensor:
    """JᵀHJ with both factors formed by autograd."""
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    values = [dict(model.named_parameters())[name].detach() for name in names]

    def outputs(*values: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (x,))

    with torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]):
        parts = torch.autograd.functional.jacobian(outputs, tuple(values))
        point = outputs(*values)
    jacobian = torch.cat([part.reshape(point.numel(), -1) for part in parts], dim=1)
    curvature = torch.autograd.functional.hessian(
        lambda flat: loss(flat.view_as(point), y), point.flatten()
    )
    return jacobian.T @ curvature @ jacobian


LOSSES = {
    "mean squared": (nn.MSELoss(), False),
    "half sum": (lambda f, y: (f - y).square().sum() / 2, False),
    "cross-entropy": (nn.CrossEntropyLoss(), True),
    "smoothed sum": (nn.CrossEntropyLoss(reduction="sum", label_smoothing=0.1), True),
}


def targets(labels: bool) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    if labels:
        return torch.randint(3, (7,), generator=generator)
    return torch.randn(7, 3, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("kind", ["mlp", "convolution", "attention"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("chunk_size", [None, 3, 1])
def test_gauss_newton_matches_autograd(kind: str, name: str, chunk_size: int | None) -> None:
    (model, x), (loss, labels) = tiny(kind), LOSSES[name]
    y = targets(labels)
    operator = GGNOperator(model, x, y, loss, chunk_size=chunk_size)
    vectors = torch.randn(operator.size, 2, dtype=torch.float64)
    expected = dense_ggn(model, x, y, loss) @ vectors
    for column in (0, 1):
        torch.testing.assert_close(
            operator.matvec(vectors[:, column]), expected[:, column], rtol=1e-10, atol=1e-12
        )


def test_reverse_mode_stands_in_where_forward_mode_is_missing() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * g

    class Model(nn.Module):
        def __init__(self, custom: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer, self.custom = nn.Linear(3, 2).double(), custom

        def forward(self, x: Tensor) -> Tensor:
            z = self.layer(x)
            return Cube.apply(z) if self.custom else z**3

    x, y = torch.randn(4, 3, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.float64)
    v = torch.randn(8, dtype=torch.float64)
    one, other = (GGNOperator(Model(c), x, y, nn.MSELoss()).matvec(v) for c in (True, False))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["mlp", "attention"])
def test_hessian_matches_autograd(kind: str) -> None:
    model, x = tiny(kind)
    y, loss = targets(True), nn.CrossEntropyLoss()
    names = [name for name, _ in model.named_parameters()]
    values = torch.cat([p.detach().flatten() for p in model.parameters()])

    def value(flat: Tensor) -> Tensor:
        parts = flat.split([p.numel() for p in model.parameters()])
        shaped = [q.view_as(p) for q, p in zip(parts, model.parameters(), strict=True)]
        state = dict(zip(names, shaped, strict=True))
        return loss(torch.func.functional_call(model, state, (x,)), y)

    with torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]):
        dense = torch.autograd.functional.hessian(value, values)
    operator = HessianOperator(model, x, y, loss)
    v = torch.randn(operator.size, dtype=torch.float64)
    torch.testing.assert_close(operator.matvec(v), dense @ v, rtol=1e-9, atol=1e-11)


def test_the_two_agree_for_a_linear_model_and_differ_for_another() -> None:
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    linear = nn.Linear(3, 2).double()
    v = torch.randn(8, dtype=torch.float64)
    ggn, hessian = (kind(linear, x, y, nn.MSELoss()) for kind in (GGNOperator, HessianOperator))
    torch.testing.assert_close(ggn.matvec(v), hessian.matvec(v))
    deep, _ = tiny("mlp")
    y3 = torch.randn(5, 3, dtype=torch.float64)
    v = torch.randn(31, dtype=torch.float64)
    ggn, hessian = (kind(deep, x, y3, nn.MSELoss()) for kind in (GGNOperator, HessianOperator))
    assert float((ggn.matvec(v) - hessian.matvec(v)).norm()) > 1e-3


def test_leading_eigenpairs() -> None:
    model, x = tiny("mlp")
    y = targets(True)
    operator = GGNOperator(model, x, y, nn.CrossEntropyLoss())
    dense = dense_ggn(model, x, y, nn.CrossEntropyLoss())
    found = operator.eigenpairs(3, tolerance=1e-9)
    expected = torch.linalg.eigvalsh(dense).flip(0)[:3]
    torch.testing.assert_close(found.values.double(), expected, rtol=1e-6, atol=1e-10)


def test_gradient_is_autograds() -> None:
    model, x = tiny("convolution")
    y, loss = targets(True), nn.CrossEntropyLoss()
    expected = torch.autograd.grad(loss(model(x), y), list(model.parameters()))
    at = GGNOperator(model, x, y, loss, chunk_size=2).at
    torch.testing.assert_close(at.gradient(), torch.cat([g.flatten() for g in expected]))
    assert at.value == pytest.approx(float(loss(model(x), y).detach()), rel=1e-12)


def test_frozen_parameters_and_names_select_a_block() -> None:
    model, x = tiny("mlp")
    y = targets(True)
    whole = GGNOperator(model, x, y, nn.CrossEntropyLoss())
    v = torch.randn(15, dtype=torch.float64)
    padded = torch.cat([torch.zeros(16, dtype=torch.float64), v])
    part = GGNOperator(model, x, y, nn.CrossEntropyLoss(), names=["2.weight", "2.bias"])
    torch.testing.assert_close(part.matvec(v), whole.matvec(padded)[16:])
    model[0].requires_grad_(False)
    frozen = GGNOperator(model, x, y, nn.CrossEntropyLoss())
    torch.testing.assert_close(frozen.matvec(v), part.matvec(v))
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]


X, Y = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
NORMALISED = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


class ReturnsDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(x)}


@pytest.mark.parametrize(
    ("model", "x", "y", "sentence"),
    [
        (nn.Linear(3, 3), X * float("nan"), Y, r"x=...\)` expected finite numbers"),
        (nn.Linear(3, 3), X[:0], Y[:0], "at least one example"),
        (nn.Linear(3, 3), X, Y[:3], "expected 4 examples, got 3"),
        (nn.Linear(3, 3), X, Y + 7, r"y=...\)` expected targets that the loss accepts"),
        (NORMALISED, X[:1], Y[:1], r"model=...\)` expected a model that takes the inputs"),
        (nn.Linear(3, 3).requires_grad_(False), X, Y, "at least one trainable parameter"),
    ],
)
def test_bad_input_is_told(model: nn.Module, x: Tensor, y: Tensor, sentence: str) -> None:
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=sentence):
        GGNOperator(model, x, y, nn.CrossEntropyLoss())
    for p, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(p, old)
        assert p.grad is None


def test_other_bad_input() -> None:
    with pytest.raises(TypeError, match="a model that returns one tensor, got a dict"):
        GGNOperator(ReturnsDict(), X, Y, nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="a loss that returns one number"):
        GGNOperator(nn.Linear(3, 3), X, Y, nn.CrossEntropyLoss(reduction="none"))
    with pytest.raises(NumericalError, match="a finite loss"):
        GGNOperator(nn.Linear(3, 3), X, X, lambda f, y: (f - y).sum() / 0)
    with pytest.raises(ValueError, match=r"chunk_size=...\)` expected a positive"):
        GGNOperator(nn.Linear(3, 3), X, Y, nn.CrossEntropyLoss(), chunk_size=0)


@pytest.mark.parametrize("kind", [GGNOperator, HessianOperator])
def test_the_old_name_of_eigenpairs_says_what_replaces_it(kind: type) -> None:
    model, x = tiny("mlp")
    operator = kind(model, x, targets(True), nn.CrossEntropyLoss())
    with pytest.warns(DeprecationWarning, match="is now `eigenpairs"):
        found = operator.top_eigenpairs(2)
    assert torch.equal(found.values, operator.eigenpairs(2, tolerance=1e-3).values)


def test_only_what_is_known_to_be_convex_is_marked() -> None:
    model, x = tiny("mlp")
    marks = {
        loss: GGNOperator(model, x, targets(True), loss).psd
        for loss in (nn.CrossEntropyLoss(), nn.functional.cross_entropy, lambda f, y: -f.mean())
    }
    assert list(marks.values()) == [True, True, False]
    assert not HessianOperator(model, x, targets(True), nn.CrossEntropyLoss()).psd


def test_sparse_gradients_are_those_of_dense_ones():
    torch.manual_seed(0)
    words, y = torch.randint(0, 20, (16, 3)), torch.randint(0, 3, (16,))
    found = []
    for sparse in (False, True):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Embedding(20, 4, sparse=sparse), nn.Flatten(), nn.Linear(12, 3))
        found.append(critical_learning_rate(model, words, y, nn.CrossEntropyLoss()))
    assert found[0] == pytest.approx(found[1])
