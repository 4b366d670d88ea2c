"""
Coupling two domains in a space that tells classes apart
========================================================

Two devices record the same three kinds of event. Eight quantities are alike on both; eight more
told the kinds apart on the first and say nothing on the second. Needs
``pip install 'overparam[transport]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

from overparam.transport import DiscriminantTransportClassifier

draw = np.random.default_rng(3)
kind = np.repeat(np.arange(3), 100)
alike, misleading = 1.5 * draw.normal(size=(3, 8)), 2.5 * draw.normal(size=(3, 8))


def recorded(second):
    """Rows of one device; the last columns are noise."""
    first = alike[kind] + draw.normal(size=(300, 8))
    return np.hstack([first, second, 2 * draw.normal(size=(300, 14))])


source = recorded(misleading[kind] + draw.normal(size=(300, 8)))
target = recorded(2.5 * draw.normal(size=(300, 8)))

# %%
# Without the target, the directions that tell the kinds apart rely on what misleads. The coupling
# knows both sets; its labels correct the directions, and these the next coupling.
models = {
    "directions of the source": DiscriminantTransportClassifier().fit(source, kind),
    "after adapting": DiscriminantTransportClassifier().fit(source, kind, target),
}
accuracy = {name: model.score(target, kind) for name, model in models.items()}
print({name: f"{share:.0%}" for name, share in accuracy.items()})

fig, panels = plt.subplots(1, 3, figsize=(8.4, 3.0), layout="constrained")
for (name, model), panel in zip(models.items(), panels, strict=False):
    for rows, marker in ((source, "o"), (target, "x")):
        spots = (rows - rows.mean(0)) @ model.components_
        panel.scatter(*spots.T, c=kind, cmap="viridis", marker=marker, s=14, linewidths=0.8)
    panel.set_title(f"{name}: {accuracy[name]:.0%}", fontsize=9)
    panel.set_xticks([])
    panel.set_yticks([])
coupling = models["after adapting"].coupling_
panels[2].imshow(np.sqrt(coupling), cmap="Blues")
panels[2].set_title("coupling, rows in order of kind", fontsize=9)
panels[2].set_xlabel("second device")
panels[2].set_ylabel("first device")

# %%
# Circles are the first device, crosses the second, coloured by the kinds of both, of which the
# second's were not used. Most of the mass of the coupling is within kinds.
within = float((coupling * (kind[:, None] == kind)).sum())
print(f"{within:.0%} of the coupling's mass joins events of one kind")
