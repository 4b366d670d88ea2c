"""Which rows of one table are of the target, in the way that skada tells it."""

from typing import Any

import numpy as np

from overparam._errors import expect
from overparam._numbers import described


def split_domains(sample_domain: Any, labels: Any, n: int, where: str) -> np.ndarray:
    """True for rows of the target, of which there are some and not all.

    Args:
        sample_domain: Below 0 for a row of the target; None where its label is −1 instead.
        labels: One for each row.
        n: Rows.
        where: The call, for messages.
    """
    call = f"{where}(sample_domain=...)"
    domains = np.asarray(labels if sample_domain is None else sample_domain)
    expect(
        domains.shape == (n,) and domains.dtype.kind in "iuf", call,
        f"a number for each of {n} rows, below 0 for those of the target",
        described(sample_domain if sample_domain is None else domains),
    )  # fmt: skip
    of_target = domains == -1 if sample_domain is None else domains < 0
    for name, found in (("target", of_target), ("source", ~of_target)):
        expect(found.any(), call, f"rows of a {name}", "none")
    return of_target
