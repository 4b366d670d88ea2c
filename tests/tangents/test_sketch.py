import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from overparam.tangents import empirical_ntk, empirical_ntk_blocks, gradient_sketch


class Own(nn.Module):
    """A parameter that no rule covers beside one that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(5))
        self.twice = nn.Linear(5, 5)
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(torch.tanh(self.twice(x)))
        return self.last(x * torch.exp(self.scale).cumsum(0))


def network(kind: str) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        x = torch.randn(6, 5).double()
        if kind == "embedding":
            model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)).double()
            return model, torch.randint(0, 9, (6, 3))
        models = {
            "mlp": nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)),
            "convolution": nn.Sequential(
                nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 3, 2), nn.GroupNorm(1, 3), nn.ReLU(),
                nn.Flatten(), nn.Linear(12, 1),
            ),
            "own": Own(),
        }  # fmt: skip
        return models[kind].double().eval(), x


KINDS = ["mlp", "convolution", "embedding", "own"]


@pytest.mark.parametrize("kind", KINDS)
def test_is_unbiased_and_its_error_falls_as_the_root_of_k(kind: str) -> None:
    model, x = network(kind)
    exact = empirical_ntk(model, x)
    means, errors = [], []
    for k in (64, 1024):
        found = torch.stack([gradient_sketch(model, x, k, seed=s).kernel() for s in range(40)])
        means.append(float((found.mean(0) - exact).norm() / exact.norm()))
        errors.append(float((found - exact).square().sum((1, 2)).mean().sqrt() / exact.norm()))
    assert 3 < errors[0] / errors[1] < 5.3  # √16
    assert errors[1] < 4 / 32
    # The mean of 40 is as near as 40 times the numbers would be.
    assert means[0] < 2 * errors[0] / 40**0.5
    assert means[1] < 2 * errors[1] / 40**0.5


def test_outputs_share_the_signs() -> None:
    model, x = network("mlp")
    blocks = empirical_ntk_blocks(model, x)
    features = gradient_sketch(model, x, 40_000, seed=1).features
    found = torch.einsum("ick,jdk->ijcd", features, features)
    assert float((found - blocks).norm() / blocks.norm()) < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_and_batches_change_nothing(kind: str) -> None:
    model, x = network(kind)
    whole = gradient_sketch(model, x, 8, seed=0).features
    assert_close(gradient_sketch(model, x, 8, seed=0, chunk_size=4).features, whole)
    assert_close(gradient_sketch(model, x[2:3], 8, seed=0).features, whole[2:3])
    assert not torch.equal(gradient_sketch(model, x, 8, seed=-1).features, whole)


def test_long_layers_take_several_blocks_of_signs() -> None:
    model = nn.Linear(20_000, 1, bias=False).double()
    x = torch.zeros(3, 20_000).double()
    x[0, 5], x[1, 9000], x[2, 19_999] = 1.0, 2.0, 3.0
    kernel = gradient_sketch(model, x, 400, seed=0).kernel()
    assert_close(kernel.diagonal(), torch.tensor([1.0, 4.0, 9.0]).double())  # signs squared
    assert float((kernel - kernel.diag().diag()).abs().max()) < 6 * 5 / 400**0.5


class Largest(TorchDispatchMode):
    """The largest tensor any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor):
                self.numel = max(self.numel, value.numel())
        return out


def test_no_gradient_of_an_example_is_formed() -> None:
    model = nn.Sequential(nn.Linear(400, 400), nn.Tanh(), nn.Linear(400, 1))
    x = torch.randn(20, 400, generator=torch.Generator().manual_seed(0))
    with Largest() as largest:
        gradient_sketch(model, x, 16, seed=0)
    assert largest.numel <= 400 * 400  # the check of the rules, one gradient in all


def test_leaves_everything_as_it_was() -> None:
    model, x = network("own")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    state = torch.get_rng_state()
    gradient_sketch(model, x, 8, seed=0)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_frozen_and_chosen_parameters() -> None:
    model, x = network("mlp")
    names = ["2.weight"]
    found = gradient_sketch(model, x, 30_000, seed=0, names=names).kernel()
    exact = empirical_ntk(model, x, names=names)
    assert float((found - exact).norm() / exact.norm()) < 0.05


def test_no_condition_number_from_a_short_sketch() -> None:
    model, x = network("convolution")
    with pytest.raises(ValueError, match=r"condition_number\(\)` expected a sketch of k ≥ 20 n"):
        gradient_sketch(model, x, 119, seed=0).condition_number()
    found = gradient_sketch(model, x, 120, seed=0)
    values = torch.linalg.eigvalsh(found.kernel())
    assert found.condition_number() == pytest.approx(float(values[-1] / values[0]), rel=1e-9)
    assert gradient_sketch(model, x, 3, seed=0).features.shape == (6, 1, 3)


def test_the_smallest_eigenvalue_is_biased_down() -> None:
    model = nn.Linear(40, 1, bias=False).double()
    x = torch.eye(40).double()
    found = [
        float(torch.linalg.eigvalsh(gradient_sketch(model, x, 160, seed=s).kernel())[0])
        for s in range(5)
    ]
    assert sum(found) / 5 == pytest.approx(0.25, abs=0.1)


@pytest.mark.parametrize(
    ("argument", "change"),
    [("k", {"k": 0}), ("k", {"k": 2.5}), ("seed", {"seed": 0.5}),
     ("chunk_size", {"chunk_size": 0}), ("names", {"names": ["nothing"]}),
     ("x", {"x": torch.full((2, 5), torch.nan)}), ("x", {"x": torch.zeros(0, 5)})],
)  # fmt: skip
def test_bad_input(argument: str, change: dict) -> None:
    model, x = network("mlp")
    given = {"x": x, "k": 4, "seed": 0, **change}
    with pytest.raises(ValueError, match=rf"`gradient_sketch\({argument}=...\)` expected"):
        gradient_sketch(model, **given)
