"""The constants of a network, against features and dense curvature."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from overparam.curvature import GGNOperator
from overparam.diagnosis.mass_for_model import mass_for_model, probed_hyperparameters
from overparam.diagnosis.model_constants import (
    loader_constants,
    model_constants,
    operator_constants,
)
from overparam.optim.hyperparameters import mass_constants
from overparam.optim.mass import MaSS
from overparam.tangents.operator import NTKOperator

NAMES = ("largest", "single", "smallest", "kappa_t")


def half_mean(f: Tensor, y: Tensor) -> Tensor:
    return (f - y).square().sum(-1).mean() / 2


def linear_problem(n: int = 6, d: int = 9):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=draw, dtype=torch.float64)
    return nn.Linear(d, 1, bias=False).double(), x, torch.randn(n, 1, generator=draw).double()


def classifier() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    return model, torch.randn(8, 5, dtype=torch.float64), torch.randint(3, (8,))


def test_a_linear_model_has_the_constants_of_its_inputs():
    model, x, y = linear_problem()
    found, expected = model_constants(model, x, y, half_mean, share=1.0), mass_constants(x)
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-8)


def test_the_normalisation_of_the_loss_counts():
    model, x, y = linear_problem()
    half = model_constants(model, x, y, half_mean, share=1.0)
    whole = model_constants(model, x, y, nn.MSELoss(), share=1.0)
    assert whole.largest == pytest.approx(2 * half.largest)
    assert whole.single == pytest.approx(2 * half.single)
    assert whole.kappa_t == pytest.approx(half.kappa_t)


def test_cross_entropy_by_its_dense_gauss_newton_matrix():
    model, x, y = classifier()
    params = tuple(model.parameters())
    names = [name for name, _ in model.named_parameters()]

    def outputs(*values: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (x,))

    parts = torch.autograd.functional.jacobian(outputs, params)
    jacobian = torch.cat([part.flatten(2) for part in parts], 2)
    p = torch.softmax(model(x).detach(), 1)
    curvature = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    each = torch.einsum("ncp,ncd,ndq->npq", jacobian, curvature, jacobian)
    found = model_constants(model, x, y, nn.CrossEntropyLoss())
    assert found.largest == pytest.approx(float(torch.linalg.eigvalsh(each.mean(0))[-1]))
    largest = max(float(torch.linalg.eigvalsh(g)[-1]) for g in each)
    assert found.single == pytest.approx(largest)


def test_batches_give_what_all_of_them_give():
    model, x, y = classifier()
    batches = list(zip(x.split(3), y.split(3), strict=True))
    together = model_constants(model, x, y, nn.CrossEntropyLoss())
    found = loader_constants(model, batches, nn.CrossEntropyLoss())
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(getattr(together, name), rel=1e-2)


def test_a_kernel_and_a_gauss_newton_matrix_give_the_same():
    model, x, y = linear_problem()
    kernel = operator_constants(NTKOperator(model, x), y, share=1.0)
    curvature = operator_constants(GGNOperator(model, x, y, half_mean), share=1.0)
    expected = mass_constants(x)
    for name in NAMES:
        assert getattr(kernel, name) == pytest.approx(getattr(expected, name), rel=1e-2)
        assert getattr(curvature, name) == pytest.approx(getattr(kernel, name), rel=1e-2)


def test_an_operator_of_some_parameters_counts_only_those():
    model, x, y = classifier()
    names = ["2.weight"]
    loss = nn.CrossEntropyLoss()
    part = operator_constants(GGNOperator(model, x, y, loss, names=names))
    expected = model_constants(model, x, y, loss, names=names)
    assert part.single == pytest.approx(expected.single)
    assert part.single < model_constants(model, x, y, loss).single


def test_an_operator_and_its_targets():
    model, x, y = linear_problem()
    kernel = NTKOperator(model, x)
    with pytest.raises(ValueError, match="expected the targets of the kernel's examples"):
        operator_constants(kernel)
    with pytest.raises(ValueError, match="expected 6 targets"):
        operator_constants(kernel, y[:2])
    with pytest.raises(ValueError, match="expected no targets beside a GGNOperator"):
        operator_constants(GGNOperator(model, x, y, half_mean), y)
    with pytest.raises(TypeError, match="a GGNOperator or an NTKOperator"):
        operator_constants(torch.eye(3))  # pyright: ignore[reportArgumentType]


def snapshot(model: nn.Module) -> tuple:
    values = {name: value.clone() for name, value in model.state_dict().items()}
    return values, [p.grad for p in model.parameters()], [m.training for m in model.modules()]


def test_nothing_is_changed():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
    data = TensorDataset(torch.randn(20, 5), torch.randint(3, (20,)))
    loader = DataLoader(data, batch_size=5, shuffle=True)
    before, random = snapshot(model), torch.get_rng_state()
    probed_hyperparameters(model, loader, nn.CrossEntropyLoss(), probe_steps=6)
    after = snapshot(model)
    assert all(torch.equal(before[0][name], value) for name, value in after[0].items())
    assert before[1:] == after[1:]
    assert torch.equal(random, torch.get_rng_state())


def test_an_optimizer_for_a_model_trains_it():
    model, x, y = classifier()
    batches = list(zip(x.split(4), y.split(4), strict=True))
    start = float(nn.functional.cross_entropy(model(x), y).detach())
    optimizer = mass_for_model(model, nn.CrossEntropyLoss(), batches, weight_decay=1e-4)
    assert optimizer.param_groups[0]["weight_decay"] == 1e-4
    for _ in range(30):
        for inputs, targets in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    assert float(nn.functional.cross_entropy(model(x), y).detach()) < start / 5


def test_few_steps_bound_the_momentum():
    model, x, y = classifier()
    batches = [(x, y)]
    free = mass_for_model(model, nn.CrossEntropyLoss(), batches).param_groups[0]
    short = mass_for_model(model, nn.CrossEntropyLoss(), batches, steps=20).param_groups[0]
    long = mass_for_model(model, nn.CrossEntropyLoss(), batches, steps=10**6).param_groups[0]
    assert short["alpha"] == pytest.approx(max(free["alpha"], 2 * 10**0.5 / 20))
    assert long["alpha"] == free["alpha"] < short["alpha"]
    assert short["lr"] == free["lr"]


@pytest.mark.untyped("the warning names a line of the caller, and the check stands between")
def test_the_optimizer_has_it_by_its_old_name_and_for_classes_of_its_own():
    class Ours(MaSS):
        pass

    model, x, y = classifier()
    given = (model, nn.CrossEntropyLoss(), [(x, y)])
    new = mass_for_model(*given, steps=20, probe_steps=5)
    with pytest.warns(DeprecationWarning, match="`overparam.diagnosis.mass_for_model`") as caught:
        old = Ours.for_model(*given, steps=20, probe_steps=5)
    assert caught[0].filename == __file__
    assert (type(new), type(old)) == (MaSS, Ours)
    assert old.state_dict() == new.state_dict()
    with pytest.raises(TypeError, match=r"`MaSS.for_model\(kind=...\)` expected no kind: it makes"):
        MaSS.for_model(*given, kind=Ours)


@pytest.mark.parametrize("call", [loader_constants, probed_hyperparameters])
def test_no_batches(call):
    model, _, _ = classifier()
    with pytest.raises(ValueError, match="expected at least one batch"):
        call(model, [], nn.CrossEntropyLoss())


class Once:
    """Batches that are gone after the first looks, and say nothing of it."""

    def __init__(self, batches, looks: int) -> None:
        self.batches, self.looks = batches, looks

    def __iter__(self):
        self.looks -= 1
        return iter(self.batches if self.looks >= 0 else [])


def test_batches_that_are_used_up_are_refused_and_not_waited_for():
    model, x, y = classifier()
    batches = [(x[:4], y[:4])]
    with pytest.raises(ValueError, match="can be gone through again, got a generator"):
        probed_hyperparameters(model, (b for b in batches), nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="can be gone through again, got none in another pass"):
        # One look for the size, one for the constants, one for training.
        probed_hyperparameters(model, Once(batches, 3), nn.CrossEntropyLoss(), probe_steps=20)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "once",
    [iter, reversed, lambda batches: map(tuple, batches), lambda batches: (b for b in batches)],
    ids=["iter", "reversed", "map", "generator"],
)
def test_mass_is_not_made_for_batches_that_come_once(once):
    model, x, y = classifier()
    batches = once([(x[:4], y[:4]), (x[4:8], y[4:8])])
    with pytest.raises(ValueError, match="can be gone through again"):
        mass_for_model(model, nn.CrossEntropyLoss(), batches)


def test_bad_data_names_the_call():
    model, x, y = classifier()
    with pytest.raises(ValueError, match=r"`model_constants\(x=...\)` expected finite"):
        model_constants(model, x * float("nan"), y, nn.CrossEntropyLoss())
