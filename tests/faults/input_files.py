"""Good files of every format, mutations of their bytes, and hostile files by name."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

PICTURES = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "gif": "GIF", "tiff": "TIFF", "bmp": "BMP"}
SOUNDS = {"wav": "PCM_16", "float.wav": "FLOAT", "flac": "PCM_16", "ogg": "VORBIS"}
TABLES = ("sdf", "smi", "csv")
RATE = 8000


def picture(seed: int, form: str = "PNG") -> bytes:
    """Return a random smooth picture of 12 x 12 pixels as a file."""
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def sound(seed: int, suffix: str = "wav") -> bytes:
    """Return half a second of a random walk as a file."""
    import soundfile

    walk = np.cumsum(np.random.default_rng(seed).standard_normal(RATE // 2))
    buffer = io.BytesIO()
    form = suffix.rpartition(".")[2].upper()
    soundfile.write(buffer, 0.5 * walk / np.abs(walk).max(), RATE, format=form, subtype=SOUNDS[suffix])
    return buffer.getvalue()


@cache
def smiles() -> tuple[str, ...]:
    """Return 44 small molecules, all different."""
    ends = ("", "O", "N", "F", "C#N", "C=O", "C(=O)O", "C=C", "OC", "S", "Cl")
    return tuple("C" * n + end for n in range(2, 6) for end in ends)


@cache
def records() -> tuple[str, ...]:
    """Return these molecules as records of .sdf, with positions."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    found = []
    for text in smiles():
        mol = Chem.AddHs(Chem.MolFromSmiles(text))
        AllChem.EmbedMolecule(mol, randomSeed=1)
        found.append(Chem.MolToMolBlock(mol) + "$$$$\n")
    return tuple(found)


def table(suffix: str, start: int, stop: int) -> bytes:
    """Return some of the molecules as a file."""
    if suffix == "sdf":
        return "".join(records()[start:stop]).encode()
    head, between = ("smiles,name\n", ",") if suffix == "csv" else ("", " ")
    lines = [f"{one}{between}{i}\n" for i, one in enumerate(smiles()[start:stop])]
    return (head * (start == 0) + "".join(lines)).encode()


def mutated(data: bytes, chance: Random) -> bytes:
    """Return a file with one to three mutations of its bytes."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(found) + 1)
        early = chance.randrange(min(len(found), 64) + 1)
        match chance.randrange(8):
            case 0 if found:
                for _ in range(chance.randint(1, 8)):
                    found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
            case 1:
                found[early : early + 4] = struct.pack("<I", chance.choice((0, 1, 2**16, 2**31 - 1, 2**32 - 1)))
            case 2:
                del found[at:]
            case 3:
                found[at : at + 512] = bytes(len(found[at : at + 512]))
            case 4:
                found[at:at] = chance.randbytes(chance.randint(1, 64))
            case 5:
                found[at:at] = found[at : at + chance.randint(1, 256)]
            case 6:
                del found[at : at + chance.randint(1, 64)]
            case _:
                found[early : early + 8] = chance.randbytes(8)
    return bytes(found)


def bomb(side: int) -> bytes:
    """Return a PNG of a few kilobytes with `side` x `side` pixels of one bit."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def wave(rate: int = RATE, channels: int = 1, bits: int = 16, form: int = 1, data: bytes = b"\1\2" * 4000) -> bytes:
    """Return a WAV file with any header."""
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", form, channels, rate, min(rate * block, 2**32 - 1), block % 2**16, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def floats(value: float) -> bytes:
    """Return a WAV file of floating-point numbers, all the same but one."""
    return wave(bits=32, form=3, data=np.full(4000, value, "<f4").tobytes())


def sdf(change: Callable[[str], str]) -> bytes:
    """Return a record that is changed, between two right ones."""
    return (records()[41] + change(records()[42]) + records()[43]).encode()


NO_ATOMS = "\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n$$$$\n"
"""A record of a molecule without atoms."""
Maker = Callable[[Path], object]
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
NAMED: dict[str, dict[str, Maker]] = {
    "image": {
        "header only.png": lambda path: path.write_bytes(picture(90)[:33]),
        "bomb.png": lambda path: path.write_bytes(bomb(13_300)),
        "larger bomb.png": lambda path: path.write_bytes(bomb(40_000)),
        "jpeg named.png": lambda path: path.write_bytes(picture(91, "JPEG")),
        "new\nline.png": lambda path: path.write_bytes(picture(92)),
        "é😀\u202e.png": lambda path: path.write_bytes(picture(93)),
        "x" * 251 + ".png": lambda path: path.write_bytes(picture(94)),
        "one pixel.png": lambda path: path.write_bytes(bomb(1)),
    },
    "audio": {
        "header only.wav": lambda path: path.write_bytes(wave(data=b"")),
        "one sample.wav": lambda path: path.write_bytes(wave(data=b"\1\2")),
        "rate 0.wav": lambda path: path.write_bytes(wave(rate=0)),
        "rate 1.wav": lambda path: path.write_bytes(wave(rate=1)),
        "rate 10^9.wav": lambda path: path.write_bytes(wave(rate=10**9)),
        "1,024 channels.wav": lambda path: path.write_bytes(wave(channels=1024)),
        "nan.wav": lambda path: path.write_bytes(floats(float("nan"))),
        "inf.wav": lambda path: path.write_bytes(floats(float("inf"))),
        "3e38.wav": lambda path: path.write_bytes(floats(3e38)),
        "constant.wav": lambda path: path.write_bytes(floats(0.5)),
        "silence.wav": lambda path: path.write_bytes(floats(0.0)),
        "flac named.wav": lambda path: path.write_bytes(sound(95, "flac")),
    },
    "molecule": {
        "no end.sdf": lambda path: path.write_bytes(sdf(lambda text: text.replace("$$$$\n", ""))),
        "crlf.sdf": lambda path: path.write_bytes(sdf(lambda text: text.replace("\n", "\r\n"))),
        "no atoms.sdf": lambda path: path.write_bytes(sdf(lambda text: NO_ATOMS)),
        "nan.sdf": lambda path: path.write_bytes(sdf(lambda text: text.replace("    0.", "    nan", 1))),
        "twice.sdf": lambda path: path.write_bytes(sdf(lambda text: text * 2)),
        "long chain.smi": lambda path: path.write_text("C" * 100_000 + " chain\n"),
        "fragments.smi": lambda path: path.write_text(".".join("C" * 50_000) + " dots\n"),
        "r groups.smi": lambda path: path.write_text("[*]CC[*] r\n[2H]C d\n[Fe] iron\n[CH3] radical\n"),
        "branches.smi": lambda path: path.write_text("C(" * 10_000 + "C" + ")" * 10_000 + " deep\n"),
    },
}  # fmt: skip
"""Domain -> hostile files with names of their own."""
