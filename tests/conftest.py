"""What every test may ask for."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

sys.path += [
    str(Path(__file__).parent / folder)
    for folder in ("contracts", "devices", "integrations", "transport", "typed")
]
from second_device import SecondDevice

collect_ignore = ["typed"]  # what `--typed` loads: no tests, and not for every environment

# A shell that starts the tests in the background lets them ignore Ctrl+C, and so all they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Under nohup a closing terminal is ignored, by all they start too; a handler is not handed on.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)

# The models are small: a second thread costs more in waiting than it computes, fifteen-fold on
# a machine that is busy with something else. It also rounds differently: OMP_NUM_THREADS=2 asks
# for it.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

# torch keeps what it has compiled by its source, not by the instructions it was compiled for:
# kernels made for another ATEN_CPU_CAPABILITY write past their arrays, or end the process.
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    str(
        Path(__file__).parents[1]
        / ".pytest_cache"
        / f"compiled-{torch.backends.cpu.get_cpu_capability()}"
    ),
)

SWITCHES = (
    "headless=new no-sandbox disable-gpu disable-dev-shm-usage disable-quic no-first-run "
    "disable-background-networking disable-component-update disable-sync"
)


# How long an example takes says something about the machine alone. The same examples each time:
# whether a tree is whole is no matter of luck. Others are drawn where more are asked for.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow],
    derandomize="OVERPARAM_FUZZ" not in os.environ,
)  # fmt: skip
settings.load_profile("any machine")


@pytest.fixture
def generator() -> torch.Generator:
    """A source of random numbers that is the test's own."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def device() -> Iterator[torch.device]:
    """A GPU, or one that only the test sees, where there is none."""
    if torch.cuda.is_available():
        yield torch.device("cuda", 0)
    else:
        with SecondDevice("cuda") as second:
            yield second.device


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no folder of data sets at {folder}")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    """A headless Chromium. Where the pages must be looked at, none is a failure."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        webdriver = None
    if not (program and driver and webdriver):
        absent = "needs selenium, Chromium or Chrome, and chromedriver"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(absent)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for switch in SWITCHES.split():
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.chrome.service.Service(driver))
    opened.set_window_size(1280, 1000)
    yield opened
    opened.quit()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB; only root may have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(words, capture_output=True, timeout=60).returncode
    ):
        pytest.skip("no disk may be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=60)
