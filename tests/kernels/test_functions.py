"""Kernels against their formulas, gradients against automatic differentiation."""

import math

import pytest
import torch
from torch.func import jacrev, vmap

from overparam.kernels import (
    Custom,
    DotExponential,
    Gaussian,
    KernelPredictor,
    Laplace,
    Lpq,
    Quadratic,
    matrix_power_psd,
    predictor_agop,
    predictor_agop_diagonal,
)
from overparam.kernels._pairs import BLOCK

N, D, C = 23, 5, 3


def root(matrix):
    if matrix is None:
        return torch.eye(D, dtype=torch.float64)
    if matrix.ndim == 1:
        return torch.diag(matrix.sqrt())
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def distance(u, v):
    return (u - v).square().sum().sqrt()


def by_lpq(p, q, bandwidth):
    return lambda u, v: torch.exp(-(((u - v).abs() ** p).sum() ** (q / p)) / bandwidth**q)


# A kernel, and its formula for two points that S = M^{1/2} was applied to.
KERNELS = {
    "laplace": (Laplace(3.0), lambda u, v: torch.exp(-distance(u, v) / 3)),
    "gaussian": (Gaussian(2.0), lambda u, v: torch.exp(-(distance(u, v) ** 2) / 8)),
    "quadratic": (Quadratic(), lambda u, v: (u @ v) ** 2),
    "dot": (DotExponential(4.0), lambda u, v: torch.exp(u @ v / 4)),
    **{
        f"lpq {p} {q}": (Lpq(2.0, p, q), by_lpq(p, q, 2.0))
        for p, q in ((2.0, 1.0), (1.5, 1.2), (1.0, 0.8), (1.3, 1.3), (1.0, 1.0), (0.8, 0.7))
    },
    "custom": (
        Custom(lambda x, z: torch.exp(-torch.cdist(x, z).square() / 8)),
        lambda u, v: torch.exp(-(distance(u, v) ** 2) / 8),
    ),
}
PAIRED = ("laplace", "gaussian", "quadratic", "dot")
every_kernel = pytest.mark.parametrize("name", KERNELS)
every_form = pytest.mark.parametrize("form", ["identity", "diagonal", "full"])


@pytest.fixture
def points(generator):
    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    square = draw(D, D)
    forms = {"identity": None, "diagonal": draw(D).square(), "full": square @ square.T / D}
    return draw(N, D), draw(7, D), draw(N, C), forms


def predicted(formula, centres, dual, matrix):
    mapped = centres @ root(matrix)

    def predict(u):
        values = [formula(u @ root(matrix), centre) for centre in mapped]
        return torch.stack(values) @ dual

    return predict


@every_kernel
@every_form
def test_values_and_gradients_are_those_of_the_formula(name, form, points):
    kernel, formula = KERNELS[name]
    x, z, dual, forms = points
    predict = predicted(formula, x, dual, forms[form])
    predictor = KernelPredictor(kernel, x, dual, forms[form])
    torch.testing.assert_close(predictor(z), vmap(predict)(z), rtol=1e-9, atol=1e-9)
    dense = vmap(jacrev(predict))(z)
    torch.testing.assert_close(predictor.gradient(z), dense, rtol=1e-9, atol=1e-9)
    pairs = kernel.matrix(z, x, forms[form]) @ dual
    torch.testing.assert_close(predictor(z), pairs, rtol=1e-12, atol=1e-12)


@every_kernel
def test_a_kernel_matrix_is_symmetric_with_its_exact_diagonal(name, points):
    kernel, _ = KERNELS[name]
    x, _, _, forms = points
    matrix = kernel.matrix(x, None, forms["full"])
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(matrix.diagonal(), kernel.diagonal(x, forms["full"]))
    assert torch.linalg.eigvalsh(matrix).min() > -1e-9


@pytest.mark.parametrize("name", ["laplace", "lpq 1.0 0.8", "lpq 1.5 1.2"])
def test_at_a_centre_its_own_kink_counts_nothing(name, points):
    kernel, formula = KERNELS[name]
    x, _, dual, forms = points
    got = KernelPredictor(kernel, x, dual, forms["full"]).gradient()
    for i in (0, 5):
        others = [j for j in range(N) if j != i]
        expected = jacrev(predicted(formula, x[others], dual[others], forms["full"]))(x[i])
        torch.testing.assert_close(got[i], expected, rtol=1e-9, atol=1e-9)


def test_duplicates_and_shared_coordinates_stay_finite():
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 3.0]], dtype=torch.float64) + 1e3
    dual = torch.ones(3, 1, dtype=torch.float64)
    for kernel in (Laplace(1.0), Lpq(1.0, 0.8, 0.7), Lpq(1.0, 2.0, 1.0)):
        gradient = kernel.gradient(None, x, dual)
        assert torch.isfinite(gradient).all()
        # Both copies feel the third point only, and it feels both.
        torch.testing.assert_close(gradient[0], gradient[1])
        torch.testing.assert_close(gradient[2], -2 * gradient[0])


