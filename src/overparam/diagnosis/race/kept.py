"""A race in a file: what was compared, and the trainings that are gone on with."""

import hashlib
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from overparam._errors import expect
from overparam._files import Name, expect_readable, expect_writable, write_whole
from overparam.diagnosis.race.bracket import Bracket
from overparam.diagnosis.race.race import Race
from overparam.diagnosis.race.recipe import Recipe

_FORMAT = "overparam race 1"


class KeptRace:
    """The file of a race, written after every comparison; a later race goes on from it.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Name, key: str, where: str) -> None:
        """Nothing is read or written yet, but that it can be written is checked.

        Args:
            path: The file.
            key: What the race is of; see `key_of`. Another race's file is refused.
            where: The call as the user would type it.
        """
        self.path, self._key, self._where = Path(path), key, where
        expect_writable(path, where)

    def load(self) -> dict[str, Any] | None:
        """What the file holds; `None` if there is none.

        Raises:
            ValueError: It is no race's, damaged, or another race's.
        """
        if not self.path.exists() or self.path.stat().st_size == 0:
            return None
        expect_readable(self.path, self._where)
        try:
            # Tensors and plain data only: nothing in the file is run.
            found = torch.load(self.path, weights_only=True)
            right = found["format"] == _FORMAT
        except Exception as problem:  # a file may hold anything
            found, right = {}, False
            told = f"{self.path} ({type(problem).__name__})"
        else:
            told = str(self.path)
        hint = "name another file, or remove this one."
        expect(right, self._where, "the file of a race", told, hint=hint)
        same = found["key"] == self._key
        words = "a race of this model, data, optimizer, length and seed"
        expect(same, self._where, words, f"{self.path}, another race's", hint=hint)
        return found

    def save(self, race: Race, found: Bracket) -> None:
        """Write what there is, all or nothing."""
        content = {
            "format": _FORMAT, "key": self._key, "bracket": asdict(found), "race": race.state(),
        }  # fmt: skip
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_whole(self.path, buffer.getvalue())


def key_of(recipe: Recipe, planned: int | None, order: int, data: str | None) -> str:
    """A digest of all that a race depends on."""
    digest = hashlib.sha256()
    settings = [
        {name: value for name, value in group.items() if name != "params"}
        for group in recipe.optimizer.param_groups
    ]
    kind = type(recipe.optimizer)
    parts = [
        torch.__version__, f"{kind.__module__}.{kind.__qualname__}", settings, planned, order,
        data, recipe.epoch, recipe.clip_norm, recipe.accumulate, recipe.schedule is not None,
    ]  # fmt: skip
    digest.update(repr(parts).encode())
    for name, value in _tensors(recipe.model):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        plain = value.detach().cpu().contiguous()
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def bracket_of(kept: dict[str, Any]) -> Bracket:
    """The bracket that a kept race began with."""
    values = kept["bracket"]
    return Bracket(**{**values, "rates": tuple(values["rates"])})


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    state = model.state_dict()
    return [(name, state[name]) for name in sorted(state) if isinstance(state[name], Tensor)]
