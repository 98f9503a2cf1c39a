"""A large folder with damaged files: each damaged one is excluded with its reason, and no other."""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.source import open_source

FILES, DAMAGED = 2000, 60


def encoded(i: int, kind: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def floating_point() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ones((8, 8), np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


def other_format() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "TGA")
    return buffer.getvalue()


def huge() -> bytes:
    """A PNG whose header states 100,000 x 100,000 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return encoded(0, "PNG")[:8] + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def without_data(content: bytes) -> bytes:
    """A PNG whose compressed pixels are replaced by zeros."""
    at = content.index(b"IDAT") + 4
    return content[:at] + bytes(len(content) - at)


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


WAYS: dict[str, Callable[[Path], object]] = {
    "empty.png": write(b""),
    "text.png": write(b"<html>404 Not Found</html>"),
    "head.png": write(encoded(1, "PNG")[:20]),
    "half.png": write(encoded(1, "PNG")[:300]),
    "pixels.png": write(without_data(encoded(1, "PNG"))),
    "half.jpg": write(encoded(1, "JPEG")[:-200]),
    "floating.tiff": write(floating_point()),
    "other.bmp": write(other_format()),
    "huge.png": write(huge()),
    "link.png": lambda path: path.symlink_to("nowhere.png"),
}


@pytest.mark.slow
def test_of_two_thousand_files_exactly_the_damaged_ones_are_excluded(tmp_path: Path) -> None:
    assert DAMAGED % len(WAYS) == 0
    for i in range(FILES - DAMAGED):
        suffix, kind = (("png", "PNG"), ("jpg", "JPEG"), ("bmp", "BMP"), ("webp", "WEBP"))[i % 4]
        path = tmp_path / f"class{i % 5}" / f"{i:04d}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(i, kind))
    for name, damage in WAYS.items():
        for k in range(DAMAGED // len(WAYS)):
            damage(tmp_path / f"class{k % 5}" / f"{k}-{name}")
    with pytest.warns(UserWarning, match=f"{DAMAGED} of {FILES} images"):
        source = open_source(ImageData(path=tmp_path, size=8))
    account = source.quarantine
    assert account
    assert (account.found, account.used, account.left_out) == (FILES, FILES - DAMAGED, 0)
    assert Counter(name.partition("-")[2] for name in account.reasons) == dict.fromkeys(WAYS, DAMAGED // len(WAYS))
    assert sum(map(len, source.splits.values())) == FILES - DAMAGED
    counted = {name: sum(sides.values()) for name, sides in account.splits.items()}
    assert counted == {f"class{k}": (FILES - DAMAGED) // 5 for k in range(5)}
