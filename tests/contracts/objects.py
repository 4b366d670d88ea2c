"""Calls of what keeps a state: optimizers, schedulers, monitors, estimators, solvers."""

import importlib.util
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calls import TRAINED, Call, Made, X, Y, array, call, matrix, network
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from overparam import (
    clustering,
    diagnose,
    diagnosis,
    dynamics,
    expansions,
    kernels,
    optim,
    search,
    suggest_lr,
    tangents,
)
from overparam.dynamics.probes.norms import Norms


def method(make: Any, name: str, **arguments: Any) -> Call:
    """A method of an object, which is made anew for every call."""

    def used(of: Any, **given: Any) -> Any:
        return getattr(of, name)(**given)

    kind = type(make(torch.Generator().manual_seed(0))).__name__
    made = call(used, of=make, **arguments)
    return made._replace(name=f"{kind}.{name}", changes=("of",))


# Optimizers and schedules.


def graded(first: Tensor, second: Tensor) -> list[nn.Parameter]:
    """Parameters that have a gradient."""
    params = [nn.Parameter(first), nn.Parameter(second)]
    for p in params:
        p.grad = p.detach().cos()
    return params


PARAMS = Made(graded, first=matrix(3), second=matrix(2, 2))
MASS = Made(
    lambda params: optim.MaSS([{"params": [p]} for p in params], lr=0.1),
    params=PARAMS,
)
TENSORS = Made(lambda first, second: [first, second], first=matrix(3), second=matrix(2, 2))
ZEROS = Made(lambda: [torch.zeros(3).double(), torch.zeros(2, 2).double()])


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)


def rate() -> float:
    return 0.5


SCHEDULE = Made(lambda: dynamics.CatapultScheduler(sgd(), rate, warmup=1))
OPTIMIZERS = [
    call(
        optim.MaSS,
        params=PARAMS, lr=0.1, alpha=0.05, kappa_t=3.0, weight_decay=0.01, maximize=False,
        foreach=None, fused=None, differentiable=False,
    ),
    call(optim.MaSS.from_nesterov, params=PARAMS, lr=0.1, momentum=0.9, kappa_t=2.0),
    call(optim.MaSS.from_eta_gamma, params=PARAMS, eta1=0.5, eta2=0.25, gamma=0.6),
    call(
        diagnosis.mass_for_model,
        model=network, data=Made(lambda x, y: [(x, y)], x=X, y=Y), loss=mse_loss,
        steps=5, share=0.9, probe_steps=2,
    ),
    method(MASS, "step"),  # what its closure raises is the user's own
    method(MASS, "reset_momentum"),
    method(MASS, "add_param_group", param_group=Made(lambda p: {"params": p}, p=PARAMS))._replace(
        changes=("of", "param_group")
    ),
    call(
        optim.mass_step,
        params=TENSORS, grads=TENSORS, buffers=ZEROS, lr=0.1, alpha=0.2, kappa_t=2.0,
        weight_decay=0.01, maximize=False, foreach=None, fused=None,
    )._replace(changes=("params", "buffers")),
    call(
        dynamics.CatapultScheduler,
        optimizer=Made(sgd), critical_lr=rate, n_catapults=2, mult=1.2, rest=0.5, warmup=2,
        cooldown=2, peak=1.5, patience=5, attempts=2,
    )._replace(changes=("optimizer",)),
    method(SCHEDULE, "step", loss=0.5),
    method(SCHEDULE, "load_state_dict", state_dict=Made(lambda: SCHEDULE(_DRAW).state_dict())),
]  # fmt: skip
_DRAW = torch.Generator()


# What watches a run.


def watching(**options: Any) -> dynamics.Monitor:
    """A monitor of a model that stays as it is, in its third step."""
    optimizer = torch.optim.SGD(TRAINED.parameters(), lr=0.1)
    monitor = dynamics.Monitor(
        TRAINED, mse_loss, optimizer, probes=[Norms()], max_overhead=float("inf"), **options
    )
    for _ in range(2):
        monitor.step(0.5)
    return monitor


BATCH = Made(lambda x, y: (x, y), x=X, y=Y)
MONITOR = Made(watching)
LOGITS = matrix(5, 3)
IDS = Made(lambda: torch.arange(5))


def scoring() -> dynamics.LabelNoiseScorer:
    scorer = dynamics.LabelNoiseScorer(5, 3)
    scorer.update(torch.eye(5)[:, :3], torch.tensor([0, 1, 2, 0, 0]), torch.arange(5))
    return scorer


