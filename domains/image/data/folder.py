"""Images from a folder of files, read by Pillow.

Every file is decoded once (`files`) and kept in memory. A file that cannot be read is excluded with its reason. If more
than one in twenty is excluded, the run stops. Files of other kinds are counted as ignored.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import TEST, TRAIN, assign, counts, outside_of, scarce, split_folders
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.files import EARLIER, KINDS, SUFFIXES, Facts, load
from polydiff.domains.image.data.source import Source, Split, centre
from polydiff.support.errors import UserError
from polydiff.support.files import HIDDEN, files_under
from polydiff.support.progress import counted

CAPTIONS = frozenset({".txt", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".xml"})
"""Kinds of file that often hold captions, tables or boxes of the images beside them."""
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
"""Kinds of file that hold other files."""
WIDTH = 6
"""Bytes of the hash of a name that decides its split."""

Read = tuple[Tensor, Facts]


@dataclass(frozen=True)
class Layout:
    """What the folders of a data set mean.

    Arguments:
        splits: Folder at the top -> the split that it is; {} if none is.
        names: Names of the classes; () if there are none.
        left_out: Files outside of the folders of splits.
    """

    splits: dict[str, str]
    names: tuple[str, ...]
    left_out: frozenset[str]

    def stated(self, name: str) -> str:
        """Return the split of a file by its folder, "" if no folder states it."""
        return self.splits.get(top_of(name), "")

    def label(self, name: str) -> int:
        """Return the number of a file's class, -1 if it has none."""
        return self.numbers.get(class_of(name, self.splits), -1)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Class -> its number."""
        return {name: i for i, name in enumerate(self.names)}


def folder(data: ImageData) -> Source:
    """Return the images of a folder, split and with their classes."""
    assert data.path is not None
    quarantine = Quarantine(str(data.path), "images")
    paths = scan(data.path, quarantine, SUFFIXES if data.rules > 1 else suffixes_of(EARLIER))
    read = read_all(data.path, paths, data, quarantine)
    layout = layout_of(data.path, list(read), data)
    used = {name: image for name, (image, _) in read.items() if name not in layout.left_out}
    sides = split(used, layout, data, quarantine)
    report(quarantine, layout, {name: facts for name, (_, facts) in read.items()})

    def part(side: str) -> Split:
        members = [name for name in used if sides[name] == side]
        images = [used[name] for name in members]
        labels = torch.tensor([layout.label(name) for name in members])
        return Split(torch.stack(images) if data.crop == "centre" else images, labels, data.side, members)

    facts = {name: read[name][1] for name in used if sides[name]}
    return Source(layout.names, {side: part(side) for side in (TRAIN, TEST)}, quarantine=quarantine, facts=facts)


def suffixes_of(kinds: dict[str, tuple[str, ...]]) -> frozenset[str]:
    """Return all suffixes of these formats."""
    return frozenset(suffix for suffixes in kinds.values() for suffix in suffixes)


def scan(root: Path, quarantine: Quarantine, suffixes: frozenset[str] = SUFFIXES) -> list[str]:
    """Return the names of the images under a folder, in order, without hidden ones (.name).

    Arguments:
        root: The folder.
        quarantine: Receives the number of images, unusable names with reasons, and the kinds of all other files.
        suffixes: Suffixes of images.
    """
    if root.is_file() and root.suffix.lower() in ARCHIVES:
        raise UserError(f"data.path={root} is not a folder. Unpack it, and set data.path to the new folder.")
    if root.is_file():
        raise UserError(
            f"data.path={root} is not a folder. Images are read from the files in a folder, such as "
            f"data.path={root.parent}; tables and captions are not read."
        )
    if not root.is_dir():
        raise UserError(f"data.path={root}: there is no such folder.")
    odd: dict[str, str] = {}
    ignored: Counter[str] = Counter()
    names = [path.relative_to(root).as_posix() for path in files_under(root, suffixes, odd=odd, ignored=ignored)]
    for name, reason in odd.items():
        quarantine.exclude(name, reason)
    quarantine.found = len(names) + len(odd)
    quarantine.ignored = dict(ignored.most_common())
    if len(names) < 2:
        listed = ", ".join(sorted(suffixes))
        others = f" Ignored: {quarantine.ignored_text()}." if ignored else ""
        raise UserError(
            f"{root} holds {len(names)} images ({listed}); it needs at least two, one to train on and one to test."
            f"{others}"
        )
    return names


def read_all(root: Path, names: Sequence[str], data: ImageData, quarantine: Quarantine) -> dict[str, Read]:
    """Return name -> image, uint8 (C, H, W), and facts of all readable files.

    Arguments:
        root: Folder of the images.
        names: Paths of the files, relative to the folder.
        data: Gives side, channels and crop; with crop=centre only the middle square is kept.
        quarantine: Records the other files with reasons.

    Raises:
        UserError: Too many files cannot be read (`Quarantine.check`).
    """
    formats = tuple(KINDS if data.rules > 1 else EARLIER)

    def attempt(name: str) -> Read | str:
        try:
            image, facts = load(root / name, data.side, data.planes, formats)
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
    if quarantine.reasons:
        warnings.warn(f"{quarantine.text()}\nThey are excluded.", stacklevel=2)
    return {name: result for name, result in results.items() if not isinstance(result, str)}


def layout_of(root: Path, names: Sequence[str], data: ImageData) -> Layout:
    """Return which folders are splits and which are classes.

    Raises:
        UserError: Files lie beside the class folders that data.labels=folders requires, or a class is not in training.
    """
    splits = split_folders(top_of(name) for name in names if top_of(name)) if data.rules > 1 else {}
    left_out = frozenset(name for name in names if splits and top_of(name) not in splits)
    used = [name for name in names if name not in left_out]
    trained = [name for name in used if splits.get(top_of(name), TRAIN) == TRAIN]
    classes = class_names(root, trained, data.labels, splits)
    unseen = {class_of(name, splits) for name in used} - {"", *classes} if classes else set()
    if unseen:
        raise UserError(
            f"{root}: the training split has no image of {', '.join(sorted(unseen))}. Correct the folders' names, add "
            "training images, or set data.labels=none."
        )
    return Layout(splits, classes, left_out)


def top_of(name: str) -> str:
    """Return the top folder of a file's name, "" for a file beside the folders."""
    return name.rpartition("/")[0].partition("/")[0]


