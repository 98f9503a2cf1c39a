"""Images that are arrays of pixels rather than files: their size, their colours, and the data set made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from polydiff.contract.data.places import Place
from polydiff.contract.data.quarantine import Quarantine
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.assemble import Read, assemble
from polydiff.domains.image.data.files import SUFFIXES, Facts, flatten, pixels_of
from polydiff.domains.image.data.folder import decode_all
from polydiff.domains.image.data.layout import labelled_layout
from polydiff.domains.image.data.listing import Listing
from polydiff.domains.image.data.source import Source
from polydiff.support.errors import UserError, amount
from polydiff.support.files import HIDDEN, files_under

MOST = 2**35
"""Largest number of bytes of an array that is read, 32 GiB."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Channels -> Pillow's mode."""
IN_TREE = 2**12
"""Names under a folder that are read to see whether it holds pictures."""


@dataclass(frozen=True)
class Part:
    """Images of one file.

    Arguments:
        name: Name of the file, relative to the data set.
        pixels: Pixels, uint8 (N, H, W, C) with 1, 3 or 4 channels (transparency is the fourth).
        columns: Metadata of each image by column; `label` is its class.
        split: The split that the data set states: train, test or validation; "" if it states none.
        odd: Number of an image -> why it cannot be used.
    """

    name: str
    pixels: NDArray[np.uint8]
    columns: Sequence[Mapping[str, Any]]
    split: str = ""
    odd: Mapping[int, str] = field(default_factory=dict)


def source_of(
    parts: Sequence[Part], data: ImageData, quarantine: Quarantine, order: Sequence[str], kind: str
) -> Source:
    """Return the data set of arrays of pixels.

    Arguments:
        parts: The images.
        data: Configuration.
        quarantine: Receives the numbers of images, and those that cannot be used.
        order: Names of the classes by number.
        kind: Name of the format in `polydiff data check`.

    Raises:
        UserError: There are fewer than two images, or they cannot be a data set (`assemble`).
    """
    listing, where = Listing(), {}
    for one in parts:
        for i, columns in enumerate(one.columns):
            name = f"{one.name}[{i}]"
            quarantine.found += 1
            try:
                if i in one.odd:
                    raise ValueError(one.odd[i])
                listing.add(name, Place(Path(one.name)), columns, one.split)
            except ValueError as error:
                quarantine.exclude(name, str(error))
                continue
            where[name] = one.pixels[i]

    def decode(name: str) -> Read:
        height, width, channels = where[name].shape
        image = resized(where[name], data.square, data.planes)
        return image, Facts(kind, MODES[channels], width, height, False)

    enough(data.path, len(where))
    read = decode_all(list(where), decode, data, quarantine)
    return assemble(read, listing, data, quarantine, partial(labelled_layout, order=order))


def enough(path: object, n: int) -> None:
    """Raise UserError if a data set has fewer than two images."""
    if n < 2:
        raise UserError(f"{path} holds {amount(n, 'image')}; it needs at least two, one to train on and one to test.")


def resized(pixels: NDArray[np.uint8], size: int, channels: int) -> Tensor:
    """Return an image whose shorter side is `size`, uint8 (C, H, W), resized as files are.

    Arguments:
        pixels: Pixels, uint8 (H, W, C) with 1, 3 or 4 channels.
        size: Shorter side in pixels.
        channels: 1 grey, 3 RGB.
    """
    if min(pixels.shape[:2]) == size and pixels.shape[2] == channels:
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
    return pixels_of(flatten(image), size, channels)


def count_ignored(root: Path, used: Collection[Path], quarantine: Quarantine) -> None:
    """Record the files in a data set's folder that are not read, by suffix."""
    ignored: Counter[str] = Counter()
    files_under(root, (), ignored=ignored)
    ignored.subtract(Counter(HIDDEN if one.name.startswith(".") else kind_of(one) for one in used))
    quarantine.ignored = dict((+ignored).most_common())


def kind_of(path: Path) -> str:
    """Return the suffix of a file in lower case, or what stands for none."""
    return path.suffix.lower() or "without a suffix"


def in_order(labels: Collection[str]) -> list[str]:
    """Return the different names of classes: numbers by size, other names by the alphabet."""
    names = set(labels)
    return sorted(names, key=int) if all(map(str.isdecimal, names)) else sorted(names)


def names_of_numbers(labels: Sequence[int], names: Sequence[str]) -> list[str]:
    """Return the classes of labels: their names if these are known, the numbers otherwise; "" for a negative label.

    Raises:
        UserError: A label has no name.
    """
    if names and (highest := max(labels, default=0)) >= len(names):
        raise UserError(f"A label is {highest}, but there are names of {len(names)} classes, from 0 on.")
    return ["" if one < 0 else names[one] if names else str(one) for one in labels]


def lines_in(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty; [] if there is no such file.

    Raises:
        UserError: It is not text in UTF-8.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text: {error}.") from error


def holds_pictures(root: Path) -> bool:
    """Return whether a folder, or a folder below it, holds picture files or archives of them."""
    return any(path.suffix.lower() in {*SUFFIXES, ".tar"} for path in islice(root.rglob("*"), IN_TREE))
