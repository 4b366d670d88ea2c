"""What torch has once per process is as it was, whoever turned it and whoever comes between."""

import itertools
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from overparam._exclusive import exclusive
from overparam._model import as_function, undisturbed
from overparam._random_numbers import own_random_numbers, seeded
from overparam._switches import full_precision, quietly, thread_count
from overparam.diagnosis.examples import as_examples
from overparam.diagnosis.task import build_task
from overparam.expansions import (
    linearization_error,
    linearize,
    quadratization_error,
    quadratize,
)
from overparam.kernels import Custom, RFMRegressor, fit_eigenpro, fit_ridge
from overparam.tangents import NTKOperator, empirical_ntk

NEWER = hasattr(torch._C, "_get_fp32_precision_getter")  # torch 2.9
ABOVE = (("generic", "all"), ("cuda", "all"), ("mkldnn", "all"))
OPERATIONS = tuple(itertools.product(("cuda", "mkldnn"), ("matmul", "conv", "rnn")))


def read(place: tuple[str, str]) -> str:
    return torch._C._get_fp32_precision_getter(*place)


def write(place: tuple[str, str], precision: str) -> None:
    torch._C._set_fp32_precision_setter(*place, precision)


def precision() -> dict[Any, Any]:
    """Every flag; torch refuses to read an older one that contradicts a newer one."""
    older: dict[str, Callable[[], Any]] = {
        "products": torch.get_float32_matmul_precision,
        "cublas": lambda: torch.backends.cuda.matmul.allow_tf32,
        "cudnn": lambda: torch.backends.cudnn.allow_tf32,
    }
    found: dict[Any, Any] = {place: read(place) for place in (*ABOVE, *OPERATIONS) if NEWER}
    for name, flag in older.items():
        try:
            found[name] = flag()
        except RuntimeError:
            found[name] = "refused"
    return found


def switches() -> dict[Any, Any]:
    """All that a measurement turns."""
    backends = torch.nn.attention._cur_sdpa_kernel_backends()
    return {
        **precision(), "attention": [str(backend) for backend in backends],
        "layer": torch.backends.mha.get_fastpath_enabled(), "threads": torch.get_num_threads(),
        "mkldnn": torch.backends.mkldnn.enabled, "filters": list(warnings.filters),
        "random": torch.get_rng_state().tolist(),
    }  # fmt: skip


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """Put torch's flags back as they were when it was loaded."""
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for place in (*ABOVE, *OPERATIONS) if NEWER else ():
        write(place, "tf32" if place in (("cuda", "conv"), ("cuda", "rnn")) else "none")


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns a thousand times as often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], Any], count: int = 4) -> list[Any]:
    """What `work` gives in as many threads at once; none may hang."""
    start = threading.Barrier(count)

    def begin(number: int) -> Any:
        start.wait(timeout=60)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return [
            found.result(timeout=120) for found in [pool.submit(begin, i) for i in range(count)]
        ]


SETTINGS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "all": lambda: write(("generic", "all"), "tf32"),
    "all of them bf16": lambda: write(("generic", "all"), "bf16"),
    "products on CUDA": lambda: write(("cuda", "matmul"), "tf32"),
    "cuDNN": lambda: write(("cuda", "all"), "tf32"),
    "convolutions of cuDNN": lambda: write(("cuda", "conv"), "ieee"),
    "oneDNN": lambda: write(("mkldnn", "all"), "bf16"),
    "products of oneDNN": lambda: write(("mkldnn", "matmul"), "bf16"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "cuBLAS": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "no TF32 in cuDNN": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
}
NEED_NEWER = {name for name, set_it in SETTINGS.items() if "write" in set_it.__code__.co_names}


@pytest.mark.parametrize("names", list(itertools.product(SETTINGS, repeat=2)), ids=" and ".join)
def test_full_precision_under_every_pair_of_settings(names: tuple[str, str]) -> None:
    if not NEWER and NEED_NEWER.intersection(names):
        pytest.skip("torch before 2.9 has no such flag")
    for name in names:
        SETTINGS[name]()
    before = precision()

    def fails() -> None:
        with full_precision():
            inside = precision()
            assert {inside[place] for place in OPERATIONS if NEWER} <= {"ieee"}
            expected = {"products": "highest", "cublas": False, "cudnn": False}
            assert {name: inside[name] for name in expected} == expected
            with full_precision():
                assert precision() == inside
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert precision() == before


@pytest.mark.skipif(not NEWER, reason="torch before 2.9 has no such flag")
def test_each_flag_keeps_what_it_was_given_itself() -> None:
    """A flag that follows the one above it reads the same as one that was set to the same."""
    write(("mkldnn", "all"), "bf16")
    write(("mkldnn", "conv"), "bf16")
    with full_precision():
        pass
    write(("mkldnn", "all"), "tf32")
    assert [read(("mkldnn", op)) for op in ("matmul", "conv")] == ["tf32", "bf16"]


