"""
A monitor in a plain PyTorch loop
=================================

One line between ``backward`` and ``optimizer.step()`` measures a run and changes nothing in it.
Full-batch training on 200 digits at a constant rate shows what theory calls the *edge of
stability*: the sharpness of the loss climbs to the optimizer's own limit, and stays about there.
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

import overparam as op
from overparam.dynamics.probes import Sharpness

torch.manual_seed(0)
pixels, digit = load_digits(return_X_y=True)
x = torch.tensor(pixels[:200] / 8 - 1, dtype=torch.float32)
y = nn.functional.one_hot(torch.tensor(digit[:200]), 10).float()

model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
loss_function = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

# %%
# ``max_overhead=math.inf`` measures at every step, for the picture. By default the monitor keeps
# its own time below 5 % of the training's, and measures as often as that allows.
monitor = op.Monitor(model, loss_function, optimizer, probes=[Sharpness()], max_overhead=math.inf)
for _ in range(400):
    loss = loss_function(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    monitor.step(loss, batch=(x, y))
    optimizer.step()

history = monitor.history
print(history[["loss", "sharpness", "sharpness_limit", "stability_ratio"]].iloc[[0, 50, 399]])

# %%
# Sharpness below the limit lets a linear model converge; the limit of gradient descent is 2/η.
fig, (top, bottom) = plt.subplots(2, sharex=True)
top.semilogy(history["loss"])
top.set(ylabel="loss")
bottom.plot(history["sharpness"], label="sharpness")
bottom.plot(history["sharpness_limit"], "k--", label="limit of this optimizer")
bottom.set(xlabel="step", ylabel="curvature", ylim=0)
bottom.legend()
