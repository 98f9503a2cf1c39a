"""Images from a folder of files, read by Pillow.

Every file is decoded once (`files`) and kept in memory, or, beyond a stated size, on disk (`store`). A file that cannot
be read is excluded with its reason. If more than one in twenty is excluded, the run stops. Files of other kinds are
counted as ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from polydiff.contract.data.places import Place
from polydiff.contract.data.quarantine import Quarantine
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.assemble import Read, assemble
from polydiff.domains.image.data.files import EARLIER, KINDS, SUFFIXES, Facts, load
from polydiff.domains.image.data.listing import list_images
from polydiff.domains.image.data.source import Source, centre
from polydiff.domains.image.data.store.decode import decode, decode_in_memory, digest
from polydiff.domains.image.data.store.images import Decoded, Store

BESIDE = "metadata.jsonl, .csv and .tsv, and a.txt with words and a.json beside a.png"
"""Captions and tables that are read."""


def folder(data: ImageData) -> Source:
    """Return the images of a folder, a table or an archive, split, with their classes and other conditions."""
    assert data.path is not None
    quarantine = Quarantine(str(data.path), "images")
    suffixes = SUFFIXES if data.rules > 1 else suffixes_of(EARLIER)
    listing = list_images(data.path, quarantine, suffixes, described=data.rules > 1)
    store = read_all(listing.places, data, quarantine)
    return assemble(store, listing, data, quarantine, beside=BESIDE)


def suffixes_of(kinds: dict[str, tuple[str, ...]]) -> frozenset[str]:
    """Return all suffixes of these formats."""
    return frozenset(suffix for suffixes in kinds.values() for suffix in suffixes)


def read_all(places: Mapping[str, Place], data: ImageData, quarantine: Quarantine) -> Store:
    """Return all images whose files can be read, in memory or on disk.

    Arguments:
        places: Name -> place of the file's bytes.
        data: Gives side, channels and crop; with crop=centre only the middle square is kept.
        quarantine: Records the other files with reasons.

    Raises:
        UserError: Too many files cannot be read (`Quarantine.check`), or the disk cannot hold the decoded images.
    """
    formats = tuple(KINDS if data.rules > 1 else EARLIER)
    settings = {"side": data.square, "planes": data.planes, "crop": data.crop, "formats": formats}
    store = decode(places, lambda place: cropped(*load(place, data.square, data.planes, formats), data), settings)
    return without_excluded(store, quarantine)


def decode_all(names: Collection[str], read: Callable[[str], Read], data: ImageData, quarantine: Quarantine) -> Store:
    """Return all images that can be decoded, in memory.

    Arguments:
        names: Names of the images.
        read: Returns the image of a name with the shorter side `data.square`, and its facts, or raises any error.
        data: Gives side and crop; with crop=centre only the middle square is kept.
        quarantine: Records the other images with reasons.

    Raises:
        UserError: Too many images cannot be decoded (`Quarantine.check`).
    """
    return without_excluded(decode_in_memory(list(names), lambda name: cropped(*read(name), data)), quarantine)


def cropped(image: Tensor, facts: Facts, data: ImageData) -> Decoded:
    """Return an image as it is stored: with crop=centre the middle square alone."""
    image = centre(image, data.square).clone() if data.crop == "centre" else image  # a view would keep the whole
    return Decoded(image, facts, digest(image))


def without_excluded(store: Store, quarantine: Quarantine) -> Store:
    """Return stored images after the others are excluded with reasons; raise UserError if they are too many."""
    for name, reason in store.reasons.items():
        quarantine.exclude(name, reason)
    quarantine.check()
    return store
