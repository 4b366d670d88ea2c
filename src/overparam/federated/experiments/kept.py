"""A folder of finished runs, and of where unfinished ones stand."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from overparam._cache import cache_folder
from overparam._environment import digest
from overparam._errors import expect
from overparam._files import expect_writable, write_whole
from overparam._json import to_json

_WHERE = "federate --keep FOLDER"
_HINT = "name a folder by --keep, or one for all by OVERPARAM_CACHE."


class KeptRuns:
    """Finished runs by what they depend on; each is a small file.

    Args:
        folder: Made if it is not there, but not the one above it; `None` is one in the cache.

    Raises:
        OSError: If nothing can be written into it, told before anything is computed.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        own = folder is None
        self.folder = cache_folder(_WHERE, _HINT) / "federate" if own else Path(folder)
        problem = ""
        try:
            self.folder.mkdir(parents=own, exist_ok=True)
        except OSError as error:
            problem = error.strerror or str(error)
        expect(not problem, _WHERE, "a folder that can be made", f"{self.folder} ({problem})",
               _HINT, OSError)  # fmt: skip
        expect_writable(self.folder / "run.json", _WHERE)

    def result(self, *key: Any) -> dict[str, Any] | None:
        """The run with that key, or `None` if there is none, or a damaged one."""
        with suppress(OSError, ValueError):
            found = json.loads(self._path(".json", *key).read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        return None

    def checkpoint(self, *key: Any) -> Path:
        """Where a run is to be kept while it is not finished."""
        return self._path(".pt", *key)

    def put(self, result: dict[str, Any], *key: Any) -> None:
        """Keep a finished run; what was kept of it on the way goes."""
        write_whole(self._path(".json", *key), to_json(result))
        self.checkpoint(*key).unlink(missing_ok=True)

    def _path(self, suffix: str, *key: Any) -> Path:
        return self.folder / f"{digest(*key)}{suffix}"
