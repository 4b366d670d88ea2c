"""Training on noisy labels, with the gradients of clean and of wrong samples beside it."""

import math
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from overparam.datasets.named import load
from overparam.dynamics.clean_priority import CleanPriorityStop
from overparam.dynamics.gradient_segments import (
    clean_dominance,
    gradient_alignment,
    segment_gradients,
)
from overparam.dynamics.label_noise import LabelNoiseScorer

PROBED = 5000  # gradients are of so many training examples, a fixed set


def examples(data: str, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test inputs, and their classes.

    Each pixel of the digits has mean 0 and deviation 1 over the set, or is constant and 0. The
    paper's scale is not stated; this is the usual one, and "digits / 16" are the pixels as they
    are, from 0 to 1. Other images have one mean and one deviation for all pixels.
    """
    draw = torch.Generator().manual_seed(seed)
    if data in ("digits", "digits / 16", "3 or 8"):
        pixels, classes = (np.asarray(part) for part in load_digits(return_X_y=True))
        chosen = np.isin(classes, (3, 8)) if data == "3 or 8" else np.ones(len(classes), bool)
        deviation = pixels.std(0)
        if data == "digits / 16":
            pixels = pixels / 16
        else:
            pixels = (pixels - pixels.mean(0)) / np.where(deviation > 0, deviation, 1)
        x, y = torch.tensor(pixels[chosen]).float(), torch.tensor(classes[chosen])
        y = (y == 8).long() if data == "3 or 8" else y
        order = torch.randperm(len(x), generator=draw)
        x, y = x[order], y[order]
        return x[:n], y[:n], x[n:], y[n:]
    found = load(data)
    kept = torch.randperm(len(found.x_train), generator=draw)[:n].numpy()
    x = torch.tensor(np.concatenate([found.x_train[kept], found.x_test])).float()
    x = x.movedim(-1, 1) if x.ndim == 4 and x.shape[-1] == 3 else x
    y = torch.tensor(np.concatenate([found.y_train[kept], found.y_test])).long()
    n = len(kept)
    x = (x - x[:n].mean()) / x[:n].std()
    return x[:n], y[:n], x[n:], y[n:]


def wrong_labels(y: Tensor, classes: int, noise: str, share: float, seed: int) -> Tensor:
    """Labels with a share replaced: by a random different class, or always by the next one."""
    draw = torch.Generator().manual_seed(seed + 1)
    wrong = torch.rand(len(y), generator=draw) < share
    shift = torch.randint(1, classes, y.shape, generator=draw)
    return torch.where(wrong, (y + (shift if noise == "random" else 1)) % classes, y)


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the layers make of it."""
        return x + self.layers(x)


def network(kind: str, shape: torch.Size, classes: int, seed: int) -> nn.Module:
    """A perceptron, the paper's small convolutional network, or ResNet-9; torch's own start."""

    def block(inputs: int, outputs: int, *after: nn.Module) -> nn.Sequential:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(), *after)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind.startswith("mlp"):
            width, d = int(kind.split()[1]), math.prod(shape)
            return nn.Sequential(
                nn.Flatten(), nn.Linear(d, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                nn.Linear(width, classes),
            )  # fmt: skip
        if kind == "cnn":
            return nn.Sequential(
                nn.Unflatten(1, (1, shape[0])), nn.Conv2d(1, 32, 3), nn.ReLU(),
                nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                nn.Linear(64 * 12 * 12, 64), nn.ReLU(), nn.Linear(64, classes),
            )  # fmt: skip
        pool = nn.MaxPool2d(2)
        return nn.Sequential(
            block(3, 64), block(64, 128, pool), Residual(block(128, 128), block(128, 128)),
            block(128, 256, pool), block(256, 512, pool),
            Residual(block(512, 512), block(512, 512)), nn.MaxPool2d(4), nn.Flatten(),
            nn.Linear(512, classes),
        )  # fmt: skip


def train(
    data: str, model: str, n: int, lr: float, batch: int, noise: str, share: float, epochs: int,
    gradients: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """One run: errors, losses and gradients by epoch, and where two signals would stop it."""
    x, true, x_test, y_test = examples(data, n, seed)
    classes = int(true.max()) + 1
    given = wrong_labels(true, classes, noise, share, seed)
    device = "cuda" if torch.cuda.is_available() and model in ("cnn", "resnet9") else "cpu"
    net = network(model, x.shape[1:], classes, seed).to(device)
    x, x_test, y, wrong = x.to(device), x_test.to(device), given.to(device), given != true
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    draw, ids = torch.Generator().manual_seed(seed + 2), torch.arange(len(x))
    scorer, series = LabelNoiseScorer(len(x), classes), {name: [] for name in SERIES}
    plain, ungated = CleanPriorityStop(classes), CleanPriorityStop(classes, least_suspects=0)
    stops: dict[str, int | None] = {"share": None, "losses": None, "ungated": None}
    arms = {"share": False, "losses": False}
    aligned = torch.full((len(x),), math.nan)
    if gradients and len(x) <= PROBED:
        aligned = gradient_alignment(net, x, y, cross_entropy)
    found: dict[str, Any] = {
        "alignment_at_start": auroc(wrong, -aligned),
        "loss_at_start": auroc(wrong, losses_of(net, x, y)),
    }
    record(series, net, x, true, given, x_test, y_test, gradients)
    for epoch in range(1, epochs + 1):
        for part in torch.randperm(len(x), generator=draw).split(batch):
            outputs = net(x[part.to(device)])
            optimizer.zero_grad()
            cross_entropy(outputs, y[part.to(device)]).backward()
            optimizer.step()
        record(series, net, x, true, given, x_test, y_test, gradients)
        # On a fixed view, in evaluation mode: what the method asks for.
        scorer.update(logits_of(net, x), given, ids)
        present = scorer.epoch_losses()
        ungated.armed = epoch > 1  # the same rule, with the gate open
        signals = {"losses": plain.step(present), "ungated": ungated.step(present)}
        signals["share"] = scorer.end_epoch()
        for name, signal in signals.items():
            if name in arms:
                arms[name] |= signal.armed
            if signal.stop and stops[name] is None:
                stops[name] = epoch
                if name == "share":
                    found["mean_loss_at_stop"] = auroc(wrong, scorer.scores("mean_loss"))
                    found["noise_found"] = scorer.noise_rate
    found.setdefault("mean_loss_at_stop", math.nan)
    found.setdefault("noise_found", math.nan)
    errors = series["test_error"]
    for name, stop in stops.items():
        found[f"stopped_{name}"] = stop is not None
        found[f"error_{name}"] = errors[stop if stop is not None else -1]
    wrong_in = [float(wrong[true == c].double().mean()) for c in range(classes)]
    return {
        **found, **series, "armed_share": arms["share"], "armed_losses": arms["losses"],
        "actual": float(wrong.double().mean()),
        "majority": [(1 - w) / w if w else math.nan for w in wrong_in],
    }  # fmt: skip


SERIES = (
    "test_error", "clean_error", "noisy_error", "clean_loss", "noisy_loss", "residuals", "rho",
    "cosine", "rho_class", "cosine_class", "direction",
)  # fmt: skip


def record(
    series: dict[str, list], net: nn.Module, x: Tensor, true: Tensor, given: Tensor,
    x_test: Tensor, y_test: Tensor, gradients: int,
) -> None:  # fmt: skip
    """Append this epoch's numbers; losses over ln C, errors of training parts to given labels."""
    net.eval()
    logits, wrong = logits_of(net, x), given != true
    missed = (logits.argmax(1) != given).double()
    losses = cross_entropy(logits, given, reduction="none") / math.log(logits.shape[1])
    # What is sometimes taken for the ratio of gradients: the sizes of the residuals, summed.
    p = 1 - logits.softmax(1).gather(1, given[:, None])[:, 0]
    test = (logits_of(net, x_test).argmax(1) != y_test).double().mean()
    now: dict[str, Any] = {
        "test_error": float(test),
        "clean_error": float(missed[~wrong].mean()), "noisy_error": float(missed[wrong].mean()),
        "clean_loss": float(losses[~wrong].mean()), "noisy_loss": float(losses[wrong].mean()),
        "residuals": float(p[~wrong].sum() / p[wrong].sum()) if bool(wrong.any()) else math.nan,
    }  # fmt: skip
    if gradients:
        x, true, given = x[:PROBED], true[:PROBED].to(x.device), given[:PROBED].to(x.device)
        ratio = clean_dominance(net, x, given, cross_entropy, given == true, classes=true)
        now |= {
            "rho": ratio.total, "cosine": ratio.cosine, "rho_class": ratio.per_class.tolist(),
            "cosine_class": ratio.cosines.tolist(), "direction": direction(net, x, true, given),
        }  # fmt: skip
    for name, value in now.items():
        series[name].append(value)
    net.train()


def direction(net: nn.Module, x: Tensor, true: Tensor, given: Tensor) -> float:
    """Cosine between the gradient under the given labels and the one under the true labels."""
    both = {
        y: segment_gradients(net, x, y, cross_entropy, torch.zeros_like(y)) for y in (given, true)
    }
    # ⟨g, t⟩ from the lengths of g, t and of their mean, which is the gradient of the mean loss.
    mean = segment_gradients(
        net, x, torch.stack([given, true], dim=1),
        lambda f, pair: (cross_entropy(f, pair[:, 0]) + cross_entropy(f, pair[:, 1])) / 2,
        torch.zeros_like(given),
    ).norms  # fmt: skip
    g, t = (found.norms for found in both.values())
    return float((4 * mean**2 - g**2 - t**2) / (2 * g * t))


@torch.no_grad()
def logits_of(net: nn.Module, x: Tensor) -> Tensor:
    """Outputs in evaluation mode, on the processor."""
    mode = net.training
    net.eval()
    outputs = torch.cat([net(part).cpu() for part in x.split(2000)])
    net.train(mode)
    return outputs


def losses_of(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Each sample's loss."""
    return cross_entropy(logits_of(net, x), y.cpu(), reduction="none")


def auroc(wrong: Tensor, scores: Any) -> float:
    """How well scores rank wrong labels first; NaN without wrong labels or scores."""
    scores = np.asarray(scores)
    if not bool(wrong.any()) or not np.isfinite(scores).all():
        return math.nan
    return float(roc_auc_score(wrong.numpy(), scores))


def start(share: float, n: int, seed: int) -> dict[str, Any]:
    """ρ per class before training, on clustered Gaussians under random ReLU features."""
    draw = torch.Generator().manual_seed(seed)
    classes, d, width = 10, 20, 200
    true = torch.randint(0, classes, (n,), generator=draw)
    centres = 4 * torch.randn(classes, d, generator=draw)
    x = centres[true] + torch.randn(n, d, generator=draw)
    x = (x @ torch.randn(d, width, generator=draw) / math.sqrt(d)).relu()
    given = wrong_labels(true, classes, "random", share, seed)
    readout = nn.Linear(width, classes, bias=False)
    nn.init.zeros_(readout.weight)  # the outputs are 0, the probabilities 1/C
    found = clean_dominance(readout, x, given, cross_entropy, given == true, classes=true)
    return {
        "measured": float(found.per_class.mean()),
        "predicted": (1 - share) * (classes - 1) / share,
    }


def oracle(seed: int) -> dict[str, float]:
    """Largest relative error of the gradients' ratio and cosines against sums over samples."""
    draw = torch.Generator().manual_seed(seed)
    classes = 3
    x, true = torch.randn(30, 4, generator=draw), torch.arange(30) % classes
    given = wrong_labels(true, classes, "random", 0.4, seed)
    given[:classes] = (true[:classes] + 1) % classes  # each class has a wrong one
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, classes)).double()
    x = x.double()
    each = []
    for row, label in zip(x, given, strict=True):
        slopes = torch.autograd.grad(cross_entropy(net(row), label), list(net.parameters()))
        each.append(torch.cat([slope.flatten() for slope in slopes]))
    gradients, clean = torch.stack(each), given == true

    def pair(chosen: Tensor) -> tuple[float, float]:
        good, bad = gradients[chosen & clean].sum(0), gradients[chosen & ~clean].sum(0)
        return float(good.norm() / bad.norm()), float(good @ bad / good.norm() / bad.norm())

    found = clean_dominance(net, x, given, cross_entropy, clean, classes=true)
    total = pair(torch.ones_like(clean))
    per_class = [pair(true == c) for c in range(classes)]
    errors = [found.total / total[0] - 1, found.cosine - total[1]]
    for c, (ratio, cosine) in enumerate(per_class):
        errors += [float(found.per_class[c]) / ratio - 1, float(found.cosines[c]) - cosine]
    return {"ratio_error": max(abs(error) for error in errors)}
