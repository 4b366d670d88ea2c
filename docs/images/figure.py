"""A figure of a study's page as a PNG, for the pages of this folder.

    python docs/images/figure.py FILE.json FIGURE OUT.png

FILE.json is written by `overparam study run … --json`; FIGURE is a key of its "series". Needs
Chromium and chromedriver.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from browser import opened
from selenium.webdriver.common.by import By

from overparam.report import write_report

WIDTH, HEIGHT, SCALE = 760, 900, 2


def draw(document: dict, figure: str, out: Path) -> None:
    """Write the picture of one figure, drawn as the report draws it."""
    document = document | {"series": {figure: document["series"][figure]}}
    with tempfile.TemporaryDirectory() as folder:
        page = write_report([document], Path(folder) / "page.html")
        with opened(
            page.as_uri(), width=WIDTH, height=HEIGHT, mobile=False, scale=SCALE
        ) as browser:
            found = browser.find_element(By.TAG_NAME, "figure")
            # The table below is for a page that one can click on.
            browser.execute_script(
                "arguments[0].querySelector('details')?.remove(); arguments[0].scrollIntoView()",
                found,
            )
            time.sleep(2)  # the drawing is animated
            out.write_bytes(found.screenshot_as_png)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), sys.argv[2], Path(sys.argv[3]))
