"""The gallery: every example runs, offline, and shows what its text says."""

import runpy
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
for module in ("matplotlib", "sphinx"):
    pytest.importorskip(module, reason="the documentation's tools are not installed")
sys.path.insert(0, str(ROOT / "docs" / "extensions"))

from gallery import EXAMPLES, examples, missing, say_why, style  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402

LINES = 80
Names = dict[str, Any]


def kinds(seen: Names) -> list[str]:
    return [event.kind for event in seen["monitor"].events]


# What each example's text says, of the names it leaves behind.
SAYS: dict[str, Callable[[Names], bool]] = {
    "clustering/centre_density": lambda s: (
        max(s["errors"].values()) < 0.1
        and all(abs(ratio - 1) < 0.01 for ratio in s["inertias"].values())
    ),
    # The divergence of the noise gives most of the groups back.
    "clustering/voronoi_cells": lambda s: (
        max(s["agreement"], key=s["agreement"].get) == "itakura_saito"
        and s["agreement"]["itakura_saito"] > 0.9
    ),
    # Pixels around the digit are noise; one of them is all that the other question needs.
    "features/agop_digits": lambda s: (
        s["inside"]["which digit?"] > 0.5 and min(s["inside"].values()) < 0.1
    ),
    "features/grokking": lambda s: (
        s["accuracy"][4] < 0.1 and s["accuracy"][16] > 0.9 and s["deviation"][3] < s["deviation"][0]
    ),
    "features/table_pipeline": lambda s: (
        abs(s["scores"]["feature machine"].mean() - s["scores"]["ridge"].mean())
        < s["scores"]["ridge"].std()
    ),
    "features/transport": lambda s: (
        s["accuracy"]["after adapting"] > s["accuracy"]["directions of the source"] + 0.2
        and s["within"] > 0.7
    ),
    "features/two_views": lambda s: s["found"] > 0.9,
    # Sixty-four times the width is an eighth of the distance.
    "tangent_kernel/infinite_width": lambda s: (
        s["distances"][3].mean() < s["distances"][0].mean() / 4
    ),
    "tangent_kernel/linearized_network": lambda s: (
        s["gaps"][512] < s["gaps"][16] / 2 and s["changes"][512] < s["changes"][16]
    ),
    "tangent_kernel/pl_certificate": lambda s: (
        s["certificate"].certified
        and s["moved"] <= s["certificate"].radius
        and all(
            loss <= bound * (1 + 1e-9)
            for loss, bound in zip(
                s["losses"], s["certificate"].loss_bound(range(18)), strict=False
            )
        )
    ),
    "tangent_kernel/spectrum": lambda s: (
        s["slopes"]["even or odd"] > 0.8
        and abs(s["slopes"]["shuffled"]) < 0.5
        and s["energy"]["even or odd"][9] > 0.5 > s["energy"]["shuffled"][9]
    ),
    "training/catapult": lambda s: kinds(s) == ["catapult"],
    "training/critical_learning_rate": lambda s: all(
        peaks[i] < 1.5 if ratio < 0.95 else ratio < 1.15 or peaks[i] > 3
        for peaks in s["peaks"].values()
        for i, ratio in enumerate(s["ratios"].tolist())
    ),
    "training/huggingface_trainer": lambda s: (
        len(s["history"]) == 40
        and any("dyn/sharpness" in row for row in s["trainer"].state.log_history)
    ),
    "training/label_noise": lambda s: (
        s["found"][:100].mean() > 0.95 and abs(s["signal"].noise_rate - 0.2) < 0.05
    ),
    "training/lightning_callback": lambda s: (
        len(s["history"]) == 58 and Path(s["trainer"].logger.log_dir, "metrics.csv").exists()
    ),
    "training/mass_and_momentum": lambda s: s["curves"]["MaSS"][-1] < s["curves"]["SGD"][-1] / 100,
    # Progressive sharpening ends at the edge.
    "training/monitor_in_a_loop": lambda s: (
        s["history"]["stability_ratio"].iloc[0] < 0.9
        and 0.8 < s["history"]["stability_ratio"].iloc[-1] < 1.2
    ),
    "training/stopping": lambda s: s["errors"][s["stopped"]] < s["errors"][-1],
}


def name(example: Path) -> str:
    return "/".join(example.with_suffix("").parts[-2:])


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No connection, no random state or figure left behind, a folder of its own."""

    def refuse(*args: Any) -> None:
        raise OSError("an example asked for a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    style({}, "")
    with torch.random.fork_rng():
        yield
    plt.close("all")


@pytest.mark.parametrize("example", examples(), ids=name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning|transformers|accelerate|torch")
def test_an_example_shows_what_it_says(example, alone):
    if lacks := missing(example):
        pytest.skip(f"needs pip install 'overparam[{','.join(lacks)}]'")
    seen = runpy.run_path(str(example))
    assert plt.get_fignums()
    assert SAYS[name(example)](seen)


@pytest.mark.parametrize("example", examples(), ids=name)
def test_an_example_is_short_and_bears_a_title(example):
    text = example.read_text("utf-8")
    assert len(text.splitlines()) <= LINES
    opening, title, line, *_ = text.splitlines()
    assert opening == '"""'
    assert line == "=" * len(title)
    assert (example.parent / "GALLERY_HEADER.rst").exists()


def test_there_are_examples_of_every_loop_and_a_statement_for_each():
    assert len(examples()) >= 12
    assert {name(example) for example in examples()} == set(SAYS)


def test_an_example_that_cannot_run_says_why(tmp_path, monkeypatch):
    lacking = tmp_path / "training" / "new.py"
    lacking.parent.mkdir()
    lacking.write_text("Needs ``pip install 'overparam[nothing_of_that_name]'``.")
    assert missing(lacking) == ["nothing_of_that_name"]
    monkeypatch.setattr("gallery.EXAMPLES", tmp_path)
    page = ["Title\n=====\n\nText\n"]
    say_why(None, "gallery/training/new", page)
    assert "Not run here: needs ``pip install 'overparam[nothing_of_that_name]'``" in page[0]


def test_specifications_are_not_in_the_gallery():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "mnist_cnn.py",
        "shakespeare_transformer.py",
    }
