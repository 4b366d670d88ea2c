"""Draw landing-*.png: small parts of the pictures of this folder, for the first page.

    python docs/images/landing.py

The pictures are of real pages; the guides that show them whole say how each was made. The parts
are of one form, and so small that one can read them on a phone.
"""

from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent
WIDTH, COLOURS = 520, 64
# What is cut out of each: left, top, right, bottom; three high for four wide.
PARTS = {
    "report": (28, 282, 464, 609),
    "watch": (690, 275, 1177, 640),
    "fit": (28, 252, 428, 552),
    "alignment": (0, 0, 1060, 795),
}


def draw(name: str, box: tuple[int, int, int, int]) -> Path:
    """Cut out, shrink, and keep few colours."""
    part = Image.open(FOLDER / f"{name}.png").convert("RGB").crop(box)
    width = min(WIDTH, part.width)
    small = part.resize((width, width * part.height // part.width), Image.Resampling.LANCZOS)
    out = FOLDER / f"landing-{name}.png"
    small.quantize(COLOURS).save(out, optimize=True)
    return out


if __name__ == "__main__":
    for name, box in PARTS.items():
        print(draw(name, box))
