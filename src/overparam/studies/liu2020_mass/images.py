"""Convolutional networks on images, as the paper trained them."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from overparam.datasets.named import load
from overparam.optim.mass import MaSS
from overparam.studies.liu2020_mass.training import finite, optimizer_of

BATCH, ALPHA = 64, 0.05
# κ̃ of the authors' script for the residual network, and of their text for the other.
KAPPA = {"resnet": 2.0, "cnn": 3.0}
# Of the first convolutional weights alone; twice the l2 of the authors' framework, whose
# penalty has no half.
WEIGHT_DECAY = 2e-4
EPOCHS = {"resnet": (300, (150, 225)), "cnn": (150, (60, 120))}


class Block(nn.Module):
    """Two convolutions beside a shortcut, which is a projection where the size changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        changes = stride > 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Features of half the size if the stride is 2."""
        return functional.relu(self.body(x) + self.shortcut(x))


def resnet(channels: int, blocks: int) -> nn.Module:
    """Three stages of residual blocks with 16, 32 and 64 filters; 32 layers for 5 blocks."""
    layers: list[nn.Module] = [nn.Conv2d(channels, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU()]
    width = 16
    for outputs in (16, 32, 64):
        for i in range(blocks):
            layers.append(Block(width, outputs, 2 if outputs > 16 and i == 0 else 1))
            width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def cnn(channels: int) -> nn.Module:
    """Three 5 × 5 convolutions with batch norm and pooling, and two dense layers."""
    layers: list[nn.Module] = []
    width = channels
    for outputs in (64, 64, 128):
        layers += [nn.Conv2d(width, outputs, 5, padding=2), nn.BatchNorm2d(outputs), nn.ReLU(),
                   nn.MaxPool2d(2)]  # fmt: skip
        width = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, 10))


def images(
    data: str, architecture: str, method: str, lr: float, blocks: int, examples: int,
    epochs: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Test accuracy in per cent and training loss at the end.

    A smaller size on a machine without the data leaves it out: no claim rests on it.
    """
    try:
        dataset = load(data)
    except FileNotFoundError:
        if epochs == EPOCHS[architecture][0]:
            raise
        return {"absent": f"no {data} in a folder of data", "accuracy": math.nan, "loss": math.nan}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x_train, x_test = prepared(dataset.x_train[:examples], dataset.x_test[:examples], device)
    y_train, y_test = (
        torch.as_tensor(y[:examples]).to(device) for y in (dataset.y_train, dataset.y_test)
    )
    channels = x_train.shape[1]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = resnet(channels, blocks) if architecture == "resnet" else cnn(channels)
        model(torch.zeros(2, *x_train.shape[1:]))
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.get_parameter("bias"))
        model.to(device)
        loss = train(model, x_train, y_train, architecture, method, lr, epochs)
    return {"accuracy": accuracy(model, x_test, y_test), "loss": loss}


def prepared(x_train: np.ndarray, x_test: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    """Channels first, pixels in [0, 1] less the training mean of each."""
    parts = []
    for part in (x_train, x_test):
        x = torch.as_tensor(part).to(device).float() / 255
        parts.append(x[:, None] if x.ndim == 3 else x.movedim(-1, 1) if x.shape[-1] == 3 else x)
    return parts[0] - parts[0].mean(0), parts[1] - parts[0].mean(0)


def train(
    model: nn.Module, x: Tensor, y: Tensor, architecture: str, method: str, lr: float, epochs: int
) -> float:
    """Train with two drops of the rate, at which the momentum starts anew; the last loss."""
    planned, drops = EPOCHS[architecture]
    optimizer = optimizer_of(method, model, lr, ALPHA, KAPPA[architecture])
    convolutions = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d)}
    everything = optimizer.param_groups[0]["params"]
    optimizer.param_groups[0]["params"] = [p for p in everything if id(p) not in convolutions]
    decayed = [p for p in everything if id(p) in convolutions]
    optimizer.add_param_group({"params": decayed, "weight_decay": WEIGHT_DECAY})
    total = math.nan
    for epoch in range(epochs):
        if epoch in [drop * epochs // planned for drop in drops]:
            for group in optimizer.param_groups:
                group["lr"] /= 10
            restart(optimizer)
        total = 0.0
        for batch in torch.randperm(len(x), device=x.device).split(BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(augmented(x[batch])), y[batch])
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(batch) / len(x)
    return finite(torch.tensor(total))


def restart(optimizer: torch.optim.Optimizer) -> None:
    """Forget past gradients."""
    if isinstance(optimizer, MaSS):
        optimizer.reset_momentum()
    else:
        optimizer.state.clear()


def augmented(x: Tensor) -> Tensor:
    """Each image flipped or not, and shifted by up to a tenth of its size in each direction."""
    n = len(x)
    flips = torch.where(torch.rand(n, device=x.device) < 0.5, -1.0, 1.0)
    # The grid spans −1…1, so a tenth of the size is 0.2.
    shifts = (2 * torch.rand(n, 2, device=x.device) - 1) * 0.2
    maps = torch.zeros(n, 2, 3, device=x.device)
    maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = flips, 1.0, shifts
    grid = functional.affine_grid(maps, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Per cent right."""
    model.eval()
    right = sum(
        int((model(part).argmax(1) == labels).sum())
        for part, labels in zip(x.split(500), y.split(500), strict=True)
    )
    return 100 * right / len(x)
