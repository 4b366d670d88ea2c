"""As a method of POT and a step of skada: the contracts of the real packages."""

import pickle

import numpy as np
import pytest
import torch
from domains_made import spurious

from overparam.transport import (
    DiscriminantTransport,
    DiscriminantTransportAdapter,
    DiscriminantTransportClassifier,
)

ot = pytest.importorskip("ot", reason="needs pip install 'overparam[transport]'")


@pytest.fixture(scope="module")
def task():
    return spurious(0)


@pytest.fixture(scope="module")
def fitted(task):
    x, y, target, _ = task
    return DiscriminantTransport().fit(Xs=x, ys=y, Xt=target)


def test_it_is_a_transport_of_pot(task, fitted):
    x, y, target, _ = task
    assert isinstance(fitted, ot.da.BaseTransport)
    assert fitted.cost_.shape == fitted.coupling_.shape == (len(x), len(target))
    np.testing.assert_allclose(fitted.mu_s.sum(), 1)
    np.testing.assert_allclose(fitted.transform_labels(y).sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(fitted.transform_labels(y).argmax(1), fitted.labels_path_[-1])
    again = DiscriminantTransport(**fitted.get_params())
    assert again.set_params(theta=0.0).theta == 0.0
    moved = again.fit_transform(Xs=x, ys=y, Xt=target)
    assert moved.shape == x.shape


def test_rows_move_to_their_partners(task, fitted):
    x, _, target, _ = task
    plan = fitted.coupling_
    moved = plan @ target / plan.sum(1, keepdims=True)
    np.testing.assert_allclose(fitted.transform(Xs=x), moved, atol=1e-12)
    back = plan.T @ x / plan.sum(0)[:, None]
    np.testing.assert_allclose(fitted.inverse_transform(Xt=target), back, atol=1e-12)


def test_new_rows_move_with_the_nearest_in_the_learned_directions(task, fitted):
    x, _, target, _ = task
    # A step that the directions do not see must not change whose move is made.
    hidden = np.linalg.svd(fitted.components_.T)[2][-1] * 50
    np.testing.assert_allclose(
        fitted.transform(Xs=x[:3] + hidden), fitted.transform(Xs=x)[:3] + hidden, atol=1e-9
    )
    moved = fitted.inverse_transform(Xt=target[:3] + hidden)
    np.testing.assert_allclose(moved, fitted.inverse_transform(Xt=target)[:3] + hidden, atol=1e-9)


def test_tensors_come_back_as_tensors(task, fitted):
    x, y, target, _ = task
    found = DiscriminantTransport().fit(
        Xs=torch.tensor(x), ys=torch.tensor(y), Xt=torch.tensor(target)
    )
    moved = found.transform(Xs=torch.tensor(x))
    assert isinstance(moved, torch.Tensor)
    np.testing.assert_allclose(moved.numpy(), fitted.transform(Xs=x), atol=1e-9)
    assert found.transform(Xs=torch.tensor(x[:2] + 0.1)).shape == (2, x.shape[1])


def test_known_labels_of_the_target_are_kept(task):
    x, y, target, right = task
    known = np.where(np.arange(len(right)) % 4 == 0, right, -1)
    found = DiscriminantTransport().fit(Xs=x, ys=y, Xt=target, yt=known)
    labels = found.labels_path_[-1]
    np.testing.assert_array_equal(labels[known >= 0], right[known >= 0])
    without = DiscriminantTransport().fit(Xs=x, ys=y, Xt=target).labels_path_[-1]
    unknown = known < 0
    assert (labels == right)[unknown].mean() >= (without == right)[unknown].mean() - 0.02


def test_it_pickles(task, fitted):
    x = task[0]
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(Xs=x), fitted.transform(Xs=x))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ys": None}, r"ys=\.\.\."),
        ({"Xt": None}, r"Xt=\.\.\."),
        ({"ys": np.r_[-1, np.zeros(99)]}, "unknown label"),
        ({"ys": np.zeros(7)}, "more than one class"),
        ({"ys": np.arange(7)}, "100 labels"),
        ({"yt": np.full(100, 9)}, "a label that the source has"),
        ({"yt": np.zeros(3)}, "100 labels"),
        ({"Xt": np.ones((4, 3))}, "a table of 20 columns"),
        ({"Xs": np.full((100, 20), np.nan)}, "NaN"),
    ],
)
def test_a_bad_fit_gets_one_error(changes, words, task):
    x, y, target, _ = task
    with pytest.raises(ValueError, match=words):
        DiscriminantTransport().fit(**{"Xs": x, "ys": y, "Xt": target, **changes})


