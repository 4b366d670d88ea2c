"""
A catapult, seen
================

The rate is raised to 1.4 times its critical value. The loss shoots up along the leading
eigenvectors of the tangent kernel until the curvature has fallen, then comes back by itself. The
monitor tells such a spike from a bad batch and from a divergence.
"""

import math

import matplotlib.pyplot as plt
import torch
from torch import nn

import overparam as op
from overparam.nets import ntk_mlp

draw = torch.Generator().manual_seed(0)
x = torch.randn(40, 10, generator=draw)
y = x[:, :1] * x[:, 1:2]
model, loss_function = ntk_mlp([10, 128, 1], "relu", seed=draw), nn.MSELoss()
limit = op.critical_learning_rate(model, x, y, loss_function)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5 * limit)
monitor = op.Monitor(model, loss_function, optimizer, max_overhead=math.inf)

for step in range(60):
    if step == 10:
        optimizer.param_groups[0]["lr"] = 1.4 * limit
    loss = loss_function(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    monitor.step(loss, batch=(x, y))
    optimizer.step()

# %%
# Every spike comes with its cause and the numbers that decided it.
for event in monitor.events:
    print(f"{event.kind}: {event.reason}")

# %%
# The rise lies in the top five eigenvectors alone, and the curvature ends below the limit.
history = monitor.history
fig, (top, bottom) = plt.subplots(2, sharex=True)
top.semilogy(history["loss_top"], label="in the top five eigenvectors")
top.semilogy(history["loss_rest"], label="in all others")
top.set(ylabel="loss")
top.legend()
bottom.plot(history["sharpness"], label="sharpness")
bottom.plot(history["sharpness_limit"], "k--", label="limit")
bottom.set(xlabel="step", ylabel="curvature", ylim=0)
bottom.legend()
