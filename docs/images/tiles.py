"""Draw tiles.svg: what stands in the journal of a kernel that was interrupted."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from overparam.tangents import empirical_ntk_to_file

SIDE, TILE, STOP = 12, 4, 30
CELL, LEFT, TOP = 22, 20, 62


class Interrupted(nn.Module):
    """A network that is stopped after so many passes, as Ctrl-C would."""

    def __init__(self, passes: int) -> None:
        super().__init__()
        self.layer, self.passes = nn.Linear(3, 1), passes

    def forward(self, x: Tensor) -> Tensor:
        """Pass, or stop."""
        self.passes -= 1
        if self.passes < 0:
            raise KeyboardInterrupt
        return self.layer(x)


def finished() -> set[tuple[int, int]]:
    """Tiles in the journal after the interruption."""
    torch.manual_seed(0)
    x = torch.randn(SIDE * TILE, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "K.npy"
        with suppress(KeyboardInterrupt):
            empirical_ntk_to_file(Interrupted(STOP), x, path=path, tile=TILE, memory=400)
        lines = (Path(folder) / "K.npy.journal").read_text().splitlines()[1:]
    return {tuple(json.loads(line)["tile"]) for line in lines}


def picture() -> str:
    """The grid, computed tiles dark and their mirror images light."""
    done = finished()
    total = SIDE * (SIDE + 1) // 2
    colours = (("#4c78a8", "on the disk"), ("#b7cde3", "its mirror image"), ("#f0f0f0", "to come"))
    height = TOP + SIDE * CELL + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 460 {height}" width="460" '
        f'height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="460" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">Interrupted: '
        f"{len(done)} of {total} tiles need not be computed again</text>",
        f'<text x="{LEFT}" y="44" fill="#555">{SIDE * TILE} examples, {TILE} on a tile’s side; '
        "the symmetric half once, rows back and forth</text>",
    ]
    for i in range(SIDE):
        for j in range(SIDE):
            kind = 0 if (i, j) in done else 1 if (j, i) in done else 2
            lines.append(
                f'<rect x="{LEFT + j * CELL}" y="{TOP + i * CELL}" width="{CELL - 2}" '
                f'height="{CELL - 2}" fill="{colours[kind][0]}"/>'
            )
    for k, (colour, text) in enumerate(colours):
        x, y = LEFT + SIDE * CELL + 16, TOP + 26 * k
        lines += [
            f'<rect x="{x}" y="{y}" width="16" height="16" fill="{colour}" stroke="#999"/>',
            f'<text x="{x + 24}" y="{y + 13}">{text}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("tiles.svg").write_text(picture(), encoding="utf-8")
