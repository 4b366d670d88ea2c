"""Gradients of all clients: three ways, one result; and what none of them takes."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from overparam.federated.engine.choice import chosen_engine, expect_no_batch_norm
from overparam.federated.engine.flat_parameters import FlatParameters
from overparam.federated.engine.looped import Looped

CLIENTS, BATCH = 4, 6


def tied() -> nn.Module:
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.ReLU(), nn.Linear(5, 3))


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    model[0].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return model


class Residual(nn.Module):
    """No chain: what the stack does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.last(x + self.first(x).tanh())


class Branching(Residual):
    """A decision that vmap cannot take for all clients at once."""

    def forward(self, x):
        out = super().forward(x)
        return out if float(out.detach().abs().max()) > 1e-9 else 2 * out


class Recurrent(nn.Module):
    """A layer that vmap takes one client after another, and says so."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.last = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.steps(x[..., None])[0][:, -1])


MODELS = {
    "chain": lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)),
    "one layer": lambda: nn.Linear(5, 3),
    "no bias": lambda: nn.Sequential(nn.Linear(5, 7, bias=False), nn.Tanh(), nn.Linear(7, 3)),
    "norm": lambda: nn.Sequential(
        nn.Linear(5, 7), nn.LayerNorm(7), nn.GELU(), nn.Sequential(nn.Linear(7, 3), nn.Identity())
    ),
    "plain norm": lambda: nn.Sequential(
        nn.LayerNorm(5, elementwise_affine=False), nn.SiLU(inplace=True), nn.Linear(5, 3)
    ),
    "flat": lambda: nn.Sequential(nn.Flatten(), nn.Linear(5, 3), nn.ELU()),
    "tied": tied,
    "frozen": frozen,
}


def batches(classes: bool = True, seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(CLIENTS, BATCH, 5, generator=draw)
    y = torch.randint(3, (CLIENTS, BATCH), generator=draw)
    return x, y if classes else torch.randn(CLIENTS, BATCH, 3, generator=draw)


def found(model, engine, loss=cross_entropy, classes=True):
    flat = FlatParameters(model, "model")
    x, y = batches(classes)
    gradients = chosen_engine(engine, flat, loss, x[0, :2], y[0, :2], "engine")
    draw = torch.Generator().manual_seed(1)
    w = flat.start() + 0.1 * torch.randn(CLIENTS, flat.size, generator=draw)
    return gradients.name, *gradients(w, x, y)


@pytest.mark.parametrize("loss", ["cross-entropy", "smoothed", "squares"])
@pytest.mark.parametrize("name", MODELS)
def test_three_engines_agree(name, loss):
    torch.manual_seed(0)
    model, classes = MODELS[name](), loss != "squares"
    function = {
        "cross-entropy": cross_entropy,
        "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1),
        "squares": mse_loss,
    }[loss]
    kind, losses, gradients = found(model, "auto", function, classes)
    assert kind == "stacked"
    for other in ("vmap", "loop"):
        _, their_losses, theirs = found(model, other, function, classes)
        torch.testing.assert_close(losses, their_losses, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(gradients, theirs, rtol=1e-5, atol=1e-6)


def test_ignored_classes_are_ignored():
    torch.manual_seed(0)
    model = MODELS["chain"]()
    flat = FlatParameters(model, "model")
    x, y = batches()
    y[:, 0] = -100
    w = flat.start().expand(CLIENTS, -1)
    results = [
        chosen_engine(name, flat, cross_entropy, x[0, 1:3], y[0, 1:3], "", plain_targets=False)(
            w, x, y
        )
        for name in ("stacked", "loop")
    ]
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Residual, "vmap"),
        (Branching, "loop"),
        (Recurrent, "loop"),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 3, 5), nn.Flatten()), "loop"),
    ],
)
def test_auto_goes_by_the_layers(make, expected):
    torch.manual_seed(0)
    model = make()
    kind, losses, gradients = found(model, "auto")
    assert kind == expected
    _, their_losses, theirs = found(model, "loop")
    torch.testing.assert_close(losses, their_losses)
    torch.testing.assert_close(gradients, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("make", "engine"), [(Residual, "stacked"), (Branching, "vmap")])
def test_an_engine_that_cannot_says_so(make, engine):
    with pytest.raises(ValueError, match="engine='auto' finds another way"):
        found(make(), engine)


def test_a_hook_is_not_passed_over():
    model = MODELS["chain"]()
    model[0].register_forward_hook(lambda module, args, out: 2 * out)
    assert found(model, "auto")[0] != "stacked"


def test_half_precision_keeps_its_state_in_single():
    model = MODELS["chain"]().bfloat16()
    flat = FlatParameters(model, "model")
    assert flat.start().dtype == torch.float32
    x, y = batches()
    engine = chosen_engine("auto", flat, cross_entropy, x[0, :2].bfloat16(), y[0, :2], "")
    _, gradients = engine(flat.start().expand(CLIENTS, -1), x.bfloat16(), y)
    assert gradients.dtype == torch.float32


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm1d(5), nn.SyncBatchNorm(5), nn.InstanceNorm1d(5, track_running_stats=True)],
)
def test_batch_norm_is_refused_in_either_mode(layer):
    for mode in (True, False):
        with pytest.raises(ValueError, match=r"nn\.GroupNorm or nn\.LayerNorm"):
            expect_no_batch_norm(nn.Sequential(nn.Linear(5, 5), layer).train(mode), "model")
    expect_no_batch_norm(nn.Sequential(nn.GroupNorm(1, 5), nn.InstanceNorm1d(5)), "model")


def test_parameters_of_two_dtypes_are_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(ValueError, match="one floating dtype"):
        FlatParameters(model, "model")


class HoldsOnToItself(nn.Module):
    """A model whose forward goes by a function that a copy shares with it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.through = [lambda x: self.layer(x)]

    def forward(self, x):
        return self.through[0](x)


class NotCopied(nn.Linear):
    """A model that refuses to be copied."""

    def __deepcopy__(self, memo):
        raise TypeError("no")


@pytest.mark.parametrize(
    "make", [HoldsOnToItself, lambda: NotCopied(3, 2), lambda: one_weight_twice()]
)
def test_the_loop_takes_a_copy_only_where_it_says_the_same(make):
    torch.manual_seed(0)
    model = make().double()
    flat = FlatParameters(model, "test")
    loop = Looped(flat, nn.functional.cross_entropy)
    w = torch.randn(3, flat.size, dtype=torch.float64)
    x, y = torch.randn(3, 4, 3, dtype=torch.float64), torch.randint(2, (3, 4))
    _, found = loop(w, x, y)
    assert (loop._own is None) == (not isinstance(model, nn.Sequential))
    for i, row in enumerate(w):
        leaf = row.clone().requires_grad_()
        loss = nn.functional.cross_entropy(flat.function(flat.views(leaf), x[i]), y[i])
        # Another order of the same few sums.
        torch.testing.assert_close(found[i], torch.autograd.grad(loss, leaf)[0], rtol=1e-12,
                                   atol=1e-12)  # fmt: skip
    assert all(p.grad is None for p in model.parameters())


def one_weight_twice():
    """Two layers with one weight, and a convolution-free chain around them."""
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second, nn.Linear(3, 2))
