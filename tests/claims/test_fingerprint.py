import importlib
import importlib.util
import sys

import pytest

from overparam.claims import load_study, study_names
from overparam.claims.fingerprint import fingerprint

engine = importlib.import_module("overparam.claims.fingerprint")

SOURCE = '''
"""A study."""
import math
from overparam.nets.mlp import ntk_mlp

SCALE = 2.0
TITLE = "drawn"
WORDS = [f"{width} wide" for width in (1, 2)]

def helper(x):
    return SCALE * math.sqrt(x)

def cell(width, seed):
    """A number."""
    return {"value": helper(width), "net": ntk_mlp}

def figures(table):
    return {TITLE: 1}
'''


@pytest.fixture
def fingerprint_of(tmp_path):
    """Fingerprint of `cell` in a file with the given source."""
    loaded = []

    def measure(source):
        name = f"study_{len(loaded)}"
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        loaded.append(name)
        spec.loader.exec_module(module)
        return fingerprint(module.cell)

    yield measure
    for name in loaded:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"value": helper(width)', '{"value": helper(width) + seed'),
        ("SCALE * math", "math"),
        ("SCALE = 2.0", "SCALE = 3.0"),
        ("import math", "import cmath as math"),
        ("from overparam.nets.mlp import ntk_mlp", "from overparam.nets.linear import NTKLinear"),
    ],
)
def test_what_decides_a_result_changes_it(fingerprint_of, old, new):
    assert old in SOURCE
    assert fingerprint_of(SOURCE) != fingerprint_of(SOURCE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('TITLE = "drawn"', 'TITLE = "redrawn"'),
        ("{width} wide", "{width} broad"),
        ("{TITLE: 1}", "{TITLE: 2}"),
        ("SCALE = 2.0", "SCALE = 2.0  # twice"),
        ("A study.", "The study."),
        ("A number.", "The number."),
        ("import math\n", "import math\nfrom overparam.nets.linear import NTKLinear\n"),
    ],
)
def test_what_does_not_leaves_it(fingerprint_of, old, new):
    assert old in SOURCE
    assert fingerprint_of(SOURCE) == fingerprint_of(SOURCE.replace(old, new))


def test_a_decorated_cell_is_looked_at_and_not_its_decorator(fingerprint_of):
    decorated = SOURCE.replace("import math", "import functools\nimport math").replace(
        "def cell", "@functools.cache\ndef cell"
    )
    assert fingerprint_of(decorated) == fingerprint_of(decorated)
    assert fingerprint_of(decorated) != fingerprint_of(decorated.replace("2.0", "3.0"))


@pytest.mark.parametrize(
    ("file", "old", "new", "same"),
    [
        ("nets/one.py", "return 1", "return 1  # one", True),
        ("nets/one.py", '"""One."""', '"""1."""', True),
        ("nets/one.py", "return 1", "return 2", False),
        ("studies/toy/claims.py", "CLAIMS = [1]", "CLAIMS = [2]", True),
        ("studies/toy/parts.py", "def unused():", "def unused(x):", True),
        ("studies/toy/parts.py", "return one()", "return 2 * one()", False),
        ("studies/toy/parts.py", "import one", "import two as one", False),
    ],
)
def test_of_a_folder_counts_what_the_cell_reaches(tmp_path, monkeypatch, file, old, new, same):
    files = {
        "nets/one.py": 'def one():\n    """One."""\n    return 1\n\ndef two(): return 2\n',
        "studies/toy/claims.py": "CLAIMS = [1]\n",
        "studies/toy/parts.py": "from overparam.nets.one import one\n"
        "def part(): return one()\ndef unused(): pass\n",
        "studies/toy/__init__.py": "from overparam.studies.toy.claims import CLAIMS\n"
        "from overparam.studies.toy.parts import part\n"
        "def cell(seed): return part()\nSTUDY = CLAIMS\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(engine, "_PACKAGE", tmp_path)
    monkeypatch.setattr(engine, "_STUDIES", tmp_path / "studies")
    main = tmp_path / "studies/toy/__init__.py"
    monkeypatch.setattr(engine.inspect, "getsourcefile", lambda cell: main)

    def cell():
        """Whose name stands in the file above."""

    before = fingerprint(cell)
    assert old in files[file]
    (tmp_path / file).write_text(files[file].replace(old, new))
    assert (fingerprint(cell) == before) is same


def test_every_study_has_one():
    prints = [fingerprint(load_study(name).cell) for name in study_names()]
    assert len(set(prints)) == len(prints) > 0
