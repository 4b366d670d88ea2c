"""A small grid of grey values as a picture that lies in the page itself."""

import base64
import struct
import zlib
from typing import Any


def grey_image(grid: Any) -> str | None:
    """The data URI of a PNG with one pixel for each value, 0 black and 1 white.

    Values outside [0, 1] are clipped. What is not a rectangle of numbers gives `None`.

    Example:
        >>> grey_image([[0.0, 1.0]])[:26]
        'data:image/png;base64,iVBO'
        >>> grey_image([[0.0], [0.0, 1.0]]) is None
        True
    """
    if not isinstance(grid, list) or not grid or not all(isinstance(row, list) for row in grid):
        return None
    width = len(grid[0])
    numbers = all(isinstance(value, int | float | None) for row in grid for value in row)
    if not width or not numbers or any(len(row) != width for row in grid):
        return None
    pixels = bytearray()
    for row in grid:
        pixels.append(0)
        pixels += bytes(round(255 * min(max(value or 0.0, 0.0), 1.0)) for value in row)
    header = struct.pack(">IIBBBBB", width, len(grid), 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(pixels))), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk: length, kind, content, checksum of the latter two."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum
