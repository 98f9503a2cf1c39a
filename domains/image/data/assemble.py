"""A data set made of decoded images and what is known of each: classes, conditions and splits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from polydiff.contract.data.columns import LABEL, measure_fields, values_of
from polydiff.contract.data.copies import joined, note_copies
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import TEST, TRAIN, assign, chosen, counts, outside_of, scarce
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.captions import types_of, with_captions
from polydiff.domains.image.data.files import Facts
from polydiff.domains.image.data.layout import Layout, layout_of
from polydiff.domains.image.data.listing import Listing
from polydiff.domains.image.data.source import Source, Split
from polydiff.domains.image.data.store.images import Store
from polydiff.support.errors import UserError

WIDTH = 6
"""Bytes of the hash of a name that decides its split."""

Read = tuple[Tensor, Facts]
"""An image, uint8 (C, H, W), and the facts of its file."""
Layouts = Callable[[Path, Sequence[str], ImageData, Mapping[str, str], Mapping[str, str]], Layout]
"""Returns the splits and classes of images; arguments as `layout_of`."""


def assemble(
    store: Store,
    listing: Listing,
    data: ImageData,
    quarantine: Quarantine,
    layouts: Layouts = layout_of,
    beside: str = "",
) -> Source:
    """Return the data set of images that are decoded.

    Arguments:
        store: The images.
        listing: Columns and stated splits of the images, by name.
        data: Configuration.
        quarantine: What was found and excluded before; receives the rest.
        layouts: Returns the meaning of folders and classes.
        beside: Captions and tables that are read, for the remark on ignored ones.

    Raises:
        UserError: Too many images are excluded, a split is empty, or a condition cannot be measured.
    """
    assert data.path is not None
    columns = with_captions({name: listing.columns[name] for name in store.entries}, data, quarantine)
    types, arrays = types_of(columns, data, quarantine)
    quarantine.check()
    if quarantine.unusable:
        warnings.warn(f"{quarantine.text()}\nThey are excluded.", stacklevel=3)
    read = {name: store.entries[name] for name in columns if name not in quarantine.reasons}
    labels = {name: str(columns[name][LABEL]) for name in read if LABEL in columns[name]}
    layout = layouts(data.path, list(read), data, labels, listing.stated)
    used = {name: entry.digest for name, entry in read.items() if name not in layout.left_out}
    sides = split(used, layout, listing.stated, data, quarantine)
    leave_out(sides, layout, data)
    report(quarantine, layout, {name: entry.facts for name, entry in read.items()}, beside)

    def part(side: str) -> Split:
        members = [name for name in used if sides[name] == side]
        images: Sequence[Tensor] | Tensor = store.select(members)
        labels = torch.tensor([layout.label(name) for name in members])
        values = [values_of(columns[name], types) for name in members]
        if isinstance(images, list) and data.crop == "centre":
            images = torch.stack(images)
        return Split(images, labels, data.square, members, values)

    splits = {side: part(side) for side in (TRAIN, TEST)}
    values = [row for one in splits.values() for row in one.values]
    weights = [1] * len(splits[TRAIN]) + [0] * len(splits[TEST])
    fields = measure_fields(values, weights, types, arrays, data.text)
    facts = {name: read[name].facts for name in used if sides[name]}
    return Source(layout.names, splits, fields=fields, quarantine=quarantine, facts=facts)


def split(
    used: dict[str, bytes], layout: Layout, stated: Mapping[str, str], data: ImageData, quarantine: Quarantine
) -> dict[str, str]:
    """Return name -> "train", "test", or "" for an image that is left out, and record the numbers.

    Images with the same pixels are in one split, whatever their names and formats.

    Arguments:
        used: Name -> digest of the image.
        layout: Splits and classes by folders.
        stated: Name -> split by a table, which precedes the folder.
        data: Gives `merge`, `test_share` and `rules`.
        quarantine: Receives the numbers.

    Raises:
        UserError: A split is empty.
    """
    names = list(used)
    contents = [content if data.rules > 1 else None for content in used.values()]
    keys = joined(names, contents)
    sides_stated = ["" if data.merge else stated.get(name) or layout.stated(name) for name in names]
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


def leave_out(sides: dict[str, str], layout: Layout, data: ImageData) -> None:
    """Set the split of the training images that `data.per_class` does not use to ""."""
    train = [name for name, side in sides.items() if side == TRAIN]
    labels = [layout.label(name) for name in train]
    used = chosen(data, [layout.names[i] if i >= 0 else None for i in labels] if layout.names else [""] * len(train))
    sides.update(dict.fromkeys(set(train) - {train[i] for i in used}, ""))


def report(quarantine: Quarantine, layout: Layout, facts: dict[str, Facts], beside: str) -> None:
    """Add remarks on the files to the quarantine, and warn of ignored ones; `beside` names the tables that are read."""
    if several := sum(one.several for one in facts.values()):
        quarantine.notes["several"] = f"{several} hold several pages or frames, of which the first is used"
    if layout.splits:
        quarantine.notes["folders"] = f"{', '.join(f'{name}/' for name in layout.splits)} are the splits"
    if layout.left_out:
        quarantine.notes["outside"] = outside_of(layout.splits, len(layout.left_out))
    quarantine.report_ignored(beside)
