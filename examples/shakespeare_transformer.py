"""A character-level Transformer that predicts every next character, trained with AdamW.

python3 x.py run diagnose examples/shakespeare_transformer.py --html report.html

It shows all that a specification can say: a model of several inputs per example, its own
data, a loss over positions, and the optimizer in use with its rate.
"""

import numpy as np
import torch
from torch import Tensor, nn

from overparam.datasets import load

LENGTH, WIDTH, CHARACTERS = 64, 64, 65


class Transformer(nn.Module):
    """Two blocks of causal self-attention over learned positions."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(CHARACTERS, WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        block = nn.TransformerEncoderLayer(
            WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, CHARACTERS)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(LENGTH))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next character at every position: (batch, LENGTH, CHARACTERS)."""
        hidden = self.characters(ids) + self.positions
        return self.head(self.blocks(hidden, mask=self.mask, is_causal=True))


def model() -> nn.Module:
    """About 110 000 parameters."""
    return Transformer()


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Windows of the text, and the same windows one character later."""
    text = load("tinyshakespeare")
    parts = []
    for windows, following in ((text.x_train, text.y_train), (text.x_test, text.y_test)):
        shifted = np.concatenate([windows[:, 1:], following[:, None]], axis=1)
        parts += [windows.astype(np.int64), shifted.astype(np.int64)]
    x, y, x_test, y_test = parts
    return x, y, x_test, y_test


def loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Mean cross-entropy over all positions of all windows."""
    return nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten())


def optimizer(params: list[nn.Parameter]) -> torch.optim.Optimizer:
    """What one would reach for, at the rate one would guess."""
    return torch.optim.AdamW(params, lr=1e-3)
