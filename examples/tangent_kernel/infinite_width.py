"""
Finite networks and the infinite one
====================================

As the layers grow, the tangent kernel at random initialisation tends to a fixed function of two
inputs, which is known in closed form. The distance falls as 1/√width.
"""

import math

import matplotlib.pyplot as plt
import torch

from overparam.nets import ntk_mlp
from overparam.tangents import empirical_ntk, infinite_ntk

angles = torch.linspace(0, math.pi, 30, dtype=torch.float64)
x = torch.stack([angles.cos(), angles.sin()], dim=1)
limit = infinite_ntk(x, depth=2)


def kernel(width, seed):
    """The kernel of a network with two hidden layers."""
    model = ntk_mlp([2, width, width, 1], "relu", weight_scale=math.sqrt(2), seed=seed)
    return empirical_ntk(model.double(), x)


# %%
# Five draws of each width; the distance is ‖K − K∞‖/‖K∞‖.
widths = [16, 64, 256, 1024]
distances = torch.tensor(
    [[(kernel(w, seed) - limit).norm() / limit.norm() for seed in range(5)] for w in widths]
)
for width, row in zip(widths, distances, strict=True):
    print(f"width {width:5d}: {row.mean():.3f}")

# %%
# A row of the kernel, as a function of the angle between two inputs.
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
for width in widths[::3]:
    left.plot(angles.rad2deg(), kernel(width, 0)[0], label=f"width {width}")
left.plot(angles.rad2deg(), limit[0], "k--", label="infinite")
left.set(xlabel="angle, degrees", ylabel="K(x, x′)")
left.legend()
right.loglog(widths, distances.mean(1), marker="o", label="mean of five")
right.loglog(widths, distances[0].mean() * torch.tensor(widths).div(16).rsqrt(), "k--")
right.set(xlabel="width", ylabel="relative distance")
right.text(120, 0.25, "1/√width")
