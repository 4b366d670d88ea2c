"""Draw grokking.svg: the feature matrix of a kernel machine while it learns addition modulo 61."""

import base64
import struct
import zlib
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from overparam.kernels import Quadratic, feature_recursion
from overparam.kernels.modular import circulant_deviation, modular_arithmetic, operand_block

P, SHOWN, LAST = 61, (0, 2, 4, 6, 8, 10, 13, 20), 22
SIDE, GAP, LEFT, TOP = 106, 10, 24, 92
WIDTH = 2 * LEFT + len(SHOWN) * (SIDE + GAP) - GAP
PLOT_TOP, PLOT_HEIGHT, PLOT_LEFT = TOP + SIDE + 74, 190, 60
PLOT_WIDTH = WIDTH - PLOT_LEFT - 150
CURVES = {"test accuracy": "#d1495b", "circulant share of the matrix": "#2e6f95"}


def measured() -> tuple[list[Tensor], list[float], list[float]]:
    """Blocks that couple the operands, test accuracies, circulant shares, one an iteration."""
    task = modular_arithmetic("add", P, train_fraction=0.5, seed=0)
    rounds = feature_recursion(
        task.x_train,
        task.y_train,
        Quadratic(),
        ridge=0.0,
        n_iter=LAST + 1,
        power=0.5,
        normalize=None,
        center=True,
    )
    blocks, accuracy, share = [], [], []
    for this, following in pairwise(rounds):
        right = this.predictor(task.x_test).argmax(1) == task.y_test.argmax(1)
        accuracy.append(float(right.double().mean()))
        blocks.append(operand_block(following.predictor.feature_matrix, "add"))
        share.append(1 - circulant_deviation(blocks[-1], kind="circulant"))
    return blocks, accuracy, share


def png(block: Tensor) -> str:
    """A matrix as an image in a data address: blue below its mean, white at it, red above."""
    centred = block - block.mean()
    values = (centred / centred.abs().quantile(0.97)).clamp(-1, 1)[..., None]
    ends = torch.tensor([[29.0, 92.0, 150.0], [193.0, 49.0, 64.0]], dtype=values.dtype)
    colour = torch.where(values < 0, ends[0], ends[1])
    pixels = (255 + values.abs() * (colour - 255)).round().to(torch.uint8)
    rows = b"".join(b"\0" + bytes(row.flatten().tolist()) for row in pixels)
    header = struct.pack(">IIBBBBB", block.shape[1], block.shape[0], 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    return "data:image/png;base64," + base64.b64encode(data).decode()


def picture() -> str:
    """The blocks above, the curves below, a line from each block to its iteration."""
    blocks, accuracy, share = measured()
    first = next(t for t, value in enumerate(accuracy) if value > 0)
    height = PLOT_TOP + PLOT_HEIGHT + 56
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="30" font-size="19" font-weight="bold">Not one answer is right until '
        f"iteration {first}. The structure was there long before.</text>",
        f'<text x="{LEFT}" y="52" fill="#555">A kernel machine learns a + b modulo {P} from half '
        "of all pairs: the block of its feature matrix that couples a (columns) and b (rows)"
        "</text>",
    ]
    for place, t in enumerate(SHOWN):
        x, below = LEFT + place * (SIDE + GAP), TOP + SIDE
        lines += [
            f'<text x="{x + SIDE / 2}" y="{TOP - 8}" text-anchor="middle">iteration {t}</text>',
            f'<image x="{x}" y="{TOP}" width="{SIDE}" height="{SIDE}" '
            f'style="image-rendering:pixelated" href="{png(blocks[t])}"/>',
            f'<text x="{x + SIDE / 2}" y="{below + 18}" text-anchor="middle" '
            f'fill="{CURVES["test accuracy"]}">{100 * accuracy[t]:.0f} % right</text>',
            f'<path d="M{x + SIDE / 2},{below + 26} L{across(t):.1f},{PLOT_TOP - 8} '
            f'V{PLOT_TOP + PLOT_HEIGHT}" fill="none" stroke="#ccc"/>',
        ]
    lines += axes()
    for (name, colour), values in zip(CURVES.items(), (accuracy, share), strict=True):
        path = " ".join(f"{across(t):.1f},{up(value):.1f}" for t, value in enumerate(values))
        words = name.split(" of ")
        end = up(values[-1]) + (18 if name == "test accuracy" else -8)
        lines += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="3"/>',
            f'<text x="{across(LAST) + 10:.1f}" y="{end:.1f}" fill="{colour}" '
            f'font-weight="bold">{words[0]}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def axes() -> list[str]:
    """Both axes of the plot and their labels."""
    bottom = PLOT_TOP + PLOT_HEIGHT
    lines = [
        f'<line x1="{PLOT_LEFT}" x2="{across(LAST):.1f}" y1="{up(v):.1f}" y2="{up(v):.1f}" '
        f'stroke="#ddd"/><text x="{PLOT_LEFT - 8}" y="{up(v) + 4:.1f}" text-anchor="end" '
        f'fill="#555">{100 * v:.0f} %</text>'
        for v in (0.0, 0.5, 1.0)
    ]
    lines += [
        f'<text x="{across(t):.1f}" y="{bottom + 20}" text-anchor="middle" fill="#555">{t}</text>'
        for t in range(0, LAST + 1, 2)
    ]
    label = "iteration; the training loss is 0 at every one of them"
    return [*lines, f'<text x="{PLOT_LEFT}" y="{bottom + 42}" fill="#555">{label}</text>']


def across(t: float) -> float:
    """Horizontal place of an iteration."""
    return PLOT_LEFT + PLOT_WIDTH * t / LAST


def up(value: float) -> float:
    """Vertical place of a share."""
    return PLOT_TOP + PLOT_HEIGHT * (1 - value)


if __name__ == "__main__":
    Path(__file__).with_name("grokking.svg").write_text(picture(), encoding="utf-8")
