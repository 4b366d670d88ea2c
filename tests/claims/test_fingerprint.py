import importlib.util
import sys

import pytest

from overparam.claims import load_study, study_names
from overparam.claims.fingerprint import fingerprint

SOURCE = '''
"""A study."""
import math
from overparam.nets.mlp import ntk_mlp

SCALE = 2.0
TITLE = "drawn"

def helper(x):
    return SCALE * math.sqrt(x)

def cell(width, seed):
    return {"value": helper(width)}

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
        ('{"value": helper(width)}', '{"value": helper(width) + seed}'),
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
        ("{TITLE: 1}", "{TITLE: 2}"),
        ("SCALE = 2.0", "SCALE = 2.0  # twice"),
        ("A study.", "The study."),
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


def test_every_study_has_one():
    prints = [fingerprint(load_study(name).cell) for name in study_names()]
    assert len(set(prints)) == len(prints) > 0
