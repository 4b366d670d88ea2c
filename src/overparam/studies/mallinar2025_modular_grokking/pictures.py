"""The matrix as it forms, what is hidden meanwhile, and what networks do."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.figures import figure
from overparam.claims.statistics import select
from overparam.studies.mallinar2025_modular_grokking.machines import FILM, FRAMES
from overparam.studies.mallinar2025_modular_grokking.statistics import NAMES, values

GAP = 0.08  # of a picture's width, between two of them


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Film and curves of the published machine, operations, random features, networks."""
    runs = select(table, {"test": "published", "operation": "add"}).sort_values("seed")
    run = runs.iloc[0].to_dict()
    return {
        "film": film(run),
        "progress": progress(run),
        "operations": operations(table),
        "random": random_features(table),
        "networks": networks(table),
    }


def film(run: Mapping[str, Any]) -> dict[str, Any]:
    """The block of the feature matrix that couples the operands, three iterations a row."""
    blocks = [np.asarray(block, dtype=float) for block in run["blocks"]]
    m, across = len(blocks[0]), math.isqrt(FRAMES)
    step = m + max(1, round(GAP * m))
    size = across * step
    sheet = np.full((size, size), np.nan)
    for number, block in enumerate(blocks):
        row, column = divmod(number, across)
        sheet[row * step : row * step + m, column * step : column * step + m] = block
    places = np.arange(size) / step
    line = {
        "name": "block",
        "x": [float(FILM * place) for place in places],
        "y": [float(FILM * across * place) for place in places],
        "z": [[None if np.isnan(v) else float(v) for v in row] for row in sheet],
    }
    flat = max((t for t, value in enumerate(run["accuracy"]) if value == 0), default=0)
    return figure(
        "heatmap",
        f"Deviation from circulant {run['circulant'][0]:.2f} at first and "
        f"{run['circulant'][flat]:.2f} at iteration {flat}, the last without a correct answer",
        [line],
        x="plus so many, to the right",
        y="iteration of the leftmost block, upwards",
        caption=f"Addition modulo {m}, quadratic kernel. Each picture is the block of the feature "
        "matrix that couples both operands, over its largest entry; its iteration is the sum of "
        "both axes at its lower left corner. A circulant matrix is constant along its wrapped "
        "diagonals.",
    )


def progress(run: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy, and what moves while it does not."""
    steps = list(range(len(run["accuracy"])))
    first = next((t for t in steps if run["accuracy"][t] > 0), len(steps))
    curves = {
        "test accuracy": run["accuracy"],
        "test loss, over its first": [v / run["test_loss"][0] for v in run["test_loss"]],
        "deviation from circulant": run["circulant"],
        "AGOP alignment": run["alignment"],
    }
    return figure(
        "line",
        f"Test accuracy leaves 0 at iteration {first}; the alignment was {run['alignment'][0]:.2f} "
        f"at first and is {run['alignment'][min(first, len(steps) - 1)]:.2f} there",
        [{"name": name, "x": steps, "y": list(curve)} for name, curve in curves.items()],
        x="iteration",
        y="between 0 and 1",
        caption="The training loss is 0 throughout. The alignment is the cosine with the last "
        "matrix; loss, a mean over pairs and outputs.",
    )


def operations(table: pd.DataFrame) -> dict[str, Any]:
    """Mean accuracy over seeds, quadratic kernel, and shuffled labels."""
    small = {"test": "small", "kernel": "quadratic"}
    chosen = {
        name: select(table, small | {"operation": operation}) for operation, name in NAMES.items()
    }
    chosen["shuffled labels"] = select(table, {"test": "shuffled", "kernel": "quadratic"})
    curves = {name: np.mean(values(rows, "accuracy"), axis=0) for name, rows in chosen.items()}
    lowest = min(float(curves[name][-1]) for name in NAMES.values())
    return figure(
        "line",
        f"All four operations end above {np.floor(1000 * lowest) / 1000:.3f}; shuffled labels at "
        f"{float(curves['shuffled labels'][-1]):.3f}",
        [
            {"name": name, "x": list(range(len(curve))), "y": [float(v) for v in curve]}
            for name, curve in curves.items()
        ],
        x="iteration",
        y="test accuracy",
        caption="Quadratic kernel, means over seeds. Products with 0 are right from the start.",
    )


def random_features(table: pd.DataFrame) -> dict[str, Any]:
    """Accuracy with features given instead of learned."""
    kinds = {
        "auto": "right kind",
        "wrong": "other kind",
        "unstructured": "unstructured",
        "none": "identity",
    }
    rows = select(table, {"test": "random"})
    means = {
        kind: [
            float(np.mean(values(select(rows, {"kind": kind, "operation": operation}), "accuracy")))
            for operation in NAMES
        ]
        for kind in kinds
    }
    return figure(
        "bar",
        f"Random circulant features reach {np.floor(1000 * min(means['auto'])) / 1000:.3f} at "
        f"once, of the other kind {max(means['wrong']):.3f}",
        [
            {"name": name, "x": list(NAMES.values()), "y": means[kind]}
            for kind, name in kinds.items()
        ],
        x="operation",
        y="test accuracy",
        caption="One kernel machine with the Gaussian kernel, nothing iterated; means over seeds.",
    )


def networks(table: pd.DataFrame) -> dict[str, Any]:
    """Test accuracy of gradient descent with and without regularisers."""
    rows = select(table, {"test": "regulariser"})
    lines, ends = [], []
    for name in ("AGOP trace", "weight decay", "none"):
        chosen = select(rows, {"regulariser": name})
        curve = np.mean(values(chosen, "accuracy"), axis=0)
        epochs = [int(epoch) for epoch in values(chosen, "epoch")[0]]
        lines.append({"name": name, "x": epochs, "y": [float(v) for v in curve]})
        ends.append(f"{float(curve[-1]):.2f} ({name})")
    return figure(
        "line",
        f"Quadratic networks end at {', '.join(ends)}",
        lines,
        x="epoch",
        y="test accuracy",
        caption="Addition, gradient descent at rate 1 on the mean squared error; means over seeds.",
    )
