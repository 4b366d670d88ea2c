"""What every public call does with good arguments and bad: a right answer or an error of ours.

`OVERPARAM_FUZZ=10000 pytest tests/contracts/test_calls.py` tries that many calls.
"""

import inspect
import math
import os
import random
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

import calls
import numpy as np
import objects
import pytest
import torch
import transported
from calls import PACKAGES, WITHOUT_CALL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import overparam
from overparam import diagnosis, dynamics, kernels, linalg, optim, tangents, transport
from overparam._errors import expect

ALL = [*calls.ALL, *objects.ALL, *transported.ALL]
EXAMPLES = int(os.environ.get("OVERPARAM_FUZZ", "100"))
# Infinite, or NaN, where the docstring says so.
INFINITE = {
    "condition_number",
    "conditioning_profile",
    "generalization_bound",
    "critical_batch_sizes",
}
DOCUMENTED = {
    "gradient_noise_scale", "noise_scale", "noise_scale_from_norms",
    "critical_learning_rate", "stability", "pl_certificate", "pl_estimate", "pl_trace",
    "sgd_step_size", "pl_down_to", "eigen_alignment", "eigen_alignments", "pool_alignments",
    "kernel_target_alignments", "network_alignment", "segment_gradients", "clean_dominance",
    "loss_mixture", "iterations_bound", "catapult_map", "LabelNoiseScorer.scores",
    "LabelNoiseScorer.mixture", "LabelNoiseScorer.issues", "LabelNoiseScorer.end_epoch",
    "CleanPriorityStop.step", "CleanPriorityStop.update", "LineNetwork.descend",
}  # fmt: skip

WRONG = pytest.mark.untyped("wrong arguments are judged by what comes back, and some do no harm")

NAN, INF = math.nan, math.inf
POISONS: list[Callable[[Any], Any]] = [
    lambda good: None,
    lambda good: "x",
    lambda good: [],
    lambda good: {},
    lambda good: NAN,
    lambda good: INF,
    lambda good: -1,
    lambda good: 0,
    lambda good: -0.5,
    lambda good: 1e300,
    lambda good: 1e-300,
    lambda good: True,
    lambda good: 1j,
    lambda good: object(),
    lambda good: torch.zeros(0),
    lambda good: torch.tensor(NAN),
    lambda good: torch.ones(2, 3, 4),
    lambda good: np.ones((2, 2)),
    lambda good: nn.Linear(7, 2),
    # As a mere function it would be called, and have shapes then.
    lambda good: nn.LazyLinear(2) if isinstance(good, nn.Module) else None,
    lambda good: nn.Linear(3, 2, device="meta"),
]
# What only arrays can be turned into.
WARPS: list[Callable[[Tensor], Any]] = [
    lambda t: t * NAN,
    lambda t: torch.where(torch.arange(t.numel()).view(t.shape) == 0, INF, t.double()),
    lambda t: t * 0,
    lambda t: t * 0 + 1,
    lambda t: t * 1e300,
    lambda t: t * 1e-300,
    lambda t: -t,
    lambda t: t[:0],
    lambda t: t[:1],
    lambda t: t[..., :0],
    lambda t: t.to(torch.complex128),
    lambda t: t.half(),
    lambda t: t.long(),
    lambda t: t > 0,
    lambda t: t.tolist(),
    lambda t: t.numpy(),
    lambda t: t.to("meta"),
    lambda t: t.to_sparse(),
    lambda t: t[None],
]


def unfinished(value: Any, infinite: bool, depth: int = 0) -> bool:
    """Whether NaN, or an infinity unless those are allowed, is anywhere in a result."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value.copy()) if value.dtype.kind in "fiub" else None
    if isinstance(value, Tensor):
        return bool(value.isnan().any()) or (not infinite and bool(value.isinf().any()))
    if isinstance(value, float):
        return math.isnan(value) or (not infinite and math.isinf(value))
    if is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, f.name) for f in fields(value)]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)) and depth < 4:
        return any(unfinished(member, infinite, depth + 1) for member in value)
    return False


def answers(
    function: Callable[..., Any], arguments: dict[str, Any], name: str = "", validated: bool = False
) -> str:
    """A finite result, or one error in the library's wording, or in that of a validation."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = function(**arguments)
    except Exception as error:
        kind = isinstance(error, (ValueError, TypeError, ArithmeticError))
        if kind and (str(error).startswith("`") or (validated and of_scikit_learn(error))):
            return "refused"
        raise AssertionError(repr(error)) from error
    if not inspect.isclass(function) and name not in DOCUMENTED:
        assert not unfinished(value, name in INFINITE), value
    return "finite"


