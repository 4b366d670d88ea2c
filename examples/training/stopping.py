"""
When to stop, without clean labels
==================================

With 40 % wrong labels the test error falls, then rises as they are memorised. The losses of the
training set alone show the moment: no validation set, and none of the test errors drawn here, is
used for the signal.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

import overparam as op

pixels, digit = load_digits(return_X_y=True)
x, true = torch.tensor(pixels / 8 - 1).float(), torch.tensor(digit)
draw = torch.Generator().manual_seed(0)
wrong = torch.rand(1000, generator=draw) < 0.4
given = true[:1000].clone()
given[wrong] = (given[wrong] + torch.randint(1, 10, (int(wrong.sum()),), generator=draw)) % 10

torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scorer = op.LabelNoiseScorer(1000, 10)
errors, stopped = [], None
for epoch in range(40):
    for ids in torch.randperm(1000, generator=draw).split(50):
        logits = model(x[ids])
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, given[ids]).backward()
        optimizer.step()
        scorer.update(logits, given[ids], ids)
    if scorer.end_epoch().stop and stopped is None:
        stopped = epoch
    with torch.no_grad():
        errors.append((model(x[1000:]).argmax(1) != true[1000:]).double().mean().item())

# %%
print(f"best epoch {errors.index(min(errors))}: {min(errors):.3f}")
print(f"stopped at {stopped}: {errors[stopped]:.3f}; at the end: {errors[-1]:.3f}")

# %%
# Under light noise it pays less, and with clean labels the signal abstains: see
# :doc:`/how-to/stopping`.
fig, axes = plt.subplots()
axes.plot(errors, label="test error, clean labels")
axes.axvline(stopped, color="k", linestyle="--", label="the signal says stop")
axes.set(xlabel="epoch", ylabel="error", ylim=0)
axes.legend()
