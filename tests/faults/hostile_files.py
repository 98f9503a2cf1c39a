"""Files by name that are hostile, odd or rare, each with the number of its examples that training must use."""

from __future__ import annotations

import io
import os
import re
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from input_files import RATE, picture, records, smiles, sound

Maker = Callable[[Path], object]


class Hostile(NamedTuple):
    """A file that is hostile, odd or rare.

    Attributes:
        make: Writes it.
        used: Number of its pictures, sounds or molecules that training uses; None: the data set is refused, with a
            message that names the file.
    """

    make: Maker
    used: int | None


def bomb(side: int) -> bytes:
    """Return a PNG of a few kilobytes with `side` x `side` pixels of one bit."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def wave(
    rate: int = RATE, channels: int = 1, bits: int = 16, form: int = 1, data: bytes = b"\1\2" * 4000, size: int = 0
) -> bytes:
    """Return a WAV file with any header; `size`: the length of the data that it states, 0: the true one."""
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", form, channels, rate, min(rate * block, 2**32 - 1), block % 2**16, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size or len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def floats(value: float, first: int = 0) -> bytes:
    """Return a WAV file of 4,000 floating-point numbers, which are the value from the first on and 0 before."""
    values = np.where(np.arange(4000) < first, 0, value)
    return wave(bits=32, form=3, data=values.astype("<f4").tobytes())


def saved(form: str, change: Callable[[Any], Any] = lambda image: image, **how: Any) -> Maker:
    """Return what writes a changed picture of 12 x 12 pixels by Pillow."""
    from PIL import Image

    return lambda path: change(Image.open(io.BytesIO(picture(95)))).save(path, form, **how)


def array(values: np.ndarray) -> Maker:
    """Return what writes an array as a picture."""
    from PIL import Image

    return lambda path: Image.fromarray(values).save(path)


def with_alpha(image: Any) -> Any:
    """Return a picture that is nearly transparent."""
    image.putalpha(9)
    return image


def rotated() -> Any:
    """Return the EXIF data of a picture that was taken sideways."""
    from PIL import Image

    found = Image.Exif()
    found[0x0112] = 6
    return found


def pages() -> list[Any]:
    """Return further pages of a picture."""
    from PIL import Image

    return [Image.new("RGB", (12, 12), colour) for colour in ("red", "blue")]


def flipped(data: bytes, at: int) -> bytes:
    """Return data with one bit changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def walk(channels: int = 1, **how: Any) -> Maker:
    """Return what writes a random walk by soundfile, in a format or subtype."""
    import soundfile

    found = np.cumsum(np.random.default_rng(9).standard_normal((RATE // 2, channels)), 0)
    return lambda path: soundfile.write(path, 0.5 * found / np.abs(found).max(), RATE, **how)


def ten_hours(path: Path) -> None:
    """Write ten hours of silence, a file of some hundred kilobytes."""
    import soundfile

    with soundfile.SoundFile(path, "w", RATE, 1, format="FLAC") as file:
        for _ in range(600):
            file.write(np.zeros(60 * RATE))


def at_a_socket(path: Path) -> None:
    """Make a socket in place of a file; its path is relative, since it may have 107 bytes at most."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


def v3000() -> str:
    """Return a molecule as a record of the extended format."""
    from rdkit import Chem

    return str(Chem.MolToV3KMolBlock(Chem.MolFromMolBlock(records()[42], removeHs=False))) + "$$$$\n"


def nowhere(record: str) -> str:
    """Return a record whose atoms are all at the origin."""
    return re.sub(r"^(?: {2,4}-?\d+\.\d{4}){3}", "    0.0000" * 3, record, flags=re.MULTILINE)


def rows() -> str:
    """Return one molecule as a table."""
    return f"smiles,name\n{smiles()[41]},a\n"


def sdf(change: Callable[[str], str]) -> bytes:
    """Return a record that is changed, between two right ones."""
    return (records()[41] + change(records()[42]) + records()[43]).encode()


NO_ATOMS = "\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n$$$$\n"
"""A record of a molecule without atoms."""
C60 = (
    "c12c3c4c5c1c1c6c7c2c2c8c3c3c9c4c4c%10c5c5c1c1c6c6c%11c7c2c2c7c8c3c3c8c9c4c4c9c%10c5c5c1c1c6c6c%11c2c2c7c3c3c8c4c4c9c"
    "5c1c1c6c2c3c41"
)
"""A fullerene."""
ANY: dict[str, Maker] = {
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"\x89"),
    "text": lambda path: path.write_text("this is no data\n" * 100),
    "pickle": lambda path: path.write_bytes(b"\x80\x04\x95."),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "broken link": lambda path: path.symlink_to("absent"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "sparse gigabytes": lambda path: (path.touch(), os.truncate(path, 2**33)),
}
"""Put in place of a file of any format."""
NAMED: dict[str, dict[str, Hostile]] = {
    "image": {
        "header only.png": Hostile(lambda path: path.write_bytes(picture(90)[:33]), 0),
        "bomb.png": Hostile(lambda path: path.write_bytes(bomb(13_300)), 0),
        "larger bomb.png": Hostile(lambda path: path.write_bytes(bomb(40_000)), 0),
        "jpeg named.png": Hostile(lambda path: path.write_bytes(picture(91, "JPEG")), 1),
        "new\nline.png": Hostile(lambda path: path.write_bytes(picture(92)), 1),
        "é😀\u202e.png": Hostile(lambda path: path.write_bytes(picture(93)), 1),
        "x" * 251 + ".png": Hostile(lambda path: path.write_bytes(picture(94)), 0),
        "one pixel.png": Hostile(lambda path: path.write_bytes(bomb(1)), 0),
        "cmyk.jpg": Hostile(saved("JPEG", lambda image: image.convert("CMYK")), 1),
        "16 bit.png": Hostile(array(np.random.default_rng(1).integers(0, 2**16, (12, 12), np.uint16)), 1),
        "transparent.png": Hostile(saved("PNG", with_alpha), 1),
        "palette.png": Hostile(saved("PNG", lambda image: image.convert("P")), 1),
        "one bit.png": Hostile(saved("PNG", lambda image: image.convert("1")), 1),
        "sideways.jpg": Hostile(lambda path: saved("JPEG", exif=rotated())(path), 1),
        "animated.gif": Hostile(lambda path: saved("GIF", save_all=True, append_images=pages())(path), 1),
        "three pages.tiff": Hostile(lambda path: saved("TIFF", save_all=True, append_images=pages())(path), 1),
        "float.tiff": Hostile(array(np.random.default_rng(1).random((12, 12), np.float32)), 0),
        "nan.tiff": Hostile(array(np.full((12, 12), np.nan, np.float32)), 0),
        "cut.jpg": Hostile(lambda path: path.write_bytes(picture(97, "JPEG")[:-200]), 0),
        "wrong checksum.png": Hostile(lambda path: path.write_bytes(flipped(picture(97), -20)), 0),
        "more behind.png": Hostile(lambda path: path.write_bytes(picture(97) + b"more" * 100), 1),
        "line.png": Hostile(saved("PNG", lambda image: image.resize((4000, 1))), 1),
        "socket.png": Hostile(at_a_socket, 0),
    },
    "audio": {
        "header only.wav": Hostile(lambda path: path.write_bytes(wave(data=b"")), 0),
        "one sample.wav": Hostile(lambda path: path.write_bytes(wave(data=b"\1\2")), 1),
        "rate 0.wav": Hostile(lambda path: path.write_bytes(wave(rate=0)), 0),
        "rate 1.wav": Hostile(lambda path: path.write_bytes(wave(rate=1)), 0),
        "rate 10^9.wav": Hostile(lambda path: path.write_bytes(wave(rate=10**9)), 0),
        "1,024 channels.wav": Hostile(lambda path: path.write_bytes(wave(channels=1024)), 0),
        "nan.wav": Hostile(lambda path: path.write_bytes(floats(float("nan"))), 0),
        "inf.wav": Hostile(lambda path: path.write_bytes(floats(float("inf"))), 0),
        "3e38.wav": Hostile(lambda path: path.write_bytes(floats(3e38)), 0),
        "constant.wav": Hostile(lambda path: path.write_bytes(floats(0.5)), 0),
        "silence.wav": Hostile(lambda path: path.write_bytes(floats(0.0)), 0),
        "flac named.wav": Hostile(lambda path: path.write_bytes(sound(95, "flac")), 1),
        "8 bit.wav": Hostile(walk(subtype="PCM_U8"), 1),
        "24 bit.wav": Hostile(walk(subtype="PCM_24"), 1),
        "double.wav": Hostile(walk(subtype="DOUBLE"), 1),
        "a-law.wav": Hostile(walk(subtype="ALAW"), 1),
        "extensible.wav": Hostile(walk(format="WAVEX"), 1),
        "aiff named.wav": Hostile(walk(format="AIFF"), 1),
        "mp3.mp3": Hostile(walk(format="MP3"), 1),
        "stereo.wav": Hostile(walk(channels=2), None),
        "cut.flac": Hostile(lambda path: path.write_bytes(sound(98, "flac")[:-1500]), 0),
        "ten hours.flac": Hostile(ten_hours, 0),
        "four gigabytes.wav": Hostile(lambda path: path.write_bytes(wave(size=2**32 - 1)), 0),
        "half a sample.wav": Hostile(lambda path: path.write_bytes(wave(data=b"\1\2" * 3999 + b"\1")), 0),
        "half nan.wav": Hostile(lambda path: path.write_bytes(floats(float("nan"), first=2000)), 0),
        "socket.wav": Hostile(at_a_socket, 0),
    },
    "molecule": {
        "no end.sdf": Hostile(lambda path: path.write_bytes(sdf(lambda text: text.replace("$$$$\n", ""))), 3),
        "crlf.sdf": Hostile(lambda path: path.write_bytes(sdf(lambda text: text.replace("\n", "\r\n"))), 3),
        "no atoms.sdf": Hostile(lambda path: path.write_bytes(sdf(lambda text: NO_ATOMS)), 2),
        "nan.sdf": Hostile(lambda path: path.write_bytes(sdf(lambda text: text.replace("    0.", "    nan", 1))), 2),
        "twice.sdf": Hostile(lambda path: path.write_bytes(sdf(lambda text: text * 2)), 4),
        "long chain.smi": Hostile(lambda path: path.write_text("C" * 100_000 + " chain\n"), 0),
        "fragments.smi": Hostile(lambda path: path.write_text(".".join("C" * 50_000) + " dots\n"), 0),
        "r groups.smi": Hostile(lambda path: path.write_text("[*]CC[*] r\n[2H]C d\n[Fe] iron\n[CH3] radical\n"), 1),
        "branches.smi": Hostile(lambda path: path.write_text("C(" * 10_000 + "C" + ")" * 10_000 + " deep\n"), 0),
        "v3000.sdf": Hostile(lambda path: path.write_text(v3000()), 1),
        "nowhere.sdf": Hostile(lambda path: path.write_bytes(sdf(nowhere)), 3),
        "half a record.sdf": Hostile(lambda path: path.write_text(records()[41] + records()[42][:300]), 1),
        "c60.smi": Hostile(lambda path: path.write_text(f"{C60} c60\n{smiles()[41]} e\n"), 1),
        "metals.smi": Hostile(lambda path: path.write_text(f"[Fe+2] a\nCC[Hg]CC b\n{smiles()[41]} c\n"), 1),
        "ions.smi": Hostile(lambda path: path.write_text(f"C[N+](C)(C)C a\nCC(=O)[O-] b\n{smiles()[41]} c\n"), 2),
        "nul.smi": Hostile(lambda path: path.write_bytes(b"CC\0O a\n" + smiles()[41].encode() + b" b\n"), 1),
        "latin-1.smi": Hostile(lambda path: path.write_bytes(smiles()[41].encode() + b" \xe9\n"), 1),
        "no newline.smi": Hostile(lambda path: path.write_text(smiles()[41]), 1),
        "marked.csv": Hostile(lambda path: path.write_bytes(b"\xef\xbb\xbf" + rows().encode()), 1),
        "utf-16.csv": Hostile(lambda path: path.write_bytes(rows().encode("utf-16")), 1),
        "semicolons.csv": Hostile(lambda path: path.write_text(rows().replace(",", ";")), 1),
        "open quote.csv": Hostile(lambda path: path.write_text(rows() + 'CCN,"b\n'), 1),
        "no column.csv": Hostile(lambda path: path.write_text("molecule_id,name\n1,a\n"), None),
    },
}  # fmt: skip
"""Domain -> files with names of their own."""
