"""A page in a headless Chromium, for the pictures of this folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

SWITCHES = "headless=new no-sandbox disable-gpu disable-dev-shm-usage"


@contextmanager
def opened(address: str, *, scale: int = 1, **size: Any) -> Iterator[webdriver.Chrome]:
    """The browser that shows a page, as wide, as high and as `mobile` as asked for."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for switch in SWITCHES.split():
        options.add_argument(f"--{switch}")
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        screen = size | {"deviceScaleFactor": scale}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.get(address)
        yield browser
    finally:
        browser.quit()
