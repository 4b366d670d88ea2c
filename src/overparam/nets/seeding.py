"""Where a network's random weights come from."""

import torch

from overparam._errors import expect
from overparam._numbers import described, is_integer


def generator(seed: int | torch.Generator) -> torch.Generator:
    """A generator for the CPU started at `seed`, or `seed` itself if it is one already.

    Raises:
        TypeError: If it is neither: without a generator torch would draw from its global one.
    """
    if isinstance(seed, torch.Generator):
        return seed
    expect(
        is_integer(seed),
        "seed",
        "a whole number or a torch.Generator",
        described(seed),
        error=TypeError,
    )
    return torch.Generator().manual_seed(int(seed))
