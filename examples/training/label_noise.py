"""
Wrong labels, found
===================

A fifth of the labels of 1000 digits is replaced at random. A network learns the labels that agree
with one another first; what it contradicts until then is suspect. The logits that training
computes anyway are enough.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

import overparam as op

pixels, digit = load_digits(return_X_y=True)
x, true = torch.tensor(pixels[:1000] / 8 - 1).float(), torch.tensor(digit[:1000])
draw = torch.Generator().manual_seed(0)
wrong = torch.rand(1000, generator=draw) < 0.2
given = torch.where(wrong, (true + torch.randint(1, 10, (1000,), generator=draw)) % 10, true)

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scorer = op.LabelNoiseScorer(1000, 10)
for _ in range(15):
    for ids in torch.randperm(1000, generator=draw).split(64):
        logits = model(x[ids])
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, given[ids]).backward()
        optimizer.step()
        scorer.update(logits, given[ids], ids)
    signal = scorer.end_epoch()

# %%
# The table has a row per example, the most suspicious with the largest score.
issues = scorer.issues().sort_values("score", ascending=False)
found = wrong.numpy()[issues.index]
print(issues.head(5))
print(f"estimated share of wrong labels: {signal.noise_rate:.2f}")
print(f"wrong among the first 100: {found[:100].sum()}, the first 200: {found[:200].sum()}")

# %%
# The first twelve, with the label that was given and the one the network believes.
fig, axes = plt.subplots(2, 6, figsize=(6.4, 2.8))
for panel, (index, row) in zip(axes.flat, issues.head(12).iterrows(), strict=True):
    panel.imshow(pixels[index].reshape(8, 8), cmap="gray_r")
    panel.set_title(f"given {row.given_label}\nlooks like {row.predicted_label}", fontsize=8)
    panel.axis("off")
