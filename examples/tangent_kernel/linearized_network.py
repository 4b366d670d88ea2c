"""
A network and its linearisation
===============================

``linearize`` is the first Taylor polynomial of a network around its present weights, as a module
that any optimizer trains. A wide network trains like it; a narrow one leaves it behind.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import overparam as op
from overparam.nets import ntk_mlp
from overparam.tangents import kernel_change

draw = torch.Generator().manual_seed(0)
x = torch.randn(30, 5, generator=draw)
y = torch.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]
loss_function = nn.MSELoss()


def losses(model, lr, steps=200):
    """Gradient descent on all examples."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    seen = []
    for _ in range(steps):
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    return torch.tensor(seen)


# %%
# Both start from the same weights and take the same steps.
gaps, changes = {}, {}
fig, panels = plt.subplots(1, 2, sharey=True, figsize=(8, 3.4))
for width, panel in zip((16, 512), panels, strict=True):
    model = ntk_mlp([5, width, width, 1], "tanh", weight_scale=1.5, seed=1)
    linear = op.linearize(model)
    before = op.empirical_ntk(model, x)
    lr = 0.5 * op.critical_learning_rate(model, x, y, loss_function)
    curves = {"network": losses(model, lr), "linearised": losses(linear, lr)}
    gaps[width] = float((curves["network"].log() - curves["linearised"].log()).abs().max())
    changes[width] = kernel_change(op.empirical_ntk(model, x), before)
    print(f"width {width}: the kernel changed by {changes[width]:.1%}")
    for (name, curve), style in zip(curves.items(), ("-", "k--"), strict=True):
        panel.semilogy(curve, style, label=name)
    panel.set(title=f"width {width}", xlabel="step")
panels[0].set(ylabel="loss")
panels[0].legend()
