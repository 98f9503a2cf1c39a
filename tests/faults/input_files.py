"""Good files of every format, and mutations of their bytes."""

from __future__ import annotations

import io
import struct
from functools import cache
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