class Spy(nn.Module):
    """A layer that looks around whenever it is evaluated, and keeps what it sees elsewhere."""

    def __init__(self, look: Callable[[], object]) -> None:
        super().__init__()
        self.look = look
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        self.look()
        return x * self.weight


@pytest.mark.parametrize("setting", SETTINGS)
def test_calls_work_in_full_precision_whatever_the_user_has_set(setting: str) -> None:
    if not NEWER and setting in NEED_NEWER:
        pytest.skip("torch before 2.9 has no such flag")
    x = torch.linspace(-1, 1, 12)[:, None]
    seen: list[dict[Any, Any]] = []
    model = nn.Sequential(Spy(lambda: seen.append(precision())), nn.Linear(1, 1))

    def linear(x: Tensor, z: Tensor) -> Tensor:
        seen.append(precision())
        return x @ z.T + 1

    kernel = Custom(linear)
    calls: dict[str, Callable[[], Any]] = {
        "ntk": lambda: empirical_ntk(model, x),
        "ridge": lambda: fit_ridge(kernel, x, x, ridge=0.1),
        "eigenpro": lambda: fit_eigenpro(kernel, x, x, ridge=0.1),
        "rfm": lambda: torch.as_tensor(RFMRegressor(kernel, n_iter=1).fit(x, x[:, 0]).predict(x)),
    }
    expected = {name: run() for name, run in calls.items()}
    SETTINGS[setting]()
    before = precision()
    seen.clear()
    for name, run in calls.items():
        assert torch.equal(run(), expected[name])
        assert precision() == before
        assert seen
        assert all(now["products"] == "highest" and not now["cudnn"] for now in seen)
        seen.clear()


def layer() -> nn.Module:
    """One with attention and an LSTM, which between them turn every switch there is."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
            self.memory = nn.LSTM(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.memory(self.attention(x))[0][:, -1]

    return Both().eval()


def test_threads_leave_every_switch_as_it_was(restless: None) -> None:
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(3)
    models = [layer() for _ in range(4)]
    x = torch.randn(3, 2, 4)
    expected = [empirical_ntk(model, x) for model in models]
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.EFFICIENT_ATTENTION]):
        before = switches()
        found = in_threads(lambda i: [empirical_ntk(models[i], x) for _ in range(10)])
        assert switches() == before
    for kernels, truth in zip(found, expected, strict=True):
        assert all(torch.equal(kernel, truth) for kernel in kernels)


def test_the_last_one_out_turns_the_switches_back() -> None:
    """The order that leaves them turned for good where each puts back what it found."""
    models = [nn.Linear(1, 1), nn.Linear(1, 1)]
    before, second_in, first_out = switches(), threading.Event(), threading.Event()

    def work(number: int) -> bool:
        if number == 0:
            with undisturbed(models[0]):
                assert second_in.wait(60)
            first_out.set()
            return True
        with undisturbed(models[1]):
            second_in.set()
            assert first_out.wait(60)
            return not torch.backends.mha.get_fastpath_enabled()

    assert in_threads(work, 2) == [True, True]
    assert switches() == before


def test_threads_that_share_a_model_wait_for_each_other(restless: None) -> None:
    """Its modes, gradients, parameters and buffers are one set."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1)
    )
    model(torch.randn(6, 3)).sum().backward()
    gradients = [p.grad for p in model.parameters()]
    values = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(4, 3)
    other = {name: 2 * p.detach() for name, p in model.named_parameters()}

    def evaluate(number: int) -> Tensor:
        with undisturbed(model, evaluation=True):
            if number % 2:
                return as_function(model)(other, x).detach()
            return model(x).detach()

    expected = [evaluate(0), evaluate(1)]
    assert not torch.equal(*expected)
    found = in_threads(lambda i: [evaluate(i) for _ in range(40)])
    for i, outputs in enumerate(found):
        assert all(torch.equal(output, expected[i % 2]) for output in outputs)
    assert all(module.training for module in model.modules())
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())


def test_parameters_are_swapped_by_one_thread_at_a_time(restless: None) -> None:
    model, x = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), torch.ones(3, 2)
    function, own = as_function(model), [id(p) for p in model.parameters()]
    points = [{n: torch.full_like(p, i) for n, p in model.named_parameters()} for i in range(4)]
    expected = [function(point, x) for point in points]
    found = in_threads(lambda i: [function(points[i], x) for _ in range(100)])
    for outputs, truth in zip(found, expected, strict=True):
        assert all(torch.equal(output, truth) for output in outputs)
    assert [id(p) for p in model.parameters()] == own


def test_a_copy_is_not_taken_while_another_thread_has_other_parameters_in(restless: None) -> None:
    model, x = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)), torch.rand(6, 2)
    function, examples = as_function(model), as_examples((x, torch.ones(6, 1)))
    own = [p.detach().clone() for p in model.parameters()]
    other = {name: torch.full_like(p, 7.0) for name, p in model.named_parameters()}

    def work(number: int) -> bool:
        if number % 2:
            return all(bool(torch.isfinite(function(other, x)).all()) for _ in range(200))
        tasks = [build_task(model, examples, "mse", None, 4) for _ in range(20)]
        return all(
            torch.equal(p, q)
            for task in tasks
            for p, q in zip(task.model.parameters(), own, strict=True)
        )

    assert all(in_threads(work))


