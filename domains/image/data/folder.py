"""Images from a folder of files, read by Pillow.

Every file is decoded once (`files`) and kept in memory, or, beyond a stated size, on disk (`store`). A file that cannot
be read is excluded with its reason. If more than one in twenty is excluded, the run stops. Files of other kinds are
counted as ignored.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from polydiff.contract.data.columns import LABEL, measure_fields, values_of
from polydiff.contract.data.copies import joined, note_copies
from polydiff.contract.data.places import Place
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import TEST, TRAIN, assign, counts, outside_of, scarce
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.captions import types_of, with_captions
from polydiff.domains.image.data.files import EARLIER, KINDS, SUFFIXES, Facts, load
from polydiff.domains.image.data.layout import Layout, layout_of
from polydiff.domains.image.data.listing import list_images
from polydiff.domains.image.data.source import Source, Split, centre
from polydiff.domains.image.data.store import Decoded, Store, decode
from polydiff.support.errors import UserError

WIDTH = 6
"""Bytes of the hash of a name that decides its split."""


def folder(data: ImageData) -> Source:
    """Return the images of a folder, a table or an archive, split, with their classes and other conditions."""
    assert data.path is not None
    quarantine = Quarantine(str(data.path), "images")
    suffixes = SUFFIXES if data.rules > 1 else suffixes_of(EARLIER)
    listing = list_images(data.path, quarantine, suffixes, described=data.rules > 1)
    store = read_all(listing.places, data, quarantine)
    columns = with_captions({name: listing.columns[name] for name in store.entries}, data, quarantine)
    types, arrays = types_of(columns, data, quarantine)
    quarantine.check()
    if quarantine.reasons:
        warnings.warn(f"{quarantine.text()}\nThey are excluded.", stacklevel=2)
    read = {name: store.entries[name] for name in columns if name not in quarantine.reasons}
    labels = {name: str(columns[name][LABEL]) for name in read if LABEL in columns[name]}
    layout = layout_of(data.path, list(read), data, labels)
    used = {name: entry.digest for name, entry in read.items() if name not in layout.left_out}
    sides = split(used, layout, listing.stated, data, quarantine)
    report(quarantine, layout, {name: entry.facts for name, entry in read.items()})

    def part(side: str) -> Split:
        members = [name for name in used if sides[name] == side]
        images: Sequence[Tensor] | Tensor = store.select(members)
        labels = torch.tensor([layout.label(name) for name in members])
        values = [values_of(columns[name], types) for name in members]
        if isinstance(images, list) and data.crop == "centre":
            images = torch.stack(images)
        return Split(images, labels, data.side, members, values)

    splits = {side: part(side) for side in (TRAIN, TEST)}
    values = [row for one in splits.values() for row in one.values]
    weights = [1] * len(splits[TRAIN]) + [0] * len(splits[TEST])
    fields = measure_fields(values, weights, types, arrays, data.text)
    facts = {name: read[name].facts for name in used if sides[name]}
    return Source(layout.names, splits, fields=fields, quarantine=quarantine, facts=facts)


def suffixes_of(kinds: dict[str, tuple[str, ...]]) -> frozenset[str]:
    """Return all suffixes of these formats."""
    return frozenset(suffix for suffixes in kinds.values() for suffix in suffixes)


def read_all(places: Mapping[str, Place], data: ImageData, quarantine: Quarantine) -> Store:
    """Return all readable images, uint8 (C, H, W), with their facts.

    Arguments:
        places: Name -> place of the file's bytes.
        data: Gives side, channels and crop; with crop=centre only the middle square is kept.
        quarantine: Records the other files with reasons.

    Raises:
        UserError: Too many files cannot be read (`Quarantine.check`), or the disk cannot hold the decoded images.
    """
    formats = tuple(KINDS if data.rules > 1 else EARLIER)

    def read(place: Place) -> Decoded:
        image, facts = load(place, data.side, data.planes, formats)
        image = centre(image, data.side).clone() if data.crop == "centre" else image  # a view would keep the whole
        return Decoded(image, facts, digest(image))

    settings = {"side": data.side, "planes": data.planes, "crop": data.crop, "formats": formats}
    store = decode(places, read, settings)
    for name, reason in store.reasons.items():
        quarantine.exclude(name, reason)
    quarantine.check()
    return store


def split(
    used: dict[str, bytes], layout: Layout, stated: Mapping[str, str], data: ImageData, quarantine: Quarantine
) -> dict[str, str]:
    """Return name -> "train", "test", or "" for an image that is left out, and record the numbers.

    Images with the same pixels are in one split, whatever their names and formats.

    Arguments:
        used: Name -> digest of the image.
        layout: Splits and classes by folders.
        stated: Name -> split by a table, which precedes the folder.
        data: Gives `test_share` and `rules`.
        quarantine: Receives the numbers.

    Raises:
        UserError: A split is empty.
    """
    names = list(used)
    contents = [content if data.rules > 1 else None for content in used.values()]
    keys = joined(names, contents)
    sides_stated = [stated.get(name) or layout.stated(name) for name in names]
    classes = [layout.names[i] if (i := layout.label(name)) >= 0 else "" for name in names] if layout.names else None
    sides = assign(keys, data.test_share, stated=sides_stated, classes=classes if data.rules > 1 else None, width=WIDTH)
    found = counts(sides, [name or "without a class" for name in classes] if classes else None)
    if not all(side in sides for side in (TRAIN, TEST)):
        raise UserError(f"{data.path}: images to train on: {sides.count(TRAIN)}, held out: {sides.count(TEST)}.")
    quarantine.left_out, quarantine.splits = sides.count("") + len(layout.left_out), found
    if text := scarce(found):
        warnings.warn(text, stacklevel=2)
    note_copies(quarantine, contents, sides, "pixels")
    return dict(zip(names, sides, strict=True))


def digest(image: Tensor) -> bytes:
    """Return a digest of the shape and the pixels of an image (C, H, W)."""
    return hashlib.blake2b(f"{tuple(image.shape)}".encode() + image.numpy().tobytes()).digest()


def report(quarantine: Quarantine, layout: Layout, facts: dict[str, Facts]) -> None:
    """Add remarks on the files to the quarantine, and warn of ignored ones."""
    if several := sum(one.several for one in facts.values()):
        quarantine.notes["several"] = f"{several} hold several pages or frames, of which the first is used"
    if layout.splits:
        quarantine.notes["folders"] = f"{', '.join(f'{name}/' for name in layout.splits)} are the splits"
    if layout.left_out:
        quarantine.notes["outside"] = outside_of(layout.splits, len(layout.left_out))
    quarantine.report_ignored("metadata.jsonl, .csv and .tsv, and a.txt with words and a.json beside a.png")