def of_scikit_learn(error: BaseException) -> bool:
    """Whether scikit-learn's checks of tables and targets raised it."""
    *_, innermost = traceback.walk_tb(error.__traceback__)
    return innermost[0].f_globals["__name__"].startswith("sklearn.utils.")


def state(value: Any) -> Any:
    """A copy of what a caller can see of an argument."""
    if isinstance(value, (Tensor, np.ndarray)):
        return repr(value), id(value), getattr(value, "requires_grad", None)
    if isinstance(value, nn.Module):
        return (
            [(k, repr(v), v.requires_grad, repr(v.grad)) for k, v in value.named_parameters()],
            [(k, repr(v)) for k, v in value.named_buffers()],
            [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
             for m in value.modules()],
        )  # fmt: skip
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, torch.optim.Optimizer):
        return state(value.param_groups), state(dict(value.state))
    if isinstance(value, Mapping):
        return {key: state(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, deque)):
        return [state(member) for member in value]
    if isinstance(value, (set, frozenset, str, int, float, complex)) or value is None:
        return repr(value)
    if type(value).__module__.startswith("overparam.") and hasattr(value, "__dict__"):
        return {key: state(member) for key, member in vars(value).items()}
    return id(value)


def surroundings() -> Any:
    """What a process can see of its own settings and random numbers."""
    return (
        torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate(),  # noqa: NPY002
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(),
        torch.backends.mha.get_fastpath_enabled(), torch.backends.cudnn.allow_tf32,
        torch.backends.mkldnn.enabled, np.geterr(), np.get_printoptions(), list(warnings.filters),
    )  # fmt: skip


def leaves_alone(
    function: Callable[..., Any], arguments: dict[str, Any], changes: tuple[str, ...] = ()
) -> None:
    """Arguments, settings and random numbers stay as they were, after an error too.

    The arguments named in `changes` may change, but not in a call that fails.
    """
    before, around = {name: state(value) for name, value in arguments.items()}, surroundings()
    refused = True
    with suppress(Exception), warnings.catch_warnings():  # the answer is for another contract
        warnings.simplefilter("ignore")
        function(**arguments)
        refused = False
    for name, value in arguments.items():
        if refused or name not in changes:
            assert state(value) == before[name], f"{name} was changed"
    assert surroundings() == around, "settings or random numbers were changed"


