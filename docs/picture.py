"""A figure of a study's page as a PNG, for the pages of this folder.

    python docs/picture.py FILE.json FIGURE OUT.png

FILE.json is written by `overparam study run … --json`; FIGURE is a key of its "series". Needs
Chromium and chromedriver.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from overparam.report import write_report

WIDTH, SCALE = 760, 2
SWITCHES = "headless=new no-sandbox disable-gpu disable-dev-shm-usage"


def draw(document: dict, figure: str, out: Path) -> None:
    """Write the picture of one figure, drawn as the report draws it."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for switch in SWITCHES.split():
        options.add_argument(f"--{switch}")
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        with tempfile.TemporaryDirectory() as folder:
            document = document | {"series": {figure: document["series"][figure]}}
            page = write_report([document], Path(folder) / "page.html")
            size = {"width": WIDTH, "height": 900, "deviceScaleFactor": SCALE, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(page.as_uri())
            found = browser.find_element(By.TAG_NAME, "figure")
            # The table below is for a page that one can click on.
            browser.execute_script(
                "arguments[0].querySelector('details')?.remove(); arguments[0].scrollIntoView()",
                found,
            )
            time.sleep(2)  # the drawing is animated
            out.write_bytes(found.screenshot_as_png)
    finally:
        browser.quit()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), sys.argv[2], Path(sys.argv[3]))
