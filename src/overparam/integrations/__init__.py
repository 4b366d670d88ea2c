"""A monitor inside other tools, one module for each.

Each needs the tool it is named after, so nothing is imported from here.
"""

__all__ = []
