"""
A proof that training will converge
===================================

``pl_certificate`` looks at a network *before* training and proves, where it can, that gradient
descent reaches zero loss: with a step size, a rate and a ball that the weights will not leave.
"""

import math

import matplotlib.pyplot as plt
import torch

from overparam.nets import NTKLinear
from overparam.tangents import pl_certificate


def network(width):
    """One hidden layer, its output weights fixed: the smoothness has a closed form."""
    hidden = NTKLinear(2, width, weight_scale=math.sqrt(2), seed=0, dtype=torch.float64)
    output = NTKLinear(width, 1, seed=1, dtype=torch.float64).requires_grad_(False)
    return torch.nn.Sequential(hidden, torch.nn.Tanh(), output)


x = torch.eye(2, dtype=torch.float64)
push = torch.tensor([[0.3], [-0.3]], dtype=torch.float64)

# %%
# Certificates are demanding: a narrow network gets none, and the reason.
narrow = network(16)
print(pl_certificate(narrow, x, narrow(x).detach() + push))

# %%
model = network(10_000)
y = model(x).detach() + push
certificate = pl_certificate(model, x, y)
print(certificate)

# %%
# Gradient descent at the certified rate keeps to the bound.
losses, steps = [], 30
start = model[0].weight.detach().clone()
for _ in range(steps):
    loss = 0.5 * (model(x) - y).square().sum()
    (gradient,) = torch.autograd.grad(loss, model[0].weight)
    with torch.no_grad():
        model[0].weight -= certificate.lr * gradient
    losses.append(loss.item())
moved = (model[0].weight - start).norm().item()
print(f"moved by {moved:.2f}, certified {certificate.radius:.2f}")

# %%
fig, axes = plt.subplots()
axes.semilogy(losses, label="measured")
axes.semilogy(certificate.loss_bound(range(steps)), "k--", label="certified before training")
axes.set(xlabel="step", ylabel="loss")
axes.legend()
