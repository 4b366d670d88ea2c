"""Calls of `overparam.transport`, where POT is installed."""

from importlib.util import find_spec

import numpy as np
from calls import Call, Made, array, call
from objects import method

from overparam import transport

HAS_POT = find_spec("ot") is not None
X, Y = array(12, 3), array(10, 4)
LABELS = Made(lambda: np.arange(12) % 3)
DOMAINS = Made(lambda: np.repeat([1, -1], [8, 4]))
OPTIONS = {
    "theta": 0.5, "mu": 1.0, "raw_share": 0.3, "reg": 0.1, "shrinkage": 0.1, "n_components": None,
    "pca_components": "auto", "center": True, "target_priors": "source", "max_iter": 3,
}  # fmt: skip
MATCHING = {
    "n_components": 2, "constraint": "whiten", "reg": 0.0, "reg_anneal": None, "init": "gw",
    "eps": 1e-3, "max_iter": 3, "tol": 1e-7, "n_init": 2, "random_state": 0,
}  # fmt: skip
CLASSIFIER = Made(
    lambda X, y, Xt: transport.DiscriminantTransportClassifier(warn=False).fit(X, y, Xt),
    X=X, y=LABELS, Xt=array(9, 3),
)  # fmt: skip
ADAPTER = Made(
    lambda X, y, d: transport.DiscriminantTransportAdapter().fit(X, y, sample_domain=d),
    X=X, y=LABELS, d=DOMAINS,
)  # fmt: skip
MATCHED = Made(lambda X, y: transport.TwoSidedProcrustes(2).fit(X, y), X=X, y=Y)
MOVED = Made(
    lambda X, y, Xt: transport.DiscriminantTransport().fit(Xs=X, ys=y, Xt=Xt),
    X=X, y=LABELS, Xt=array(9, 3),
)  # fmt: skip


def classified(X, y, Xt, **options):
    model = transport.DiscriminantTransportClassifier(warn=False, **options)
    return model.fit(X, y, Xt).predict_proba(Xt)


def adapted(X, y, sample_domain, **options):
    model = transport.DiscriminantTransportAdapter(**options)
    return model.fit_transform(X, y, sample_domain=sample_domain)


def moved(Xs, ys, Xt, **options):
    return transport.DiscriminantTransport(**options).fit(Xs=Xs, ys=ys, Xt=Xt).transform(Xs=Xs)


def matched(X, y, **options):
    return transport.TwoSidedProcrustes(**options).fit(X, y).transform(X)


def validated(made: Call, name: str = "") -> Call:
    return made._replace(validated=True, name=name or made.name)


ALL = [
    validated(
        call(classified, X=X, y=LABELS, Xt=array(9, 3), **OPTIONS),
        "DiscriminantTransportClassifier",
    ),
    validated(
        call(adapted, X=X, y=LABELS, sample_domain=DOMAINS, **OPTIONS),
        "DiscriminantTransportAdapter",
    ),
    validated(
        call(moved, Xs=X, ys=LABELS, Xt=array(9, 3), **OPTIONS, limit_max=10.0),
        "DiscriminantTransport",
    ),
    validated(call(matched, X=X, y=Y, **MATCHING), "TwoSidedProcrustes"),
    validated(call(transport.two_sided_wasserstein_procrustes, X=X, Y=Y, a=None, b=None,
                   **MATCHING)),
    validated(call(
        transport.label_agreement, source=X, labels=LABELS, target=array(9, 3),
        adapted=Made(lambda: np.arange(9) % 3),
    )),
    validated(method(CLASSIFIER, "fit", X=X, y=LABELS, Xt=array(9, 3))),
    validated(method(CLASSIFIER, "predict", X=X)),
    validated(method(CLASSIFIER, "predict_proba", X=X)),
    validated(method(ADAPTER, "transform", X=X, sample_domain=DOMAINS)),
    validated(method(MATCHED, "fit", X=X, y=Y)),
    validated(method(MATCHED, "transform", X=X)),
    validated(method(MATCHED, "score", X=X, y=Y)),
    validated(method(MOVED, "transform", Xs=X)),
    validated(method(MOVED, "inverse_transform", Xt=array(9, 3))),
] if HAS_POT else []  # fmt: skip
