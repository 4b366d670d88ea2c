"""Well-known data sets by name: bundled ones, a folder of files, OpenML."""

import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn import datasets as bundled

from overparam._errors import unknown
from overparam.datasets.archive import open_npz
from overparam.datasets.arrays import read_npz
from overparam.datasets.dataset import Dataset, held_out
from overparam.datasets.openml import PUBLIC_NAMES, fetch
from overparam.errors import MissingPackage

_BUNDLED = {
    "breast_cancer": bundled.load_breast_cancer,
    "diabetes": bundled.load_diabetes,
    "digits": bundled.load_digits,
    "iris": bundled.load_iris,
    "wine": bundled.load_wine,
}
# Characters that a model of the text sees before the one it predicts.
_CONTEXT = 64


def load(name: str, *, seed: int = 0) -> Dataset:
    """A well-known data set with its standard split, as stored.

    Bundled with scikit-learn: ``breast_cancer``, ``diabetes``, ``digits``, ``iris``,
    ``wine``. Every other name is looked for in the folder ``$OVERPARAM_DATA``, then in
    ``../shared/data`` beside a checkout and beside the current directory, as ``NAME.npz`` or
    ``tabular/NAME.npz``. Last, ``mnist``, ``fashion_mnist``, ``cifar10``, ``adult``,
    ``letter`` and ``spambase`` are fetched from OpenML, which needs a connection once.

    ``tinyshakespeare`` is text: inputs are windows of 64 consecutive character ids that do
    not overlap, the label is the character that follows; the first nine tenths of the text
    are for training. ``cifar10_jpeg`` is decoded on loading and needs Pillow.

    Args:
        name: One of the above, or of what `names` lists.
        seed: Draws the fifth set aside for testing where no split is standard, class by class
            for a classification; picks the split where several were published.

    Raises:
        ValueError: If there is no set of that name.
        FileNotFoundError: If the set is known but nowhere to be had; the message says where
            was looked.

    Cost:
        Milliseconds for bundled sets, a second for MNIST, 20 s for ``cifar10_jpeg``.

    Example:
        >>> load("digits")
        Dataset('digits', classification of images, 1438 + 359 examples of shape (8, 8), 10 classes)
    """
    return named_set(name, seed, f"load({name!r})")


def named_set(name: str, seed: int, where: str) -> Dataset:
    """The set of `load`; `where` is the call this is for, in errors."""
    if name in _BUNDLED:
        return _from_scikit_learn(name, seed, where)
    for folder in _folders():
        for path in (folder / f"{name}.npz", folder / "tabular" / f"{name}.npz"):
            if name == "cifar10_jpeg" and path.is_file():
                return _cifar10_from_jpeg(path, where)
            if path.is_file():
                return read_npz(path, where, target=None, task=None, seed=seed)
        if name == "tinyshakespeare" and (folder / f"{name}.txt").is_file():
            return _next_characters(folder / f"{name}.txt")
    if name in PUBLIC_NAMES:
        try:
            return fetch(name, where, seed)
        except ConnectionError as error:
            raise FileNotFoundError(_nowhere(where, f"{name}.npz", f"none, nor {error}")) from None
    if name in ("cifar10_jpeg", "tinyshakespeare", "usps"):
        raise FileNotFoundError(_nowhere(where, "the file of this set", "none"))
    unknown(where, f"a data set (in {_places()})", name, {*names(), *PUBLIC_NAMES})


def names() -> list[str]:
    """Names that `load` can serve now, without a connection.

    Example:
        >>> {"digits", "iris"} <= set(names())
        True
    """
    found = set(_BUNDLED)
    for folder in _folders():
        found.update(path.stem for path in folder.glob("*.npz"))
        found.update(path.stem for path in folder.glob("tabular/*.npz"))
        found.update(path.stem for path in folder.glob("tinyshakespeare.txt"))
    return sorted(found)