def class_of(name: str, splits: dict[str, str]) -> str:
    """Return the folder that is a file's class: at the top, or below a split's folder; "" if it lies in none."""
    return top_of(name.partition("/")[2] if top_of(name) in splits else name)


def class_names(root: Path, names: Sequence[str], labels: str, splits: dict[str, str]) -> tuple[str, ...]:
    """Return the names of the classes, () if the folders are not classes.

    Arguments:
        root: The folder.
        names: Names of the training files.
        labels: `data.labels`.
        splits: Folder at the top -> the split that it is.
    """
    loose = [name for name in names if not class_of(name, splits)]
    found = sorted({class_of(name, splits) for name in names} - {""})
    if labels == "none" or (labels == "auto" and (loose or len(found) < 2)):
        return ()
    if loose:
        raise UserError(f"{root}: {loose[0]} lies beside the class folders. Move it, or set data.labels=none.")
    return tuple(found)


def split(used: dict[str, Tensor], layout: Layout, data: ImageData, quarantine: Quarantine) -> dict[str, str]:
    """Return name -> "train", "test", or "" for an image that is left out, and record the numbers.

    Images with the same pixels are in one split, whatever their names and formats.

    Raises:
        UserError: A split is empty.
    """
    names = list(used)
    keys = copies(used) if data.rules > 1 else names
    if len(set(keys)) < 2:  # copies of one image, to see whether a network can learn it
        keys = names
    stated = [layout.stated(name) for name in names]
    classes = [layout.names[i] if (i := layout.label(name)) >= 0 else "" for name in names] if layout.names else None
    sides = assign(keys, data.test_share, stated=stated, classes=classes if data.rules > 1 else None, width=WIDTH)
    found = counts(sides, [name or "without a class" for name in classes] if classes else None)
    if not all(side in sides for side in (TRAIN, TEST)):
        raise UserError(f"{data.path}: images to train on: {sides.count(TRAIN)}, held out: {sides.count(TEST)}.")
    quarantine.left_out, quarantine.splits = sides.count("") + len(layout.left_out), found
    if repeated := len(names) - len(set(keys)):
        quarantine.notes["copies"] = f"{repeated} have the same pixels as another one"
    if text := scarce(found):
        warnings.warn(text, stacklevel=2)
    known = {key for key, side in zip(keys, sides, strict=True) if side == TRAIN}
    if leaked := sum(side == TEST and key in known for key, side in zip(keys, sides, strict=True)):
        quarantine.notes["leaked"] = f"{leaked} held-out ones have the same pixels as a training image"
        warnings.warn(f"{leaked} held-out images have the same pixels as a training image.", stacklevel=2)
    return dict(zip(names, sides, strict=True))


def copies(used: dict[str, Tensor]) -> list[str]:
    """Return the key of each image: the shortest name of those with the same pixels, usually that of the original."""
    first: dict[bytes, str] = {}
    pixels = [hashlib.blake2b(f"{tuple(x.shape)}".encode() + x.numpy().tobytes()).digest() for x in used.values()]
    for name, key in sorted(zip(used, pixels, strict=True), key=lambda pair: (len(pair[0]), pair[0])):
        first.setdefault(key, name)
    return [first[key] for key in pixels]


def report(quarantine: Quarantine, layout: Layout, facts: dict[str, Facts]) -> None:
    """Add remarks on the files to the quarantine, and warn of ignored ones."""
    if several := sum(one.several for one in facts.values()):
        quarantine.notes["several"] = f"{several} hold several pages or frames, of which the first is used"
    if layout.splits:
        quarantine.notes["folders"] = f"{', '.join(f'{name}/' for name in layout.splits)} are the splits"
    if layout.left_out:
        quarantine.notes["outside"] = outside_of(layout.splits, len(layout.left_out))
    if CAPTIONS & quarantine.ignored.keys():
        quarantine.notes["captions"] = "captions and tables beside images are not read"
    if quarantine.ignored.keys() - {HIDDEN}:
        warnings.warn(f"Ignored in {quarantine.place}: {quarantine.ignored_text()}.", stacklevel=2)
