"""A race that was ended goes on from its file, to the same answer."""

from dataclasses import asdict

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from overparam import suggest_lr
from overparam.errors import OverparamError


def task(seed: int = 0, **options):
    """Arguments of a race on two classes, with dropout and momentum."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(96, 6, generator=draw)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))
    return {
        "model": model, "data": (x, (x[:, 0] > 0).long()), "batch_size": 16, "budget": "10m",
        "optimizer": lambda p: SGD(p, lr=1.0, momentum=0.9), "steps": 160, **options,
    }  # fmt: skip


class Ended(Exception):
    """What ends a process."""


def ended_after(count: int):
    """A progress that raises at its so-manieth word."""
    told = []

    def tell(stage: str, share: float) -> None:
        told.append(share)
        if len(told) > count:
            raise Ended

    return tell


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "optimizer": lambda p: AdamW(p, lr=1.0),
            "schedule": lambda optimizer, steps: CosineAnnealingLR(optimizer, steps),
        },
    ],
    ids=["momentum", "schedule"],
)
def test_what_was_ended_goes_on_to_the_same_bits(tmp_path, options) -> None:
    whole = suggest_lr(**task(**options))
    file = tmp_path / "race.pt"
    with pytest.raises(Ended):
        suggest_lr(**task(**options), keep=file, progress=ended_after(2))
    assert file.exists()
    again = suggest_lr(**task(**options), keep=file)
    assert again.rate == whole.rate
    assert again.curve == whole.curve
    # The same trainings, step by step.
    assert again.trials == whole.trials
    assert again.trial_steps == whole.trial_steps
    finished = suggest_lr(**task(**options), keep=file)
    assert asdict(finished)["curve"] == whole.curve


def test_another_races_file_and_damage_are_told_and_kept(tmp_path) -> None:
    file = tmp_path / "race.pt"
    suggest_lr(**task(steps=20), keep=file)
    before = file.read_bytes()
    for other in ({"steps": 40}, {"seed": 3, "steps": 20}, {"clip_norm": 1.0, "steps": 20}):
        with pytest.raises(OverparamError, match=r"suggest_lr\(keep=...\).*another race's"):
            suggest_lr(**task(**other), keep=file)
    assert file.read_bytes() == before
    for content in (before[:-200], b"not a race", b"PK\3\4" + b"\0" * 100):
        file.write_bytes(content)
        with pytest.raises(OverparamError, match="expected the file of a race"):
            suggest_lr(**task(steps=20), keep=file)
        assert file.read_bytes() == content
    with pytest.raises(OverparamError, match="keep"):
        suggest_lr(**task(steps=20), keep=tmp_path / "nowhere" / "race.pt")