def test_single_precision_does_not_see_distances_that_are_rounding(generator):
    x = torch.randn(300, 20, generator=generator)
    dual = torch.randn(300, 1, generator=generator)
    single = Laplace(10.0).gradient(None, x, dual)
    double = Laplace(10.0).gradient(None, x.double(), dual.double())
    assert (single - double).norm() < 1e-4 * double.norm()
    doubled = torch.cat([x, x])  # every pair of copies is at distance 0
    halves = Laplace(10.0).gradient(None, doubled, torch.cat([dual, dual]) / 2)
    assert (halves[:300] - double).norm() < 1e-3 * double.norm()


@pytest.mark.parametrize("name", PAIRED)
@every_form
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_both_forms_of_the_agop_are_the_mean_of_outer_products(
    name, form, center, weighted, points, generator
):
    x, z, dual, forms = points
    predictor = KernelPredictor(KERNELS[name][0], x, dual, forms[form])
    for at in (None, z):
        gradients = predictor.gradient(at)
        share = torch.full((len(gradients),), 1 / len(gradients), dtype=torch.float64)
        weights = None
        if weighted:
            weights = torch.rand(len(gradients), generator=generator, dtype=torch.float64)
            share = weights / weights.sum()
        if center:
            gradients = gradients - torch.einsum("n,ncd->cd", share, gradients)
        expected = torch.einsum("n,ncd,nce->de", share, gradients, gradients)
        for method in ("gram", "streamed", "auto"):
            options = {"method": method, "center": center, "weights": weights}
            got = predictor_agop(predictor, at, **options)
            torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
            diagonal = predictor_agop_diagonal(predictor, at, **options)
            torch.testing.assert_close(diagonal, expected.diagonal(), rtol=1e-10, atol=1e-10)


def test_agop_has_the_normalisation_of_the_one_for_networks(points):
    from overparam.tangents import agop as network_agop

    x, z, dual, _ = points

    class Machine(torch.nn.Module):
        def forward(self, inputs):
            return torch.exp(-(torch.cdist(inputs, x) ** 2) / 8) @ dual

    expected = network_agop(Machine(), z)
    got = predictor_agop(KernelPredictor(Gaussian(2.0), x, dual), z)
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)


def test_blocks_never_change_a_result(points, monkeypatch):
    import overparam.kernels._pairs as pairs

    x, z, dual, forms = points
    predictor = KernelPredictor(Laplace(3.0), x, dual, forms["full"])
    whole = predictor(z), predictor.gradient(), predictor_agop(predictor, method="streamed")
    assert BLOCK > N * N
    monkeypatch.setattr(pairs, "BLOCK", 16 * N)
    parts = predictor(z), predictor.gradient(), predictor_agop(predictor, method="streamed")
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)


def test_a_power_is_that_of_the_eigenvalues(generator):
    square = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    matrix = square @ square.T  # of rank 3
    half = matrix_power_psd(matrix, 0.5)
    torch.testing.assert_close(half @ half, matrix)
    torch.testing.assert_close(matrix_power_psd(matrix, 1), matrix)
    assert matrix_power_psd(torch.tensor([-1e-9, 4.0]), 0.5).tolist() == [0, 2]


def test_gamma_and_bandwidth_say_the_same():
    assert Gaussian.from_gamma(0.08).bandwidth == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: Laplace(0), "Laplace(bandwidth=...)"),
        (lambda: Laplace("wide"), "Laplace(bandwidth=...)"),
        (lambda: Gaussian(math.nan), "Gaussian(bandwidth=...)"),
        (lambda: Gaussian.from_gamma(-1), "Gaussian.from_gamma(gamma=...)"),
        (lambda: DotExponential(-2.0), "DotExponential(scale=...)"),
        (lambda: Lpq(1.0, 1.0, 1.5), "Lpq(p=..., q=...)"),
        (lambda: Lpq(-1.0), "Lpq(bandwidth=...)"),
        (lambda: matrix_power_psd(torch.eye(2), 0), "matrix_power_psd(power=...)"),
        (
            lambda: Custom(lambda x, z: x).matrix(torch.eye(3), torch.eye(3)[:2]),
            "Custom(function=...)",
        ),
        (
            lambda: predictor_agop(
                KernelPredictor(Lpq(), torch.eye(2), torch.ones(2, 1)), method="gram"
            ),
            "predictor_agop(method='gram')",
        ),
        (
            lambda: predictor_agop(
                KernelPredictor(Laplace(), torch.eye(2), torch.ones(2, 1)), method="x"
            ),
            "predictor_agop(method=...)",
        ),
    ],
)
def test_a_wrong_argument_is_named(make, where):
    with pytest.raises(ValueError, match="expected") as error:
        make()
    assert str(error.value).startswith(f"`{where}")
