import base64
import struct
import zlib

import pytest

from overparam.report.images import grey_image


def pixels(uri: str) -> list[list[int]]:
    """Read a grey PNG back, checking what a decoder would."""
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    place, chunks = 8, {}
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack(">I", content[place + 8 + length : place + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        chunks[kind], place = body, place + 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 0)
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    raw = zlib.decompress(chunks[b"IDAT"])
    rows = [raw[i * (width + 1) : (i + 1) * (width + 1)] for i in range(height)]
    assert all(row[0] == 0 for row in rows)
    return [list(row[1:]) for row in rows]


def test_a_picture_holds_the_values_clipped_to_black_and_white():
    uri = grey_image([[0.0, 1.0, 0.5], [-3.0, 7.0, None]])
    assert uri is not None
    assert pixels(uri) == [[0, 255, 128], [0, 255, 0]]


@pytest.mark.parametrize(
    "grid",
    [None, [], [[]], [1.0, 2.0], [[1.0], [1.0, 2.0]], [["a"]], "image", [[[0.5]]]],
    ids=["none", "empty", "no columns", "flat", "ragged", "words", "text", "deep"],
)
def test_what_is_no_grid_has_no_picture(grid):
    assert grey_image(grid) is None
