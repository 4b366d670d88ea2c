"""
Finding who is who in two tables
================================

One cloud of points was measured by two instruments with different columns, and the rows were
shuffled. Nothing but its shape tells which row is which. Needs
``pip install 'overparam[transport]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

from overparam.transport import TwoSidedProcrustes

draw = np.random.default_rng(1)
cluster = np.repeat(np.arange(4), 25)
cloud = (draw.normal(size=(4, 3)) * [5, 3, 2])[cluster]
cloud = cloud + draw.gamma(1, 1, size=(100, 3)) * [2, 1.5, 1]
first, second = (cloud @ np.linalg.qr(draw.normal(size=(columns, 3)))[0].T for columns in (7, 5))
first = np.hstack([first, 1.5 * draw.normal(size=(100, 3))])  # three columns of noise
order = draw.permutation(100)
second = (second + 0.05 * draw.normal(size=second.shape))[order]

# %%
# Both tables are projected to a shared space, with a coupling that costs little there.
model = TwoSidedProcrustes(3).fit(first, second)
partners = np.argsort(order)
found = float(np.mean(model.match() == partners))
print(f"{found:.0%} of the partners found; chance is 1 %")

shared = model.transform(first, second)
before = first - first.mean(0), second - second.mean(0)
fig, panels = plt.subplots(1, 3, figsize=(8.4, 3.0), layout="constrained")
views = {"two columns of each": before, "shared space": shared}
for (title, (x, y)), panel in zip(views.items(), panels, strict=False):
    panel.scatter(x[:, 0], x[:, 1], c=cluster, cmap="viridis", marker="o", s=14)
    panel.scatter(y[:, 0], y[:, 1], c=cluster[order], cmap="viridis", marker="x", s=14)
    panel.set_title(title, fontsize=9)
    panel.set_xticks([])
    panel.set_yticks([])
panels[2].imshow(model.coupling_[:, partners] > 0, cmap="Blues")
panels[2].set_title("coupling, true order", fontsize=9)

# %%
# In their true order the partners are the diagonal of the coupling.
