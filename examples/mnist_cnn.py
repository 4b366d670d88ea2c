"""A small convolutional network with cross-entropy.

python3 x.py run diagnose examples/mnist_cnn.py --data mnist --html report.html
"""

from torch import nn


def model() -> nn.Module:
    """Two convolutions and two linear layers, about 200 000 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


loss = nn.CrossEntropyLoss()
