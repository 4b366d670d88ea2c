"""Where a network's random weights come from."""

import torch


def generator(seed: int | torch.Generator) -> torch.Generator:
    """A generator for the CPU started at `seed`, or `seed` itself if it is one already."""
    return torch.Generator().manual_seed(seed) if isinstance(seed, int) else seed