SCORER = Made(scoring)
GIVEN = Made(lambda: torch.tensor([0, 1, 2, 0, 0]))
COUNTER = Made(dynamics.CatapultCounter)
STOP = Made(lambda: dynamics.CleanPriorityStop(3))
AIMING = Made(lambda w: _recorded(w), w=matrix(3))


def _recorded(w: Tensor) -> dynamics.AimingMonitor:
    monitor = dynamics.AimingMonitor(lambda w: w.square().sum(), steps=[0, 1])
    monitor.record(0, w)
    return monitor


WATCHING = [
    call(
        dynamics.Monitor,
        model=TRAINED, loss=mse_loss,
        optimizer=Made(lambda: torch.optim.SGD(TRAINED.parameters(), lr=0.1)),
        probes=[Norms()], probe_batch=BATCH, max_overhead=0.1, sink=None, file=None,
        n_classes=None, n_samples=None, forward=None, grad_scale=None, window=25, seed=0,
    ),
    method(MONITOR, "step", loss_value=0.5, batch=BATCH, ids=IDS, logits=None),
    method(MONITOR, "epoch_end"),
    method(MONITOR, "close"),
    method(MONITOR, "load_state_dict", state=Made(lambda: watching().state_dict())),
    method(SCORER, "update", logits=LOGITS, labels=GIVEN, ids=IDS),
    method(SCORER, "update_alignment", alignment=matrix(5), ids=IDS),
    method(
        Made(lambda: dynamics.LabelNoiseScorer(5, None)),
        "update_losses", losses=Made(lambda v: v.abs(), v=matrix(5)), ids=IDS,
    ),
    method(SCORER, "end_epoch", rho=1.0),
    method(SCORER, "scores", method="aum"),
    method(SCORER, "mixture", method=None),
    method(SCORER, "issues", method=None),
    method(SCORER, "load_state_dict", state=Made(lambda: scoring().state_dict())),
    method(COUNTER, "update", loss=0.5),
    method(COUNTER, "load_state_dict", state=Made(lambda: dynamics.CatapultCounter().state_dict())),
    method(STOP, "step", losses=array(40)),
    method(STOP, "update", mean_losses=array(40), losses=array(40), random_share=0.1, rho=1.0),
    method(AIMING, "record", step=1, w=matrix(3)),
    method(AIMING, "finalize", final=matrix(3), infimum=-1.0),
]  # fmt: skip


# Estimators and solvers. Their tables go through scikit-learn's own validation too, whose words
# are as clear as ours and known to whoever uses scikit-learn: either will do, but nothing else.


TABLE, TARGET = array(12, 3), array(12)
LABELS = Made(lambda: np.arange(12) % 3)
WEIGHTS = Made(lambda w: w + 0.1, w=array(12))
MACHINE: dict[str, Any] = {
    "kernel": "laplace", "bandwidth": 2.0, "alpha": 0.1, "n_iter": 1, "weight_floor": 0.01,
    "solver": "auto", "agop_samples": 10, "validation_fraction": 0.1, "early_stopping": True,
    "standardize": True, "categorical_features": None, "device": None, "dtype": "auto",
    "random_state": 0, "progress": False,
}  # fmt: skip
RFM = {
    **MACHINE, "p": 2.0, "q": 1.0, "feature_matrix": "full", "agop_power": 0.5,
    "center_gradients": False, "normalize": "max",
}  # fmt: skip
CLASSES: dict[str, Any] = {"class_weight": None, "exponent": "auto"}
ENSEMBLE = {
    name: value for name, value in MACHINE.items()
    if name not in ("kernel", "bandwidth", "weight_floor")
}  # fmt: skip
# Without `n_jobs`, which would start processes.
TREE: dict[str, Any] = {
    "estimator": None, "max_leaf_size": 8, "min_leaf_size": 2, "split": "agop",
    "split_estimator": None, "split_samples": 10, "split_temperature": 0.5,
    "validation_fraction": 0.2, "random_state": 0,
}  # fmt: skip


