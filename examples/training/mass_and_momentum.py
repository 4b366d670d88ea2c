"""
MaSS beside SGD with momentum
=============================

With mini-batches, Nesterov's momentum can diverge at rates at which plain SGD converges. MaSS adds
one term that repairs this, and the theory that it comes from gives all three of its settings from
the data. Here is least squares with columns of very different size: one row at a time, the same
rows in the same order, and the same rate for all three.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

from overparam.optim import MaSS, mass_constants, mass_hyperparameters

draw = torch.Generator().manual_seed(0)
scales = torch.logspace(0, -1.5, 8)
x = torch.randn(400, 8, generator=draw) * scales
y = x @ torch.ones(8, 1) / scales.mean()
best = mass_hyperparameters(mass_constants(x), batch_size=1)
print(f"lr {best.lr:.3f}, alpha {best.alpha:.3f}, kappa_t {best.kappa_t:.1f}")


def losses_of(make_optimizer, steps=1600):
    """Loss on all rows along a run that sees one row at a time."""
    model = nn.Linear(8, 1, bias=False)
    nn.init.zeros_(model.weight)
    optimizer = make_optimizer(model.parameters())
    order = torch.Generator().manual_seed(1)
    losses = []
    for step in range(steps):
        row = torch.randint(400, (1,), generator=order)
        optimizer.zero_grad()
        (0.5 * (model(x[row]) - y[row]).square().mean()).backward()
        optimizer.step()
        if step % 20 == 0:
            losses.append(0.5 * (model(x) - y).square().mean().item())
    return losses


# %%
# Nesterov's momentum is given what MaSS has. On networks the picture is less clear, and a tuned
# Nesterov often as good: see :doc:`/how-to/optimizers`.
momentum = (1 - best.alpha) / (1 + best.alpha)
runs = {
    "SGD": lambda p: torch.optim.SGD(p, lr=best.lr),
    f"SGD, Nesterov momentum {momentum:.2f}": lambda p: torch.optim.SGD(
        p, lr=best.lr, momentum=momentum, nesterov=True
    ),
    "MaSS": lambda p: MaSS(p, lr=best.lr, alpha=best.alpha, kappa_t=best.kappa_t),
}
fig, axes = plt.subplots()
curves = {}
for name, make_optimizer in runs.items():
    curves[name] = losses_of(make_optimizer)
    axes.semilogy([20 * i for i in range(len(curves[name]))], curves[name], label=name)
    print(f"{name}: {curves[name][-1]:.1e}")
axes.set(xlabel="step, one row each", ylabel="loss on all rows", ylim=(1e-7, 1e3))
axes.legend()
