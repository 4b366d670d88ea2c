"""
What a network looks at
=======================

The average gradient outer product (AGOP) of a model by its inputs says which directions of the
input it responds to. Its diagonal is a picture: the pixels that move the outputs. Two networks
are trained on the same images for two questions.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

import overparam as op

pixels, digit = load_digits(return_X_y=True)
draw = torch.Generator().manual_seed(0)
# A frame of four pixels around every digit holds nothing but noise.
wide = torch.randn(len(pixels), 16, 16, generator=draw)
wide[:, 4:12, 4:12] = torch.tensor(pixels.reshape(-1, 8, 8) / 8 - 1).float()
x = wide.flatten(1)
# The brightness of one pixel of the frame, at row 2 and column 13, is the other question.
questions = {
    "which digit?": (torch.tensor(digit), nn.CrossEntropyLoss(), 10),
    "how bright is pixel (2, 13)?": (wide[:, 2, 13:14], nn.MSELoss(), 1),
}

# %%
fig, panels = plt.subplots(1, 2, figsize=(6.4, 3.2))
inside = {}
for (question, (y, loss_function, outputs)), panel in zip(questions.items(), panels, strict=True):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, outputs))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1.0)
    for _ in range(200):
        ids = torch.randint(len(x), (128,), generator=draw)
        loss = loss_function(model(x[ids]), y[ids])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weight = op.agop(model, x[:300]).diagonal().reshape(16, 16)
    inside[question] = float(weight[4:12, 4:12].sum() / weight.sum())
    print(f"{question} {inside[question]:.0%} of the squared gradient is on the digit's place")
    panel.imshow(weight.sqrt().numpy(), cmap="Blues")
    panel.set_title(question, fontsize=10)
    panel.axis("off")
