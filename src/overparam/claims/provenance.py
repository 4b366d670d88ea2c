"""What beside its code decides a cell's numbers: device, libraries, data."""

import hashlib
import platform
from importlib import metadata
from typing import Any

from overparam.claims.study import Study

_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn")


def provenance(study: Study) -> dict[str, Any]:
    """Device, versions and the digest of the data of a study's cells, as plain data.

    The device is where cells that move their networks to one find themselves: a CUDA device if
    there is any, else the processor with its vector instructions, by which sums round differently.

    Cost: a pass over the files of the data that the study names.
    """
    return {
        "device": device(),
        **{name: metadata.version(name) for name in _LIBRARIES},
        **study.versions,
        "data": {name: data_digest(name) for name in study.data} or None,
    }


def device() -> str:
    """Where cells compute, such as "cpu (x86_64, AVX2)"."""
    import torch

    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name()})"
    return f"cpu ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"


def data_digest(name: str) -> str:
    """A hash of a set's file, or "absent"."""
    from overparam.datasets.named import data_file

    path = data_file(name)
    if path is None:
        return "absent"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
