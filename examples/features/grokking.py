"""
Grokking without a network
==========================

A kernel machine that learns a + b modulo 23 from three quarters of all pairs: it fits them
perfectly in every round, answers no new pair at first, and then suddenly nearly all. What moves
meanwhile is its feature matrix, whose blocks become circulant.
"""

import matplotlib.pyplot as plt

from overparam.kernels import Quadratic, feature_recursion
from overparam.kernels.modular import circulant_deviation, modular_arithmetic, operand_block

task = modular_arithmetic("add", 23, train_fraction=0.75, seed=0)
rounds = feature_recursion(
    task.x_train, task.y_train, Quadratic(), ridge=0.0, n_iter=16, power=0.5, normalize=None,
    center=True,
)  # fmt: skip
accuracy, deviation, blocks = [], [], []
for step in rounds:
    right = step.predictor(task.x_test).argmax(1) == task.y_test.argmax(1)
    accuracy.append(right.double().mean().item())
    if step.iteration:
        blocks.append(operand_block(step.predictor.feature_matrix, "add"))
        deviation.append(circulant_deviation(blocks[-1], kind="circulant"))

# %%
# Accuracy is flat for rounds in which the matrix is already under way.
for t in (4, 6, 8, 12, 16):
    print(f"round {t:2d}: {accuracy[t]:4.0%} right, {deviation[t - 1]:.2f} from circulant")

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), width_ratios=(1, 1, 1.6))
for panel, t in zip(axes, (1, 16), strict=False):
    panel.imshow(blocks[t - 1].numpy(), cmap="Blues")
    panel.set_title(f"round {t}")
    panel.axis("off")
axes[2].plot(accuracy, label="accuracy on new pairs")
axes[2].plot(range(1, 17), deviation, "k--", label="distance from circulant")
axes[2].set(xlabel="round", ylim=(-0.02, 1.02))
axes[2].legend(fontsize=8)