def estimator(kind: str, options: dict[str, Any]) -> list[Call]:
    """A whole use of it, and every method on one that is fitted and on one that is not."""
    make, machine = getattr(kernels, kind), "Tree" not in kind
    classifies = "Classifier" in kind
    y = LABELS if classifies else TARGET

    def used(X: Any, y: Any, **options: Any) -> Any:
        weights = {"sample_weight": options.pop("sample_weight")} if machine else {}
        fitted = make(**options).fit(X, y, **weights)
        return fitted.predict_proba(X) if classifies else fitted.predict(X)

    weights = {"sample_weight": WEIGHTS} if machine else {}
    few: dict[str, Any] = {"n_iter": 1, "bandwidth": 2.0, "alpha": 0.1}
    if "Ensemble" in kind:
        few = {"n_iter": 1, "alpha": 0.1}
    if not machine:
        quick = kernels.RFMRegressor(n_iter=0, bandwidth=2.0, alpha=0.1)
        leaf = kernels.RFMClassifier(n_iter=0, bandwidth=2.0, alpha=0.1) if classifies else quick
        few = {"max_leaf_size": 8, "estimator": leaf, "split_estimator": quick}
        options = {**options, **few}
    fitted = Made(lambda X, y: make(**few).fit(X, y), X=TABLE, y=y)
    unfitted = Made(lambda: make(**few))
    methods = [
        method(fitted, "fit", X=TABLE, y=y, **weights),
        method(unfitted, "fit", X=TABLE, y=y, **weights),
        method(fitted, "predict", X=TABLE),
        *([method(fitted, "predict_proba", X=TABLE)] if classifies else []),
        *([method(fitted, "predict_log_proba", X=TABLE)] if classifies and machine else []),
        *([] if machine else [method(fitted, "apply", X=TABLE)]),
    ]
    if machine:
        pair = Made(lambda X, y: (X, y), X=TABLE, y=y)
        methods += [
            method(fitted, "fit", X=TABLE, y=y, eval_set=pair),
            method(fitted, "gradient", X=TABLE),
            method(fitted, "importance_interval", level=0.9, n_resamples=5, seed=0),
        ]
    whole = call(used, X=TABLE, y=y, **weights, **options)._replace(name=kind)
    return [each._replace(validated=True) for each in (whole, *methods)]


SOLVER = Made(
    lambda x, y: kernels.EigenProSolver(kernels.Gaussian(2.0)).fit(x, y, epochs=2), x=X, y=Y
)
FRESH = Made(lambda: kernels.EigenProSolver(kernels.Gaussian(2.0)))
PREDICTOR = Made(kernels.KernelPredictor, kernel=kernels.Gaussian(2.0), centres=X, dual=Y)
CODES = Made(lambda: kernels.ClassCodes.of(np.array([0, 1, 2, 1])))
SOLVERS = [
    *estimator("RFMRegressor", RFM),
    *estimator("RFMClassifier", RFM | CLASSES),
    *estimator("IRKMRegressor", MACHINE),
    *estimator("IRKMClassifier", MACHINE | CLASSES),
    *estimator("KernelEnsembleRegressor", ENSEMBLE),
    *estimator("KernelEnsembleClassifier", ENSEMBLE | CLASSES),
    *estimator("AGOPTreeRegressor", TREE),
    *estimator("AGOPTreeClassifier", TREE),
    method(SOLVER, "fit", x=X, targets=Y, epochs=2, tolerance=0.0, progress=False),
    method(FRESH, "fit", x=X, targets=Y, epochs=2, tolerance=0.0, progress=False),
    method(SOLVER, "partial_fit", x=X, targets=Y),
    method(FRESH, "partial_fit", x=X, targets=Y),
    method(SOLVER, "predict", x=X),
    method(PREDICTOR, "gradient", x=X),
    method(CODES, "targets", labels=Made(lambda: np.array([0, 1, 2, 1]))),
    method(CODES, "probabilities", outputs=array(4, 2)),
]


# Clusterings.

K_MEANS: dict[str, Any] = {
    "n_clusters": 3, "init": "k-means++", "n_init": 1, "max_iter": 20, "tol": 1e-4,
    "random_state": 0,
}  # fmt: skip
BREGMAN = {"divergence": "kl", "side": "right", "smoothing": 0.5}
CLUSTERERS = {
    "BregmanKMeans": {**K_MEANS, **BREGMAN, "algorithm": "auto", "device": None},
    "MiniBatchBregmanKMeans": {
        **K_MEANS, **BREGMAN, "batch_size": 6, "max_no_improvement": 5, "init_size": 12,
        "reassignment_ratio": 0.1,
    },
    "SphericalKMeans": K_MEANS,
    "BregmanMixture": {
        "n_components": 2, "divergence": "kl", "dispersion": "auto", "smoothing": 0.5,
        "init_params": "kmeans", "n_init": 1, "max_iter": 20, "tol": 1e-3, "random_state": 0,
    },
}  # fmt: skip


