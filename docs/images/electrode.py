"""The figures of an electrode's page as PNGs: electrode-front.png and its like.

    python docs/images/electrode.py FILE.json

FILE.json is written by `overparam battery design --json`. Needs Chromium and chromedriver.
"""

import io
import json
import sys
import tempfile
import time
from pathlib import Path

from browser import opened
from PIL import Image
from selenium.webdriver.common.by import By

from overparam.report import write_report
from overparam.report.documents import read_documents
from overparam.report.figures.electrode import electrode_figures

WIDTH, HEIGHT, SCALE, COLOURS = 760, 900, 2, 96


def draw(document: dict, folder: Path) -> None:
    """Write a picture of each figure, drawn as the report draws it."""
    names = [figure.name for figure in electrode_figures(read_documents(document)[0])]
    with tempfile.TemporaryDirectory() as made:
        page = write_report([document], Path(made) / "page.html")
        with opened(
            page.as_uri(), width=WIDTH, height=HEIGHT, mobile=False, scale=SCALE
        ) as browser:
            figures = browser.find_elements(By.TAG_NAME, "figure")
            for name, found in zip(names, figures, strict=True):
                # The table below is for a page that one can click on.
                browser.execute_script(
                    "arguments[0].querySelector('details')?.remove(); "
                    "arguments[0].scrollIntoView()",
                    found,
                )
                time.sleep(2)  # the drawing is animated
                picture = Image.open(io.BytesIO(found.screenshot_as_png)).convert("RGB")
                small = picture.quantize(COLOURS)
                small.save(folder / f"electrode-{name}.png", optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(__file__).parent)
