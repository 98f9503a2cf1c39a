"""Images from a folder of files, read by Pillow.

Every file is decoded once (`files`) and kept in memory. A file that cannot be read is excluded with its reason. If more
than one in twenty is excluded, the run stops. Files of other kinds are counted as ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from polydiff.contract.data.places import Place
from polydiff.contract.data.quarantine import Quarantine
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.assemble import Read, assemble
from polydiff.domains.image.data.files import EARLIER, KINDS, SUFFIXES, load
from polydiff.domains.image.data.listing import list_images
from polydiff.domains.image.data.source import Source, centre
from polydiff.support.progress import counted

BESIDE = "metadata.jsonl, .csv and .tsv, and a.txt with words and a.json beside a.png"
"""Captions and tables that are read."""


def folder(data: ImageData) -> Source:
    """Return the images of a folder, a table or an archive, split, with their classes and other conditions."""
    assert data.path is not None
    quarantine = Quarantine(str(data.path), "images")
    suffixes = SUFFIXES if data.rules > 1 else suffixes_of(EARLIER)
    listing = list_images(data.path, quarantine, suffixes, described=data.rules > 1)
    read = read_all(listing.places, data, quarantine)
    return assemble(read, listing, data, quarantine, beside=BESIDE)


def suffixes_of(kinds: dict[str, tuple[str, ...]]) -> frozenset[str]:
    """Return all suffixes of these formats."""
    return frozenset(suffix for suffixes in kinds.values() for suffix in suffixes)


def read_all(places: Mapping[str, Place], data: ImageData, quarantine: Quarantine) -> dict[str, Read]:
    """Return name -> image, uint8 (C, H, W), and facts of all readable files.

    Arguments:
        places: Name -> place of the file's bytes.
        data: Gives side, channels and crop; with crop=centre only the middle square is kept.
        quarantine: Records the other files with reasons.

    Raises:
        UserError: Too many files cannot be read (`Quarantine.check`).
    """
    formats = tuple(KINDS if data.rules > 1 else EARLIER)
    return decode_all(places, lambda name: load(places[name], data.side, data.planes, formats), data, quarantine)


def decode_all(
    names: Collection[str], decode: Callable[[str], Read], data: ImageData, quarantine: Quarantine
) -> dict[str, Read]:
    """Return name -> image and facts of all images that can be decoded, in several threads.

    Arguments:
        names: Names of the images.
        decode: Returns the image of a name with the shorter side `data.side`, and its facts, or raises any error.
        data: Gives side and crop; with crop=centre only the middle square is kept.
        quarantine: Records the other images with reasons.

    Raises:
        UserError: Too many images cannot be decoded (`Quarantine.check`).
    """

    def attempt(name: str) -> Read | str:
        try:
            image, facts = decode(name)
        except Exception as error:  # noqa: BLE001 - a decoder may fail in any way; the file is listed with its reason
            return f"{type(error).__name__}: {error}"
        return (centre(image, data.side) if data.crop == "centre" else image), facts

    with ThreadPoolExecutor(thread_name_prefix="polydiff-images") as pool:
        images = counted("images read", len(names), pool.map(attempt, names))
        results = dict(zip(names, images, strict=True))
    for name, result in results.items():
        if isinstance(result, str):
            quarantine.exclude(name, result)
    quarantine.check()
    return {name: result for name, result in results.items() if not isinstance(result, str)}
