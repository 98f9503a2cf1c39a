"""What the folders of a data set of images mean: splits and classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from polydiff.contract.data.splits import TRAIN, obeyed, split_folders
from polydiff.domains.image.config import ImageData
from polydiff.support.errors import UserError


@dataclass(frozen=True)
class Layout:
    """What the folders mean.

    Arguments:
        splits: Folder at the top -> the split that it is; {} if none is.
        names: Names of the classes; () if there are none.
        classes: Name of a file -> its class, "" if it has none.
        left_out: Files outside of the folders of splits.
    """

    splits: dict[str, str]
    names: tuple[str, ...]
    classes: dict[str, str]
    left_out: frozenset[str]

    def stated(self, name: str) -> str:
        """Return the split of a file by its folder, "" if no folder states it."""
        return self.splits.get(top_of(name), "")

    def label(self, name: str) -> int:
        """Return the number of a file's class, -1 if it has none."""
        return self.numbers.get(self.classes[name], -1)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Class -> its number."""
        return {name: i for i, name in enumerate(self.names)}


def layout_of(
    root: Path, names: Sequence[str], data: ImageData, labels: Mapping[str, str], stated: Mapping[str, str]
) -> Layout:
    """Return which folders are splits and which are classes.

    Arguments:
        root: The folder.
        names: Names of the files.
        data: Gives `labels`, `merge` and `rules`.
        labels: Name of a file -> its class by a table; this precedes its folder.
        stated: Name of a file -> its split by a table; this precedes its folder.

    Raises:
        UserError: Files without a class lie beside those that data.labels=folders requires, or a class is not in
            training.
    """
    splits = split_folders(top_of(name) for name in names if top_of(name)) if data.rules > 1 else {}
    left_out = frozenset(name for name in names if splits and top_of(name) not in splits)
    used = [name for name in names if name not in left_out]
    classes = {name: labels.get(name) or class_of(name, splits) for name in names}
    sides = {name: stated.get(name) or splits.get(top_of(name), "") for name in used}
    found = class_names(root, trainable(sides, data), data.labels, classes)
    check_trained(root, (classes[name] for name in used) if found else (), found)
    return Layout(splits, found, classes, left_out)


def labelled_layout(
    root: Path,
    names: Sequence[str],
    data: ImageData,
    labels: Mapping[str, str],
    stated: Mapping[str, str],
    order: Sequence[str],
) -> Layout:
    """Return the classes of images whose labels the data set states; their names mean neither splits nor classes.

    Arguments:
        root: The data set.
        names: Names of the images.
        data: Gives `labels` and `merge`.
        labels: Name of an image -> its class; images without a class are missing.
        stated: Name of an image -> its split, where the data set states one.
        order: Names of the classes by number, which is the order of a run's classes.

    Raises:
        UserError: A class is not in training.
    """
    classes = {name: labels.get(name, "") for name in names}
    trained = {classes[name] for name in trainable({name: stated.get(name, "") for name in names}, data)}
    found = () if data.labels == "none" else tuple(name for name in order if name in trained)
    if len(found) < 2:
        return Layout({}, (), classes, frozenset())
    check_trained(root, classes.values(), found)
    return Layout({}, found, classes, frozenset())


def trainable(sides: Mapping[str, str], data: ImageData) -> list[str]:
    """Return the names of images that may be trained on: all without a stated split that holds them out.

    Arguments:
        sides: Name of an image -> its stated split, "" if none.
        data: Gives `merge`.
    """
    given = obeyed(list(sides.values()))
    return [name for name, side in zip(sides, given, strict=True) if data.merge or side in ("", TRAIN)]


def check_trained(root: Path, classes: Iterable[str], trained: Iterable[str]) -> None:
    """Raise UserError if images have a class, not "", that is none of those in training."""
    if unseen := {*classes} - {"", *trained}:
        raise UserError(
            f"{root}: the training split has no image of {', '.join(sorted(unseen))}. Correct the names of the "
            "classes, add training images, or set data.labels=none or data.merge=true."
        )


def top_of(name: str) -> str:
    """Return the top folder of a file's name, "" for a file beside the folders."""
    return name.rpartition("/")[0].partition("/")[0]


def class_of(name: str, splits: dict[str, str]) -> str:
    """Return the folder that is a file's class: at the top, or below a split's folder; "" if it lies in none."""
    return top_of(name.partition("/")[2] if top_of(name) in splits else name)


def class_names(root: Path, names: Sequence[str], labels: str, classes: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the classes, () if the files have no classes.

    Arguments:
        root: The folder.
        names: Names of the training files.
        labels: `data.labels`.
        classes: Name of a file -> its class, "" if it has none.
    """
    loose = [name for name in names if not classes[name]]
    found = sorted({classes[name] for name in names} - {""})
    if labels == "none" or (labels == "auto" and (loose or len(found) < 2)):
        return ()
    if loose:
        raise UserError(f"{root}: {loose[0]} lies beside the class folders. Move it, or set data.labels=none.")
    return tuple(found)
