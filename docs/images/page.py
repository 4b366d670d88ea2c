"""The upper part of a page as a PNG, for the pages of this folder.

    python docs/images/page.py PAGE.html OUT.png HEIGHT

first-diagnosis.png is of the page that docs/tutorials/first-diagnosis.md has written, report.png
of that of `python3 x.py demo`. Needs Chromium and chromedriver.
"""

import io
import sys
import time
from pathlib import Path

from browser import opened
from PIL import Image

WIDTH, COLOURS = 900, 96


def draw(page: Path, out: Path, height: int) -> None:
    """Write the picture, in few colours."""
    with opened(page.resolve().as_uri(), width=WIDTH, height=height, mobile=True) as browser:
        time.sleep(3)  # the drawing is animated
        picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture.quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
