"""
A learning rate without a grid
==============================

``critical_learning_rate`` is the rate at which this model, this loss and this optimizer become
unstable on a batch, from products with the Gauss–Newton matrix: no run, no grid. Here are grids,
to see whether it is true.
"""

import copy
import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler
from torch import nn

import overparam as op

torch.manual_seed(0)
columns, target = load_diabetes(return_X_y=True)
x = torch.tensor(StandardScaler().fit_transform(columns), dtype=torch.float32)
y = torch.tensor((target - target.mean()) / target.std(), dtype=torch.float32)[:, None]
start = nn.Sequential(nn.Linear(10, 512), nn.ReLU(), nn.Linear(512, 1))
loss_function = nn.MSELoss()


def peak(make_optimizer, steps=60):
    """The largest loss along a run of a copy of the network, over that at the start."""
    model = copy.deepcopy(start)
    optimizer = make_optimizer(model.parameters())
    losses = []
    for _ in range(steps):
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return max(losses) / losses[0] if math.isfinite(losses[-1]) else math.inf


# %%
# Each optimizer has a limit of its own: with momentum 0.9 it is 1.9 times that of plain descent.
# Below it the loss stays under its start, above it shoots up. A linear model would not return;
# this network finds a flatter place (a *catapult*), with momentum only a little above the limit.
# Where points are missing, runs diverged.
kinds = {"SGD": {}, "SGD, momentum 0.9": {"momentum": 0.9}}
fig, axes = plt.subplots()
limits, peaks = {}, {}
ratios = torch.arange(0.4, 2.0, 0.1)
for name, options in kinds.items():
    optimizer = torch.optim.SGD(start.parameters(), lr=1.0, **options)
    limits[name] = op.critical_learning_rate(start, x, y, loss_function, optimizer)
    peaks[name] = [
        peak(lambda p, lr=lr, options=options: torch.optim.SGD(p, lr=lr, **options))
        for lr in (ratios * limits[name]).tolist()
    ]
    print(f"{name}: critical rate {limits[name]:.3f}")
    axes.semilogy(ratios, peaks[name], marker=".", label=f"{name}: limit {limits[name]:.2f}")

axes.axvline(1.0, color="k", linestyle="--")
axes.set(
    xlabel="learning rate over its critical value",
    ylabel="largest loss over the first",
)
axes.legend()
