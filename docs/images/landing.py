"""Draw landing-*.png: small parts of the pictures of this folder, for the first page.

    python docs/images/landing.py

The pictures are of real pages; the guides that show them whole say how each was made. The parts
are whole cards, or a plot, on a ground of one form, and so small that one can read them on a phone.
"""

from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent
WIDTH, MARGIN, COLOURS = 520, 12, 64
FORM = 4 / 3  # width over height
# What is cut out of each: left, top, right, bottom.
PARTS = {
    "report": (36, 289, 444, 532),
    "watch": (560, 288, 1006, 604),
    "fit": (34, 264, 418, 629),
    "alignment": (14, 14, 1354, 800),
}


def draw(name: str, box: tuple[int, int, int, int]) -> Path:
    """Cut out, put on a ground of the form, shrink, and keep few colours."""
    whole = Image.open(FOLDER / f"{name}.png").convert("RGB")
    part = whole.crop(box)
    across = max(part.width + 2 * MARGIN, round(FORM * (part.height + 2 * MARGIN)))
    ground = Image.new("RGB", (across, round(across / FORM)), part.getpixel((0, 0)))
    ground.paste(part, ((ground.width - part.width) // 2, (ground.height - part.height) // 2))
    width = min(WIDTH, across)
    small = ground.resize((width, round(width / FORM)), Image.Resampling.LANCZOS)
    out = FOLDER / f"landing-{name}.png"
    small.quantize(COLOURS).save(out, optimize=True)
    return out


if __name__ == "__main__":
    for name, box in PARTS.items():
        print(draw(name, box))
