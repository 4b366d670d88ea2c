"""Draw landing-*.png: small parts of the pictures of this folder, for the first page.

    python docs/images/landing.py

The pictures are of real pages; the guides that show them whole say how each was made.
"""

from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent
WIDTH, COLOURS = 520, 64
# What is cut out of each: left, top, right, bottom.
PARTS = {
    "report": (0, 190, 900, 850),
    "watch": (80, 190, 1190, 1029),
    "fit": (30, 700, 826, 1300),
    "alignment": (0, 0, 1368, 795),
}


def draw(name: str, box: tuple[int, int, int, int]) -> Path:
    """Cut out, shrink, and keep few colours."""
    part = Image.open(FOLDER / f"{name}.png").convert("RGB").crop(box)
    small = part.resize((WIDTH, WIDTH * part.height // part.width), Image.Resampling.LANCZOS)
    out = FOLDER / f"landing-{name}.png"
    small.quantize(COLOURS).save(out, optimize=True)
    return out


if __name__ == "__main__":
    for name, box in PARTS.items():
        print(draw(name, box))
