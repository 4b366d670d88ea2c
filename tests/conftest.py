"""What every test may ask for."""

from pathlib import Path

import pytest
import torch

# The models are small: a second thread costs more in waiting than it computes, fifteen-fold on
# a machine that is busy with something else.
torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    """A source of random numbers that is the test's own."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no folder of data sets at {folder}")
    return folder