@pytest.mark.parametrize("shared", [False, True], ids=["a model each", "one model"])
def test_threads_differentiate_in_forward_mode_one_after_the_other(
    restless: None, shared: bool
) -> None:
    """torch counts its levels per process; a level that another thread has left is none."""
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)) for _ in range(4)]
    models = models[:1] * 4 if shared else models
    starts = [{n: p.detach() + 0.1 for n, p in model.named_parameters()} for model in models]
    expansions = [linearize(model) for model in models]
    expansions = expansions[:1] * 4 if shared else expansions
    x, v = torch.randn(6, 3), torch.randn(12)

    def moved(number: int, expand: Callable[[nn.Module], nn.Module]) -> Tensor:
        expansion = expand(models[number])
        for change in expansion.parameters():
            nn.init.constant_(change, 0.3)
        return expansion(x).detach()

    ways: list[Callable[[int], Tensor]] = [
        lambda i: torch.tensor(linearization_error(models[i], starts[i], x)),
        lambda i: torch.tensor(quadratization_error(models[i], starts[i], x)),
        lambda i: NTKOperator(models[i], x).matvec(v),
        lambda i: moved(i, linearize),
        lambda i: moved(i, quadratize),
        lambda i: NTKOperator(expansions[i], x).matvec(v),
        lambda i: expansions[i](x).detach(),
    ]
    expected = [[way(i) for way in ways] for i in range(4)]
    found = in_threads(lambda i: [[way(i) for way in ways] for _ in range(4)])
    for outputs, truth in zip(found, expected, strict=True):
        assert all(
            torch.equal(output, value)
            for turn in outputs
            for output, value in zip(turn, truth, strict=True)
        )


def test_a_thread_that_holds_a_model_does_not_wait_for_another() -> None:
    """Two that each hold what the other waits for would never end."""
    one, other = nn.Linear(1, 1), nn.Linear(1, 1)
    both, release = threading.Barrier(2), threading.Event()

    def work(number: int) -> str:
        mine, yours = (one, other) if number else (other, one)
        with exclusive(nn.Sequential(mine)):
            both.wait(60)
            try:
                with exclusive(yours):
                    return "entered"
            except RuntimeError as problem:
                return str(problem)
            finally:
                both.wait(60)

    found = in_threads(work, 2)
    assert all("`Linear.forward` expected a model that no other thread" in text for text in found)
    release.set()
    with exclusive(one), exclusive(other), exclusive(one):
        pass


def test_random_numbers_of_the_caller_are_put_back_by_the_last_thread(restless: None) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()

    def draw(number: int) -> None:
        for _ in range(50):
            with own_random_numbers():
                torch.rand(number + 1)
                with own_random_numbers():
                    torch.rand(1)

    in_threads(draw)
    assert torch.equal(torch.get_rng_state(), state)


def test_random_numbers_nested_in_one_thread_are_put_back_each() -> None:
    with own_random_numbers():
        first = torch.rand(1)
        with own_random_numbers():
            torch.rand(1)
        second = torch.rand(1)
    with own_random_numbers():
        assert torch.equal(torch.rand(2), torch.cat([first, second]))
    with seeded(5, torch.device("cpu")):
        seen = torch.rand(3)
    assert torch.equal(seen, torch.rand(3, generator=torch.Generator().manual_seed(5)))


@pytest.mark.filterwarnings("error")
def test_warnings_are_silenced_in_threads_and_not_for_good(restless: None) -> None:
    before, turns = list(warnings.filters), threading.Barrier(2)

    def work(number: int) -> str:
        with quietly("first" if number else "second", UserWarning):
            turns.wait(60)
            warnings.warn("first and second", UserWarning, stacklevel=1)
            if number:
                turns.wait(60)
        if not number:
            turns.wait(60)
        return "quiet"

    with quietly():
        warnings.warn("anything", stacklevel=1)
    assert in_threads(work, 2) == ["quiet", "quiet"]
    assert warnings.filters == before
    with pytest.raises(UserWarning, match="anything"), quietly("another"):
        warnings.warn("anything", stacklevel=1)


def test_the_number_of_threads_is_that_of_the_first_one(restless: None) -> None:
    before = torch.get_num_threads()
    entered = threading.Barrier(2)

    def work(number: int) -> int:
        with thread_count() as usual:
            torch.set_num_threads(3 + number)
            entered.wait(60)
            return usual

    assert in_threads(work, 2) == [before, before]
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_it_does_not_have() -> None:
    model, inside, leave = nn.Linear(1, 1), threading.Event(), threading.Event()

    def hold() -> None:
        with undisturbed(model):
            inside.set()
            assert leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(60)
    child = os.fork()
    if not child:
        fast = torch.backends.mha.get_fastpath_enabled()
        with undisturbed(model):  # a child that waits is ended with the test
            pass
        os._exit(0 if fast else 3)
    leave.set()
    thread.join(60)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
