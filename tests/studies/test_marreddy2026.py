import math

import pytest
import torch

from overparam.studies import marreddy2026_label_alignment as study


@pytest.mark.parametrize("there", [True, False])
def test_without_mnist_only_the_full_size_asks_for_it(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "MNIST", there)
    wanted = {
        size: {c["n"] for c in study.cells(study.SIZES[size]) if c["data"] == "mnist"}
        for size in ("quick", "full")
    }
    assert wanted == {"quick": {10 if there else 0}, "full": {500}}
    nothing = study.cell("alignment", "mnist", "even", 0, 512, 0)
    assert math.isnan(nothing["slope"])


def test_networks_and_batches_are_the_papers() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = study.batch("sphere 3", "distance", None, None, 50, draw)
    assert torch.allclose(x.norm(dim=1), torch.ones(50).double())
    assert torch.allclose(y[:, 0] ** 2, 2 - 2 * x[:, 0])  # ‖x − e₁‖²
    # α^l = √(2/m) relu(W α^(l−1)): norms are kept, in the mean.
    net = study.network(3, 2048, 4, 1, draw)
    lengths = net[:-1](x).detach().norm(dim=1) * (2 / 2048) ** 0.5
    assert torch.allclose(lengths, torch.ones(50).double(), atol=0.15)
    points, classes = study.everything("digits")
    x, y = study.batch("digits", "one-hot", points, classes, 20, draw)
    assert y.shape == (20, 10)
    assert torch.equal(y.sum(1), torch.full((20,), -8.0).double())


def test_mnist_through_the_data_sets(shared_data) -> None:
    if not (shared_data / "mnist.npz").is_file():
        pytest.skip("no MNIST beside the checkout")
    found = study.cell("alignment", "mnist", "even", 1, 16, 0)
    assert math.isfinite(found["slope"])
    assert len(found["projections"]) == 15
    assert 0 < found["top_share"] < 1
