"""Whether examples are tied together is found by what a model does."""

import pytest
import torch
from torch import Tensor, nn

from overparam._model import undisturbed
from overparam._training_mode import as_trained, mixes, waits_for_others


class Centred(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Running(nn.Module):
    """Each example sees those before it: the first sees none."""

    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(0)


class NeedsTargets(nn.Module):
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if self.training and y is None:
            raise ValueError("in training mode, targets should be passed")
        return x


X = torch.randn(6, 4)


@pytest.mark.parametrize(
    ("model", "tied"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), True),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval(), False),
        (Centred(), True),
        (Running(), True),
        (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.LayerNorm(3)), False),
        (nn.Linear(4, 3), False),
    ],
)
def test_what_mixes(model: nn.Module, tied: bool) -> None:
    assert mixes(model, X) == tied
    assert not mixes(model, X[:1])


def test_modes_are_put_back_and_a_model_that_cannot_run_is_left_alone() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5)).eval()
    with undisturbed(model):
        with as_trained(model, X):
            assert all(part.training for part in model.modules())
        assert not any(part.training for part in model.modules())
        model[1].train()
        with as_trained(model, X):
            assert not model[0].training
    needs = NeedsTargets().eval()
    with undisturbed(needs), as_trained(needs, X):
        assert not needs.training


def test_layers_that_wait_for_other_processes_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, alone = nn.Sequential(nn.SyncBatchNorm(4)), nn.Sequential(nn.BatchNorm1d(4))
    assert not waits_for_others(shared)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert waits_for_others(shared)
    assert not waits_for_others(alone)