def data_file(name: str) -> Path | None:
    """The file that `load` would read a set from, `None` for one that is bundled or not there."""
    if name in _BUNDLED:
        return None
    for folder in _folders():
        for path in (f"{name}.npz", f"tabular/{name}.npz", f"{name}.txt"):
            if (folder / path).is_file():
                return folder / path
    return None


def _candidates() -> Iterator[Path]:
    """Folders that may hold data, whether or not they exist."""
    if chosen := os.environ.get("OVERPARAM_DATA"):
        yield Path(chosen).expanduser()
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").is_file():
        yield checkout.parent / "shared" / "data"
    yield Path.cwd().parent / "shared" / "data"


def _folders() -> list[Path]:
    """Folders that hold data, each once, in the order they are searched."""
    return list(dict.fromkeys(folder for folder in _candidates() if folder.is_dir()))


def _places() -> str:
    """Where was looked, in words."""
    chosen = "" if os.environ.get("OVERPARAM_DATA") else "$OVERPARAM_DATA (not set), "
    return chosen + ", ".join(
        f"{folder}" + ("" if folder.is_dir() else " (no such folder)")
        for folder in dict.fromkeys(_candidates())
    )


def _nowhere(where: str, expected: str, got: str) -> str:
    """The message for a set that is known but cannot be had."""
    return (
        f"`{where}` expected {expected} in {_places()}, got {got}.\n"
        f"Hint: set OVERPARAM_DATA to a folder that holds it; {', '.join(_BUNDLED)} need none."
    )


def _from_scikit_learn(name: str, seed: int, where: str) -> Dataset:
    """A set bundled with scikit-learn, in original units."""
    bunch = _BUNDLED[name](scaled=False) if name == "diabetes" else _BUNDLED[name]()
    regression = name == "diabetes"
    x, y = (bunch.images, bunch.target) if name == "digits" else (bunch.data, bunch.target)
    is_test = held_out(y, stratified=not regression, seed=seed, where=where)
    table = x.ndim == 2
    return Dataset(
        name=name,
        x_train=x[~is_test],
        y_train=y[~is_test],
        x_test=x[is_test],
        y_test=y[is_test],
        task="regression" if regression else "classification",
        kind="table" if table else "images",
        class_names=() if regression else tuple(map(str, bunch.target_names)),
        feature_names=tuple(map(str, bunch.feature_names)) if table else (),
        levels=((),) * x.shape[1] if table else (),
        target_name={"digits": "digit", "diabetes": "progression"}.get(name, "class"),
    )


def _next_characters(path: Path) -> Dataset:
    """A text as windows of character ids, each labelled with the character that follows."""
    text = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    alphabet, ids = np.unique(text, return_inverse=True)
    n = (len(ids) - 1) // _CONTEXT
    x = ids[: n * _CONTEXT].reshape(n, _CONTEXT).astype(np.int64)
    y = ids[_CONTEXT : n * _CONTEXT + 1 : _CONTEXT].astype(np.int64)
    train = 9 * n // 10
    return Dataset(
        name=path.stem,
        x_train=x[:train],
        y_train=y[:train],
        x_test=x[train:],
        y_test=y[train:],
        task="classification",
        kind="tokens",
        class_names=tuple(map(chr, alphabet)),
        target_name="next character",
    )


def _cifar10_from_jpeg(path: Path, where: str) -> Dataset:
    """CIFAR-10 from its JPEG streams."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingPackage(
            f"`{where}` expected Pillow to decode JPEG images, got an environment without it.\n"
            "Hint: pip install pillow, or load('cifar10')."
        ) from None
    archive = open_npz(path, where)
    parts = {}
    for part in ("train", "test"):
        stream, offset = archive[f"jpeg_{part}"].tobytes(), archive[f"offset_{part}"]
        parts[f"y_{part}"] = archive[f"y_{part}"]
        parts[f"x_{part}"] = np.stack(
            [
                np.asarray(Image.open(io.BytesIO(stream[start:end])))
                for start, end in itertools.pairwise(offset)
            ]
        )
    return Dataset(
        name=path.stem,
        task="classification",
        kind="images",
        class_names=tuple(map(str, archive["class_names"])),
        **parts,
    )
