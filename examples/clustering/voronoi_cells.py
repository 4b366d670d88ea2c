"""
Four meanings of near
=====================

The same points, clustered with four Bregman divergences. In all four the centre of a cluster is
the mean of its points, and cells have straight edges, which logarithmic axes bend. What differs
is what is near: squared distances forget the scale, Kullback–Leibler and Itakura–Saito take a step
at small numbers for larger than the same step at large ones, and the cube the other way round.
"""

import matplotlib.pyplot as plt
import numpy as np

from overparam.clustering import BregmanKMeans

# Three groups whose spread grows with their size: gamma noise of shape 6.
draw = np.random.default_rng(0)
truth = np.repeat([0, 1, 2], 150)
means = np.array([[1.0, 1.5], [4.0, 2.5], [9.0, 10.0]])
points = means[truth] * draw.gamma(6.0, 1 / 6.0, size=(450, 2))

# %%
# The cells of all points of the plane, the points and the centres. The divergence of the noise,
# Itakura–Saito, gives most of the groups back, Kullback–Leibler nearly as much.

across, up = np.meshgrid(np.geomspace(0.15, 30, 300), np.geomspace(0.15, 30, 300))
plane = np.stack([across.ravel(), up.ravel()], axis=1)
fig, panels = plt.subplots(2, 2, figsize=(6.4, 6.4), sharex=True, sharey=True, layout="constrained")
agreement = {}
names = {"euclidean": "squared distance", "kl": "Kullback–Leibler",
         "itakura_saito": "Itakura–Saito", ("power", 3): "cube"}  # fmt: skip
for (name, title), panel in zip(names.items(), panels.flat, strict=True):
    model = BregmanKMeans(3, divergence=name, n_init=5, random_state=0).fit(points)
    order = model.cluster_centers_[:, 0].argsort().argsort()  # colours from left to right
    labels = order[model.labels_]
    agreement[name] = float((labels == truth).mean())
    cells = order[model.predict(plane)].reshape(across.shape)
    panel.contourf(across, up, cells, levels=[-0.5, 0.5, 1.5, 2.5], cmap="Pastel1", alpha=0.7)
    panel.scatter(*points.T, c=truth, s=5, cmap="Set1", vmin=0, vmax=8)
    panel.scatter(*model.cluster_centers_.T, marker="x", color="black")
    panel.set(xscale="log", yscale="log", title=f"{title}: {agreement[name]:.0%} as drawn")
    print(f"{title}: {agreement[name]:.0%} of the points are in the cluster of their group")