def poisoned(case: Any, seed: int, where: int, which: int | None) -> dict[str, Any]:
    """Good arguments, one of them replaced unless `which` is None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fitted object among them may not have settled
        arguments = case.arguments(torch.Generator().manual_seed(seed))
    if which is None or not arguments:
        return arguments
    names = sorted(arguments.keys() - {"of"})
    if not names:
        return arguments
    name = names[where % len(names)]
    good = arguments[name]
    choices: list[Callable[[Any], Any]] = [*POISONS]
    if isinstance(good, np.ndarray):
        choices += [
            lambda a, w=w: np.asarray(w(torch.as_tensor(a)).resolve_conj()) for w in WARPS[:9]
        ]
    if isinstance(good, Tensor) and good.ndim:
        choices += WARPS
    try:
        arguments[name] = choices[which % len(choices)](good)
    except (RuntimeError, TypeError):
        arguments[name] = None  # this array cannot be warped that way
    return arguments


quiet = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 1000,
    database=None,
    suppress_health_check=list(HealthCheck),
)
drawn = given(
    case=st.sampled_from(ALL),
    seed=st.integers(0, 1000),
    where=st.integers(0, 23),
    which=st.none() | st.integers(0, len(POISONS) + len(WARPS) - 1),
)


@WRONG
@pytest.mark.timeout(3600)
@quiet
@drawn
def test_the_answer_is_finite_or_an_error_of_ours(case, seed, where, which):
    answers(case.function, poisoned(case, seed, where, which), case.name, case.validated)


@WRONG
@pytest.mark.timeout(3600)
@quiet
@drawn
def test_nothing_of_the_user_is_changed(case, seed, where, which):
    leaves_alone(case.function, poisoned(case, seed, where, which), case.changes)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_good_arguments_have_an_answer(case):
    arguments = poisoned(case, 0, 0, None)
    assert answers(case.function, arguments, case.name) == "finite"


@pytest.mark.parametrize(
    "package",
    [*PACKAGES, *([transport] if transported.HAS_POT else [])],
    ids=lambda package: package.__name__,
)
def test_every_public_name_has_a_call_or_a_reason(package):
    called = {case.name.split(".")[0] for case in ALL}
    missing = [n for n in package.__all__ if n not in called and n not in WITHOUT_CALL]
    assert not missing


def silent(x: Tensor) -> Tensor:
    return x / 0 * 0


def foreign(x: Tensor) -> Tensor:
    return x @ torch.ones(17, dtype=x.dtype)


def keyed(x: Tensor) -> Tensor:
    raise KeyError("`x`")


@pytest.mark.parametrize("broken", [silent, foreign, keyed])
def test_the_contract_of_answers_rejects(broken):
    with pytest.raises(AssertionError):
        answers(broken, {"x": torch.ones(3)})


def writes(x: Tensor) -> None:
    x.add_(1)


def draws(x: Tensor) -> None:
    torch.rand(1)


def switches(x: Tensor) -> None:
    torch.set_grad_enabled(False)
    expect(False, "switches(x=...)", "nothing", x)


@pytest.mark.parametrize("broken", [writes, draws, switches])
def test_the_contract_of_leaving_alone_rejects(broken):
    with torch.random.fork_rng(), torch.enable_grad(), pytest.raises(AssertionError):
        leaves_alone(broken, {"x": torch.ones(3)})


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(1))


def broken() -> nn.Module:
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.weight, NAN)
    return layer


WEIGHT = nn.Parameter(torch.ones(1))
ONES = torch.ones(5, 3)
HALF = torch.tensor([0.5, 0.5]).double()
# Each once gave NaN without a word, or an error of another library.
REFUSED: dict[str, Callable[[], Any]] = {
    "targets whose squares overflow": lambda: kernels.RFMRegressor(n_iter=1).fit(
        np.arange(12.0).reshape(6, 2), 1e300 * np.arange(1.0, 7)
    ),
    "targets whose squares overflow, in pieces": lambda: kernels.IRKMRegressor(n_iter=1).fit(
        np.arange(12.0).reshape(6, 2), 1e300 * np.arange(1.0, 7)
    ),
    "losses that are constant": lambda: dynamics.loss_mixture(np.ones(40)),
    "losses that are NaN": lambda: dynamics.loss_mixture(np.full(40, NAN)),
    "no losses": lambda: dynamics.loss_mixture(np.ones(0)),
    "a label of no class": lambda: dynamics.implausible_labels(ONES / 3, -torch.ones(5).long()),
    "labels of no class": lambda: dynamics.random_label_share(ONES / 3, -torch.ones(5).long()),
    "the direction of nothing": lambda: tangents.agop_alignment(torch.zeros(3, 3), torch.eye(3)),
    "a power of NaN": lambda: kernels.matrix_power_psd(torch.full((3, 3), NAN), 0.5),
    "products that are NaN": lambda: linalg.power_iteration(lambda v: v * NAN, torch.ones(3)),
    "weights that are NaN": lambda: overparam.linearize(broken()),
    "weights that are NaN, twice": lambda: overparam.quadratize(broken()),
    "a negative variance": lambda: tangents.dual_activation("relu", HALF, -HALF, HALF),
    "a rate that is NaN": lambda: optim.mass_coefficients(NAN, 2.0),
    "no model": lambda: overparam.agop(None, ONES),
    "a rate in words": lambda: optim.MaSS([WEIGHT], lr="0.1"),
    "a lazy model's agop": lambda: overparam.agop(lazy(), ONES),
    "a lazy model's kernel": lambda: overparam.empirical_ntk(lazy(), ONES),
    "a lazy model's rate": lambda: overparam.critical_learning_rate(
        lazy(), ONES, ONES[:, :1], nn.functional.mse_loss
    ),
    "a lazy model's expansion": lambda: overparam.linearize(lazy()),
    "another width for agop": lambda: overparam.agop(nn.Linear(2, 1), ONES),
    "another width for a kernel": lambda: overparam.empirical_ntk(nn.Linear(2, 1), ONES),
    "another width for a rate": lambda: overparam.critical_learning_rate(
        nn.Linear(2, 1), ONES, ONES[:, :1], nn.functional.mse_loss
    ),
    "no batches": lambda: diagnosis.mass_for_model(nn.Linear(3, 1), nn.functional.mse_loss, None),
    "a number for batches": lambda: diagnosis.mass_for_model(
        nn.Linear(3, 1), nn.functional.mse_loss, 3
    ),
    "inputs without targets": lambda: diagnosis.mass_for_model(
        nn.Linear(3, 1), nn.functional.mse_loss, [ONES]
    ),
    "batches of another width": lambda: diagnosis.mass_for_model(
        nn.Linear(2, 1), nn.functional.mse_loss, [(ONES, ONES[:, :1])]
    ),
}


@WRONG
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_answered_is_refused(name):
    assert answers(lambda: REFUSED[name](), {}) == "refused"
