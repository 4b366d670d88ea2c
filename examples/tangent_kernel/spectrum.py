"""
The spectrum of a tangent kernel
================================

How fast a wide network fits depends on its tangent kernel's eigenvalues, and on where the labels
lie among the eigenvectors. True labels lie along the large ones, shuffled labels anywhere.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from overparam.nets import ntk_mlp
from overparam.tangents import empirical_ntk, network_alignment

pixels, digit = load_digits(return_X_y=True)
x = torch.as_tensor(pixels[:300])
x = x / x.norm(dim=1, keepdim=True)
y = torch.where(torch.as_tensor(digit[:300]) % 2 == 0, 1.0, -1.0).double()[:, None]
shuffled = y[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
model = ntk_mlp([64, 512, 512, 1], "relu", weight_scale=2**0.5, seed=0).double()

# %%
# ``empirical_ntk`` is exact, for any module.
kernel = empirical_ntk(model, x)
eigenvalues, eigenvectors = torch.linalg.eigh(kernel)
eigenvalues, eigenvectors = eigenvalues.flip(0), eigenvectors.flip(1)
print(f"largest {eigenvalues[0]:.3g}, smallest {eigenvalues[-1]:.3g}")

# %%
# The slopes say how the squared projections fall with the eigenvalue.
slopes = {
    name: network_alignment(model, x, labels, drop_top=1).labels.slope
    for name, labels in (("even or odd", y), ("shuffled", shuffled))
}
print({name: round(slope, 1) for name, slope in slopes.items()})

# %%
# Labels along large eigenvalues are learned in few steps. Half of the true labels' energy is in
# a few directions; of shuffled ones it takes as many as their share of all.
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
left.loglog(range(1, 301), eigenvalues)
left.set(xlabel="rank", ylabel="eigenvalue")
energy = {}
for name, labels in (("even or odd", y), ("shuffled", shuffled)):
    projected = (eigenvectors.T @ labels).square().flatten()
    energy[name] = projected.cumsum(0) / projected.sum()
    right.plot(range(1, 301), energy[name], label=name)
right.set(xlabel="leading eigenvectors", ylabel="share of the labels' energy", xscale="log")
right.legend()
