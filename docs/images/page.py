"""The upper part of a page as a PNG, for the pages of this folder.

    python docs/images/page.py PAGE.html OUT.png HEIGHT

first-diagnosis.png is of the page that docs/tutorials/first-diagnosis.md has written. Needs
Chromium and chromedriver.
"""

import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

WIDTH, COLOURS = 900, 96
SWITCHES = "headless=new no-sandbox disable-gpu disable-dev-shm-usage"


def draw(page: Path, out: Path, height: int) -> None:
    """Write the picture, in few colours."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for switch in SWITCHES.split():
        options.add_argument(f"--{switch}")
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(page.resolve().as_uri())
        time.sleep(3)  # the drawing is animated
        picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    finally:
        browser.quit()
    picture.quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
