"""The page in a real browser: it opens, draws, asks for nothing, and fits."""

import json
import time
from pathlib import Path

import pytest

from overparam.report import write_report
from overparam.report.assets import asset

DRAWN = """return [...document.querySelectorAll('.plot')].map(plot => {
  const box = plot.querySelector('.main-svg')?.getBoundingClientRect();
  return [plot.id, box?.width ?? 0, box?.height ?? 0, plot.clientWidth];
})"""


@pytest.fixture
def page(browser, tmp_path, diagnosis, study) -> Path:
    path = write_report([diagnosis, study], tmp_path / "report.html")
    for log in ("browser", "performance"):
        browser.get_log(log)
    return path


def show(browser, path: Path, width: int, scheme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    prefer(browser, scheme)
    browser.get(path.as_uri())


def prefer(browser, scheme: str, media: str = "screen") -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})


def requests(browser) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [params["request"]["url"] for params in sent]


@pytest.mark.parametrize("width", [1280, 375])
def test_it_draws_fits_and_asks_for_nothing(browser, page, width):
    show(browser, page, width)
    drawn = browser.execute_script(DRAWN)
    assert len(drawn) == 17
    for name, across, down, room in drawn:
        assert across > 200, name
        assert down > 150, name
        assert across <= room + 1, name
    overflow = "return document.documentElement.scrollWidth - innerWidth"
    assert browser.execute_script(overflow) <= 0
    assert browser.get_log("browser") == []
    asked = requests(browser)
    assert page.as_uri() in asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_the_watch_for_errors_and_requests_sees_them(browser, tmp_path):
    path = tmp_path / "leaky.html"
    path.write_text("<img src='https://example.invalid/x.png'><script>throw Error('x')</script>")
    show(browser, path, 1280)
    assert browser.get_log("browser")
    assert "https://example.invalid/x.png" in requests(browser)


def test_hostile_names_run_nothing(browser, tmp_path, diagnosis):
    evil = "</script><script>window.hit=1</script><img src=x onerror='window.hit=1'>"
    link = "<a href='javascript:window.hit=1'>"
    diagnosis["model"]["name"] = diagnosis["suspects"][0]["label"] = evil
    diagnosis["events"][0]["kind"] = evil
    diagnosis["series"]["agop"] |= {"image_shape": None, "names": [evil] * 63 + [link]}
    path = write_report([diagnosis], tmp_path / "report.html")
    show(browser, path, 1280)
    assert browser.execute_script("return window.hit === undefined")
    assert browser.execute_script("return document.querySelectorAll('.plot a').length") == 0
    assert len(browser.execute_script(DRAWN)) == 13
    assert browser.execute_script("return document.querySelectorAll('main script').length") == 0


INK = """const style = getComputedStyle(document.querySelector('.plot .xtick text'));
const page = getComputedStyle(document.body);
return [style.fill, page.backgroundColor]"""


def wait_for(browser, colours: list[str]) -> list[str]:
    """Ink and ground, once they are these: a page hears of a new preference between frames."""
    seen = []
    end = time.monotonic() + 240
    while time.monotonic() < end:
        seen = browser.execute_script(INK)
        if seen == colours:
            break
        time.sleep(0.05)
    assert seen == colours
    return seen


def test_plots_follow_light_and_dark_and_print_while_the_page_is_open(browser, page):
    show(browser, page, 1280, "light")
    light = browser.execute_script(INK)
    prefer(browser, "dark")
    dark = wait_for(browser, ["rgb(163, 171, 182)", "rgb(20, 23, 27)"])
    assert light == ["rgb(91, 100, 112)", "rgb(247, 247, 245)"]
    show(browser, page, 1280, "dark")
    assert browser.execute_script(INK) == dark
    assert "--muted: #a3abb6" in asset("style.css")
    # Print is light, whatever the screen prefers.
    prefer(browser, "dark", media="print")
    wait_for(browser, ["rgb(91, 100, 112)", "rgb(255, 255, 255)"])


PLACES = """return [...document.querySelectorAll('.plot')].map(plot => {
  const box = plot.getBoundingClientRect();
  return [box.top, box.height];
})"""
# What moves in a frame is told after it: the second one comes after the first was shown.
SHIFTS = """let sum = 0;
const add = entries => { for (const entry of entries) sum += entry.value; };
const watch = new PerformanceObserver(list => add(list.getEntries()));
watch.observe({type: 'layout-shift', buffered: true});
requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {
  add(watch.takeRecords());
  window.shifts = sum;
})));"""


def test_plots_keep_their_place_while_they_are_drawn(browser, page):
    show(browser, page, 375)
    browser.execute_script(SHIFTS)
    shifts, end = None, time.monotonic() + 240
    while shifts is None and time.monotonic() < end:
        shifts = browser.execute_script("return window.shifts ?? null")
    assert shifts is not None
    assert shifts < 0.01
    # Whether a frame was shown before they were drawn is the machine's affair; the room is not.
    drawn = browser.execute_script(PLACES)
    browser.execute_script("document.querySelectorAll('.plot').forEach(p => Plotly.purge(p))")
    assert browser.execute_script("return document.querySelectorAll('.main-svg').length") == 0
    assert len(drawn) == 17
    assert browser.execute_script(PLACES) == drawn


def test_a_value_is_copied_or_selected_and_nobody_is_offered_to_send_it_away(browser, page):
    show(browser, page, 1280)
    assert browser.execute_script("return document.querySelectorAll('.modebar-btn').length") == 0
    browser.execute_script("document.querySelector('.settings .copy').click()")
    said = browser.execute_async_script(
        "setTimeout(() => arguments[0](document.querySelector('.done').textContent), 200)"
    )
    assert said in ("copied", "press Ctrl+C")
