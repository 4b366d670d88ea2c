"""Without POT little of this folder can be computed; the extra is named."""

import pytest


def pytest_collection_modifyitems(items):
    try:
        import ot  # noqa: F401
    except ImportError:
        skip = pytest.mark.skip(reason="needs pip install 'overparam[transport]'")
        for item in items:
            if item.path.parent.name == "transport" and item.path.name != "test_absent.py":
                item.add_marker(skip)
