"""A simulation in a file: where it stands, written whole or not at all."""

from pathlib import Path
from typing import Any

import torch

from overparam._errors import expect
from overparam._files import Name, expect_readable, expect_writable, replacing

_FORMAT = "overparam federated run 1"


class KeptRun:
    """The file of a run.

    Args:
        path: The file; `None` keeps nothing.
        key: Of all that the run depends on but its length; another run's file is refused.
        where: The call as the user would type it.
    """

    def __init__(self, path: Name | None, key: str, where: str) -> None:
        self._path, self._key, self._where = None if path is None else Path(path), key, where
        if path is not None:
            expect_writable(path, where)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """What was saved last; `None` if nothing was.

        Raises:
            ValueError: It is no run's file, damaged, or another run's.
        """
        if self._path is None or not self._path.exists() or self._path.stat().st_size == 0:
            return None
        expect_readable(self._path, self._where)
        found, told = {}, str(self._path)
        try:
            # Tensors and plain data only: nothing in the file is run.
            found = torch.load(self._path, weights_only=True, map_location=device)
            right = found["format"] == _FORMAT
        except Exception as problem:  # a file may hold anything
            right, told = False, f"{self._path} ({type(problem).__name__})"
        hint = "name another file, or remove this one."
        expect(right, self._where, "the file of a federated run", told, hint)
        words = "a run of this model, data, algorithm, participation and seed"
        expect(found["key"] == self._key, self._where, words, f"{told}, another run's", hint)
        return found

    def save(self, content: dict[str, Any]) -> None:
        """Write where the run stands."""
        if self._path is not None:
            with replacing(self._path, binary=True) as file:
                torch.save({"format": _FORMAT, "key": self._key, **content}, file)
