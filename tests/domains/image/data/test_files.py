"""Single files of images: each kind of pixels by its rule, and each kind of damage with its reason."""

from __future__ import annotations

import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from polydiff.contract.data.quarantine import Quarantine
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data import files
from polydiff.domains.image.data.files import LARGEST, Room, check_pixels, load, read
from polydiff.domains.image.data.folder import folder

GREY, GREY_ALPHA, RGB, RGBA, PALETTE = 0, 4, 2, 6, 3
"""Colour types of PNG."""


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(path: Path, sizes: tuple[int, int], bits: int, colour: int, row: bytes, further: bytes = b"") -> Path:
    """Write a PNG whose rows are all the same; Pillow cannot write colour of 16 bits."""
    width, height = sizes
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    rows = zlib.compress((b"\0" + row) * min(height, 1000))
    parts = chunk(b"IHDR", header) + further + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def words(*numbers: int) -> bytes:
    """Return numbers of 16 bits as PNG stores them."""
    return np.array(numbers, dtype=">u2").tobytes()


@pytest.mark.parametrize(
    ("colour", "pixel", "seen"),
    [
        (GREY, (0x12FF,), (0x12,) * 3),
        (RGB, (0x12FF, 0x80FF, 0xFF00), (0x12, 0x80, 0xFF)),
        (RGBA, (0x12FF, 0x80FF, 0xFF00, 0xFFFF), (0x12, 0x80, 0xFF)),
        (RGBA, (0x12FF, 0x80FF, 0xFF00, 0), (255,) * 3),
        (GREY_ALPHA, (0x12FF, 0xFFFF), (0x12,) * 3),
        (GREY_ALPHA, (0x12FF, 0), (255,) * 3),
    ],
)
def test_pixels_of_sixteen_bits_keep_their_upper_eight(
    colour: int, pixel: tuple[int, ...], seen: tuple[int, ...], tmp_path: Path
) -> None:
    path = png(tmp_path / "a.png", (8, 8), 16, colour, words(*pixel) * 8)
    assert (read(path, 8, 3) == torch.tensor(seen)[:, None, None]).all()


@pytest.mark.parametrize(
    ("bits", "colour", "clear", "row"),
    [
        (1, GREY, words(0), b"\x0f"),
        (8, GREY, words(9), bytes([9] * 4 + [7] * 4)),
        (16, GREY, words(0x12FF), words(*[0x12FF] * 4 + [0x4567] * 4)),
        (8, RGB, words(9, 8, 7), bytes([9, 8, 7] * 4 + [9, 8, 6] * 4)),
        (16, RGB, words(0x12FF, 0, 0xFFFF), words(*[0x12FF, 0, 0xFFFF] * 4 + [0x14FF, 0, 0xFFFF] * 4)),
    ],
)
def test_one_transparent_colour_becomes_white(bits: int, colour: int, clear: bytes, row: bytes, tmp_path: Path) -> None:
    plain = read(png(tmp_path / "plain.png", (8, 8), bits, colour, row), 8, 3)
    seen = read(png(tmp_path / "clear.png", (8, 8), bits, colour, row, chunk(b"tRNS", clear)), 8, 3)
    assert (seen[:, :, :4] == 255).all()
    assert torch.equal(seen[:, :, 4:], plain[:, :, 4:])
    assert not (plain[:, :, :4] == 255).all()


def test_a_palette_with_partial_transparency_is_put_on_white(tmp_path: Path) -> None:
    colours = chunk(b"PLTE", bytes([100, 100, 100, 200, 0, 0])) + chunk(b"tRNS", bytes([128]))
    path = png(tmp_path / "a.png", (8, 8), 8, PALETTE, bytes([0] * 4 + [1] * 4), colours)
    seen = read(path, 8, 3).float()
    assert (seen[:, :, :4] - (100 * 128 + 255 * 127) / 255).abs().max() <= 1
    assert (seen[:, :, 4:] == torch.tensor([200.0, 0, 0])[:, None, None]).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"])
def test_every_mode_shows_the_same_picture(mode: str, tmp_path: Path) -> None:
    colours = {"P": (204, 51, 102), "PA": (204, 51, 102)}  # of the palette
    colour = (255, 255, 255) if mode == "1" else colours.get(mode, (200, 40, 90))
    image = Image.new("RGB", (8, 8), colour).convert(mode)
    image.save(tmp_path / "a.tif")
    grey = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    expected = torch.tensor([grey] * 3 if mode in ("L", "LA") else [float(c) for c in colour])
    assert (read(tmp_path / "a.tif", 8, 3).float() - expected[:, None, None]).abs().max() <= 2
    assert (read(tmp_path / "a.tif", 8, 1).float() - grey).abs().max() <= 2


@pytest.mark.parametrize("marker", ["of Adobe", "none"])
def test_inks_of_a_jpeg_are_stored_inverted_with_and_without_the_marker_of_adobe(marker: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 16), (200, 40, 90)).convert("CMYK").save(path, quality=95)
    data = path.read_bytes()
    place = data.index(b"\xff\xee")
    assert data[place + 4 :].startswith(b"Adobe")
    if marker == "none":
        path.write_bytes(data[:place] + data[place + 2 + int.from_bytes(data[place + 2 : place + 4], "big") :])
    assert (read(path, 16, 3).float() - torch.tensor([200.0, 40, 90])[:, None, None]).abs().max() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp", ".png"])
