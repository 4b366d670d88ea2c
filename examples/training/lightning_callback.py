"""
A monitor in Lightning
======================

``LightningMonitor`` is a callback: the module and the trainer stay as they are, and the numbers
go to the run's loggers. Needs ``pip install 'overparam[lightning]'``.
"""

import logging
import math
import tempfile
import warnings

import lightning.pytorch as pl
import matplotlib.pyplot as plt
import torch
from lightning.pytorch.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from overparam.integrations.lightning import LightningMonitor

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")  # its advice on the number of workers
torch.manual_seed(0)
pixels, digit = load_digits(return_X_y=True)
x, y = torch.tensor(pixels / 8 - 1).float(), torch.tensor(digit)


class Digits(pl.LightningModule):
    """A network as one writes it for Lightning; it knows of no monitor."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


# %%
# The callback takes what ``Monitor`` takes.
callback = LightningMonitor(nn.functional.cross_entropy, max_overhead=math.inf)
folder = tempfile.mkdtemp()
trainer = pl.Trainer(
    max_epochs=2, accelerator="cpu", callbacks=[callback], logger=CSVLogger(folder),
    enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
)  # fmt: skip
trainer.fit(Digits(), DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True))

# %%
# The sharpness of Adam is that of the curvature as its own preconditioner sees it.
history = callback.monitor.history
print(history[["loss", "stability_ratio", "grad_norm", "kernel_change"]].iloc[[0, 10, -1]])
fig, (top, bottom) = plt.subplots(2, sharex=True)
top.plot(history["loss"])
top.set(ylabel="loss of the batch")
bottom.semilogy(history["stability_ratio"])
bottom.axhline(1.0, color="k", linestyle="--")
bottom.set(xlabel="step", ylabel="rate / critical rate")