def test_what_is_not_fitted_says_so():
    with pytest.raises(RuntimeError, match="call fit first"):
        DiscriminantTransport().transform(Xs=np.ones((2, 2)))


@pytest.fixture
def skada():
    """The package, whose import switches the routing of metadata on for all of scikit-learn."""
    import sklearn

    before = sklearn.get_config()["enable_metadata_routing"]
    found = pytest.importorskip("skada", reason="needs pip install skada")
    sklearn.set_config(enable_metadata_routing=True)
    yield found
    sklearn.set_config(enable_metadata_routing=before)


def packed(task):
    x, y, target, _ = task
    domains = np.repeat([1, -2], [len(x), len(target)])
    return np.concatenate([x, target]), np.r_[y, np.full(len(target), -1)], domains


def test_the_adapter_is_a_step_of_skada(task, skada):
    from sklearn.linear_model import LogisticRegression

    x, y, target, right = task
    rows, labels, domains = packed(task)
    plain = LogisticRegression(max_iter=2000).fit(x, y).score(target, right)
    pipeline = skada.make_da_pipeline(
        DiscriminantTransportAdapter(), LogisticRegression(max_iter=2000)
    )
    pipeline.fit(rows, labels, sample_domain=domains)
    assert pipeline.score(target, right) > plain + 0.1
    assert np.isin(pipeline.predict(target), range(5)).all()


def test_the_classifier_ends_a_pipeline_of_skada(task, skada):
    from sklearn.preprocessing import StandardScaler

    x, y, target, right = task
    rows, labels, domains = packed(task)
    pipeline = skada.make_da_pipeline(StandardScaler(), DiscriminantTransportClassifier(warn=False))
    pipeline.fit(rows, labels, sample_domain=domains)
    alone = DiscriminantTransportClassifier().fit(x, y)
    assert pipeline.score(target, right) > alone.score(target, right) + 0.1


def test_the_transport_is_a_mapping_of_skada(task, skada):
    from skada._mapping import BaseOTMappingAdapter
    from sklearn.linear_model import LogisticRegression

    class Mapping(BaseOTMappingAdapter):
        def _create_transport_estimator(self):
            return DiscriminantTransport()

    _, _, target, right = task
    rows, labels, domains = packed(task)
    pipeline = skada.make_da_pipeline(Mapping(), LogisticRegression(max_iter=2000))
    pipeline.fit(rows, labels, sample_domain=domains)
    assert pipeline.score(target, right) > 0.6


def test_the_adapter_projects_each_domain_from_its_own_mean(task):
    rows, labels, domains = packed(task)
    adapter = DiscriminantTransportAdapter()
    projected = adapter.fit_transform(rows, labels, sample_domain=domains)
    np.testing.assert_allclose(projected[domains > 0].mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(projected[domains < 0].mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(adapter.transform(task[2]), projected[domains < 0])
    np.testing.assert_allclose(adapter.fit_transform(rows, labels), projected)


@pytest.mark.parametrize(
    ("domains", "words"),
    [(np.ones(200), "rows of a target"), (-np.ones(200), "rows of a source"),
     (np.ones(3), "each of 200 rows"), (["a"] * 200, "each of 200 rows")],
)  # fmt: skip
def test_a_bad_domain_gets_one_error(domains, words, task):
    rows, labels, _ = packed(task)
    with pytest.raises(ValueError, match=words):
        DiscriminantTransportAdapter().fit_transform(rows, labels, sample_domain=domains)