def test_all_formats_are_turned_as_their_exif_says(suffix: str, orientation: int, tmp_path: Path) -> None:
    stored: dict[int, Any] = {
        **{1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1]},
        **{5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1)},
        **{7: lambda a: a[::-1, ::-1].transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1)},
    }
    corners = np.random.default_rng(0).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    upright: NDArray[np.uint8] = corners.repeat(16, 0).repeat(16, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored[orientation](upright)))
    options: dict[str, Any] = {".jpg": {"quality": 95, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    image.save(tmp_path / f"a{suffix}", exif=exif, **options)
    seen = read(tmp_path / f"a{suffix}", 0, 3)
    assert seen.shape == (3, 32, 48)
    assert (seen.float() - torch.from_numpy(upright).permute(2, 0, 1)).abs().mean() < 4


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!!", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_leaves_the_picture_as_it_is_stored(exif: bytes, tmp_path: Path) -> None:
    Image.new("RGB", (8, 16), (9, 9, 9)).save(tmp_path / "a.jpg", exif=exif)
    assert read(tmp_path / "a.jpg", 8, 3).shape == (3, 16, 8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".gif", ".tif", ".ppm"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_truncated_file_of_any_format_is_an_error(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: max(4, int(share * len(data)))])
    with pytest.raises((OSError, ValueError, SyntaxError)):
        load(path, 8, 3)


def test_an_empty_file_and_one_without_an_image_have_different_reasons(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(OSError, match=r"it is empty \(0 bytes\)"):
        load(tmp_path / "a.png", 8, 3)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(OSError, match="its beginning is that of no image"):
        load(tmp_path / "b.png", 8, 3)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((30_000, 30_000), r"more than 178,956,970 pixels|30000 x 30000"),
        ((13_378, 13_378), r"13378 x 13378 pixels, more than 178,956,970|more than 178,956,970 pixels"),
        ((100_000, 1), r"100000 x 1 pixels; with a shorter side of 64, it would have 6400000 x 64"),
    ],
)
def test_a_huge_picture_is_excluded_by_its_header(sizes: tuple[int, int], reason: str, tmp_path: Path) -> None:
    import tracemalloc

    png(tmp_path / "a.png", sizes, 8, GREY, b"\0" * sizes[0])
    tracemalloc.start()
    with pytest.raises(ValueError, match=reason):
        load(tmp_path / "a.png", 64, 3)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_the_bound_is_on_pixels_as_stored_and_as_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST", 100)
    assert check_pixels(10, 10, 0) == 100
    assert check_pixels(5, 2, 6) == 6 * 15
    with pytest.raises(ValueError, match="11 x 10 pixels"):
        check_pixels(11, 10, 0)
    with pytest.raises(ValueError, match="would have 18 x 6"):
        check_pixels(6, 2, 6)


def test_the_bound_is_that_of_pillow() -> None:
    assert 2 * (Image.MAX_IMAGE_PIXELS or 0) == LARGEST


def test_threads_decode_no_more_pixels_at_a_time_than_there_is_room_for() -> None:
    room, lock, now, most = Room(10), threading.Lock(), 0, 0

    def work(pixels: int) -> None:
        nonlocal now, most
        for _ in range(50):
            with room.taken(pixels):
                with lock:
                    now += min(pixels, 10)
                    most = max(most, now)
                with lock:
                    now -= min(pixels, 10)

    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in (3, 4, 5, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert most <= 10
    assert room.free == 10


def test_room_is_given_back_after_an_error() -> None:
    room = Room(10)
    with pytest.raises(ValueError, match="x"), room.taken(7):
        raise ValueError("x")
    assert room.free == 10


def test_a_folder_of_odd_files_is_accounted_for_exactly(tmp_path: Path) -> None:
    for i in range(80):
        Image.new("RGB", (8, 8), (i, 2 * i, 3 * i)).save(tmp_path / f"{i}.png")
    (tmp_path / "empty.jpg").write_bytes(b"")
    png(tmp_path / "bomb.png", (30_000, 30_000), 8, GREY, b"\0")
    png(tmp_path / "line.png", (400_000_000 // 64, 1), 8, GREY, b"\0")
    torn = (tmp_path / "1.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(torn[:-30])
    with pytest.warns(UserWarning, match="4 of 84 images"):
        source = folder(ImageData(name="folder", path=tmp_path, size=64))
    account = source.quarantine
    assert isinstance(account, Quarantine)
    assert account.found == 84 == account.used + len(account.reasons)
    assert account.used == sum(len(split) for split in source.splits.values()) == 80
    assert set(account.reasons) == {"empty.jpg", "bomb.png", "line.png", "torn.png"}


def test_a_tiff_of_sixteen_bits_in_colour_keeps_the_upper_eight(tmp_path: Path) -> None:
    pixels = np.tile(np.array([0x12FF, 0x80FF, 0xFF00], "<u2"), 64).tobytes()
    tags = {256: 8, 257: 8, 258: 200, 259: 1, 262: 2, 273: 300, 277: 3, 278: 8, 279: len(pixels)}
    rows = [struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, v) for tag, v in tags.items()]
    head = b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(rows) + bytes(4)
    bits = struct.pack("<HHH", 16, 16, 16)
    (tmp_path / "a.tif").write_bytes(head.ljust(200, b"\0") + bits.ljust(100, b"\0") + pixels)
    assert (read(tmp_path / "a.tif", 8, 3) == torch.tensor([0x12, 0x80, 0xFF])[:, None, None]).all()
