"""The page in a real browser, beside a real training that goes through a catapult."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The rate is raised beyond the critical one at step 100; steps slow down when the loss rises, so
# that the spike lasts a few seconds.
TRAIN = """
    import math, sys, time
    import torch
    from torch import nn
    from overparam.dynamics import Monitor
    from overparam.dynamics.probes import LossSplit, Norms, Sharpness
    from overparam.optim.critical_rate import critical_learning_rate

    torch.set_num_threads(1)
    torch.manual_seed(0)
    mse = nn.functional.mse_loss
    x = torch.randn(64, 6)
    y = (x[:, :1] * x[:, 1:2]).tanh()
    model = nn.Sequential(nn.Linear(6, 256), nn.ReLU(), nn.Linear(256, 1))
    rate = critical_learning_rate(model, x, y, mse)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3 * rate)
    probes = [Norms(), Sharpness(), LossSplit()]
    monitor = Monitor(model, mse, optimizer, probes=probes, max_overhead=math.inf, file=sys.argv[1])
    for step in range(100_000):
        if step == 100:
            optimizer.param_groups[0]["lr"] = 1.3 * rate
        optimizer.zero_grad()
        value = mse(model(x), y)
        value.backward()
        monitor.step(value, batch=(x, y))
        optimizer.step()
        time.sleep(0.3 if value > 0.5 else 0.02)
"""
SHOWN = """return Object.fromEntries([...document.querySelectorAll('.watch figure')]
  .filter(card => !card.hidden)
  .map(card => {
    const plot = card.querySelector('.plot');
    return [plot.id, [plot.querySelectorAll('.main-svg').length > 0, plot.clientWidth]];
  }))"""
LOSS = """const plot = document.getElementById('loss');
return plot.data ? Math.max(...plot.data.flatMap(t => t.y.filter(v => v !== null))) : 0"""


@pytest.fixture
def start() -> Iterator[Callable]:
    """Start a process that is gone after the test."""
    started = []

    def launch(*arguments: str, **options) -> subprocess.Popen:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, *arguments], env=environment, **options)
        started.append(process)
        return process

    yield launch
    for process in started:
        with process:  # closes its pipes, waits for its end
            process.kill()


def until(condition: Callable, seconds: float = 240.0):
    """The first true value of a condition."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return value


def test_a_spike_is_seen_while_it_happens_and_outlives_the_training(browser, start, tmp_path):
    record, script = tmp_path / "run.jsonl", tmp_path / "train.py"
    script.write_text(textwrap.dedent(TRAIN))
    watching = start(
        "-m", "overparam", "watch", str(record), "--port", "0", stderr=subprocess.PIPE, text=True
    )
    url = re.search(r"http://127\.0\.0\.1:\d+/", watching.stderr.readline()).group()
    browser.get(url)

    def text(place: str) -> str:
        return browser.execute_script(f"return document.getElementById('{place}').innerText")

    until(lambda: "waiting" in text("facts"))  # nothing has begun yet
    training = start("-W", "ignore", str(script), str(record))
    until(lambda: "running" in text("facts"))
    until(lambda: {"loss", "stability", "norms", "split", "eigenvalues"} <= shown(browser).keys())
    assert "None so far" in text("events")
    assert browser.execute_script(LOSS) < 1

    until(lambda: "under way" in text("events"))
    until(lambda: browser.execute_script(LOSS) > 1)
    assert training.poll() is None
    until(lambda: "catapult" in text("events"))
    assert "under way" not in text("events")
    if folder := os.environ.get("OVERPARAM_SCREENSHOTS"):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1280, "height": 1420, "deviceScaleFactor": 1, "mobile": False},
        )
        time.sleep(4)  # some steps after the catapult
        browser.save_screenshot(str(Path(folder, "watch.png")))
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    training.send_signal(signal.SIGKILL)
    training.wait()
    until(lambda: "stopped without finishing" in text("facts"))
    recorded = record.read_bytes()
    with record.open("ab") as file:
        file.write(b'{"steps": [99999], "lo')  # what a dying process may leave
    browser.refresh()
    until(lambda: "catapult" in text("events"))
    assert browser.execute_script(LOSS) > 1
    assert all(drawn and width > 200 for drawn, width in shown(browser).values())
    assert browser.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.get_log("browser") == []
    assert recorded.endswith(b"\n")

    watching.kill()
    watching.wait()
    until(lambda: browser.execute_script("return !document.getElementById('lost').hidden"))


def shown(browser) -> dict:
    return browser.execute_script(SHOWN)
