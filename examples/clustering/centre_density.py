"""
Where many centres go
=====================

With many clusters, centres are neither spread evenly nor as dense as the data. Of squared
distances in one dimension their density is the cube root of that of the data, and of another
divergence there are more of them where its φ bends more: (φ'' f)^(1/3). Here the data are spread
evenly over [0.05, 1], so that all that is seen is the divergence.
"""

import matplotlib.pyplot as plt
import numpy as np

from overparam.clustering import BregmanKMeans, asymptotic_center_density, quantization_constant

low, k = 0.05, 40
points = np.linspace(low, 1, 40_001)[:, None]


def even(x):
    """Density of the data."""
    return np.full(len(x), 1 / (1 - low))


# %%
# Centres as a histogram by their distances, and the law as a line.

fig, panels = plt.subplots(1, 3, figsize=(8, 3), sharey=True)
errors, inertias = {}, {}
for name, panel in zip(["euclidean", "kl", "itakura_saito"], panels, strict=True):
    law = asymptotic_center_density(even, name, bounds=[(low, 1)])
    # From where the law has its quantiles, which the iteration then improves.
    below = np.cumsum(law(points)) / law(points).sum()
    start = np.interp((np.arange(k) + 0.5) / k, below, points[:, 0])[:, None]
    model = BregmanKMeans(k, divergence=name, init=start, tol=0, max_iter=200).fit(points)
    centres = np.sort(model.cluster_centers_[:, 0])
    middles = (centres[1:] + centres[:-1]) / 2
    found = 1 / (k * np.diff(centres))
    errors[name] = float(np.abs(found / law(middles[:, None]) - 1).max())
    limit = quantization_constant(even, name, bounds=[(low, 1)])
    inertias[name] = k**2 * model.inertia_ / len(points) / limit
    panel.stairs(found, centres, fill=True, alpha=0.4)
    panel.plot(points, law(points))
    panel.set(xlabel="x", title=name)
    print(f"{name}: density to {errors[name]:.1%}, k² · inertia / n over its limit "
          f"{inertias[name]:.3f}")  # fmt: skip
panels[0].set_ylabel("density of centres")