def clusterer(kind: str, options: dict[str, Any]) -> list[Call]:
    """A whole use of it, and every method on one that is fitted and on one that is not."""
    make = getattr(clustering, kind)

    def used(X: Any, sample_weight: Any, **options: Any) -> Any:
        return make(**options).fit(X, sample_weight=sample_weight).predict(X)

    fitted = Made(lambda X: make(**options).fit(X), X=TABLE)
    methods = [
        method(fitted, "fit", X=TABLE, sample_weight=WEIGHTS),
        method(Made(lambda: make(**options)), "fit", X=TABLE, sample_weight=WEIGHTS),
        method(fitted, "fit_predict", X=TABLE, sample_weight=WEIGHTS),
        *(
            method(fitted, name, X=TABLE)
            for name in ("predict", "transform", "score", "predict_proba", "score_samples")
            if hasattr(make, name)
        ),
    ]
    if hasattr(make, "partial_fit"):
        methods.append(method(fitted, "partial_fit", X=TABLE, sample_weight=WEIGHTS))
    whole = call(used, X=TABLE, sample_weight=WEIGHTS, **options)._replace(name=kind)
    return [each._replace(validated=True) for each in (whole, *methods)]


CLUSTERINGS = [each for kind, options in CLUSTERERS.items() for each in clusterer(kind, options)]


# Models that are objects of their own.

LINE = Made(expansions.LineNetwork, u=matrix(4), v=matrix(4))
MODELS = [
    call(expansions.LineNetwork.random, width=4, seed=0),
    method(LINE, "eigenvalues", x=matrix(5)),
    method(LINE, "descend", x=matrix(5), y=matrix(5), lr=0.01, steps=3, gates="moving"),
]


# Whole jobs.

_folder = tempfile.TemporaryDirectory()
_number = count()


def _place() -> Path:
    return Path(_folder.name) / f"{next(_number)}.npy"


class Accepted(Exception):
    """Everything has been looked at, and the work would begin."""


def _begun(stage: str, done: float) -> None:
    raise Accepted


def accepted(job: Callable[..., Any], **arguments: Any) -> None:
    """A job up to its first measurement; all else is a matter of time."""
    try:
        job(progress=_begun, **arguments)
    except Accepted:
        return
    raise AssertionError("it ended without a word of progress")


# What a diagnosis and the finder of rates both take.
TRAINING = {
    "model": Made(lambda m: m.float(), m=network),
    "data": Made(lambda x, y: (x.float(), y.float()), x=matrix(20, 3), y=matrix(20, 2)),
    "loss": "mse", "optimizer": None, "epochs": None, "budget": "5s", "batch_size": 4,
    "schedule": None, "clip_norm": None, "accumulate": 1, "seed": 0, "device": None,
    "command": None,
}  # fmt: skip


def diagnosed(**arguments: Any) -> None:
    """A diagnosis that is accepted."""
    accepted(diagnose, **arguments)


def suggested(**arguments: Any) -> None:
    """A race for a learning rate that is accepted."""
    accepted(suggest_lr, **arguments)


JOBS = [
    call(diagnosed, **TRAINING, max_steps=1)._replace(name="diagnose"),
    call(suggested, **TRAINING, steps=12, longest=None)._replace(name="suggest_lr"),
    # Without `n_jobs`, which would start processes.
    *(
        call(
            to_file, model=network, x1=X, x2=X, path=Made(_place), names=None, tile=4,
            memory=2**20, progress=False,
        )
        for to_file in (
            tangents.empirical_ntk_to_file,
            tangents.empirical_ntk_blocks_to_file,
            tangents.sum_of_logits_ntk_to_file,
        )
    ),
]  # fmt: skip

# Searches.


def asked() -> search.SACSearch:
    """A search that an agent proposes points of."""
    made = search.SACSearch(2, n_startup=1, seed=0, settings=SMALL)
    made.tell(np.zeros(2), 1.0)
    return made


SMALL = search.SACSettings(updates=1, hidden=4, batch_size=4)
SEARCH = Made(asked)
SEARCHES = [
    call(search.SACSearch, dimension=2, n_startup=1, budget=5, seed=0, settings=SMALL),
    method(SEARCH, "ask"),
    method(SEARCH, "tell", point=array(2), score=0.5),
]
if importlib.util.find_spec("optuna"):
    TABLE = {"X": array(12, 3), "y": array(12), "n_trials": 1, "cv": 2, "scoring": None, "seed": 0}
    SEARCHES += [
        call(search.SACSampler, n_startup_trials=1, n_trials=5, seed=0, settings=SMALL),
        call(search.tune, estimator=kernels.RFMRegressor(n_iter=1), space=None, **TABLE)._replace(
            validated=True
        ),
    ]

ALL = [*OPTIMIZERS, *WATCHING, *SOLVERS, *CLUSTERINGS, *MODELS, *JOBS, *SEARCHES]
