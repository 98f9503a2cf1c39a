"""Where images come from: handwritten digits, scenes of shapes, or a folder of files.

Decoded images take one byte a number, in memory or on disk (`store`)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import chosen
from polydiff.contract.fields import Field
from polydiff.contract.text.columns import TEXT
from polydiff.core.streams import permutation
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.files import Facts
from polydiff.machine.host_memory import host_memory
from polydiff.support.errors import UserError

PART = 2**26
"""Numbers of the images that are handled at a time where all might exceed the memory."""


@runtime_checkable
class Stacks(Protocol):
    """Images that are squares of the right size, and that are made several at a time."""

    def stacked(self, indices: Sequence[int]) -> Tensor:
        """Return these images, uint8 (B, C, S, S)."""


@dataclass(frozen=True)
class Split:
    """Images of one split.

    Arguments:
        images: Images, uint8 (C, H, W) each; as one tensor if all have the same shape.
        labels: Class of each image, -1 if unlabelled, shape (N,).
        size: Side of the square that an example shows, in pixels of the images.
        names: Paths of the files in their folder; () for an embedded set.
        values: Conditions of each image besides its class, by name; () if there are none.
        shrink: Side of the blocks of pixels whose means are an example's pixels.
    """

    images: Sequence[Tensor] | Tensor
    labels: Tensor
    size: int
    names: Sequence[str] = ()
    values: Sequence[Mapping[str, Any]] = ()
    shrink: int = 1

    @property
    def side(self) -> int:
        """Height and width of an example in pixels."""
        return self.size // self.shrink

    def __len__(self) -> int:
        return len(self.labels)

    def centred(self, indices: Sequence[int]) -> Tensor:
        """Return the examples that show the middle squares of these images, uint8 (B, C, S, S)."""
        if isinstance(self.images, Stacks):
            return shrunk(self.images.stacked(indices), self.shrink)
        return shrunk(torch.stack([centre(self.images[i], self.size) for i in indices]), self.shrink)

    def parts(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """Yield the examples of `centred`, uint8 (B, C, S, S), a few at a time, to limit memory."""
        size = max(1, PART // (self.images[0].shape[0] * self.size**2))
        for start in range(0, len(indices), size):
            yield self.centred(indices[start : start + size])

    def spread(self, n: int) -> list[int]:
        """Return up to n indices, spread evenly."""
        n = min(n, len(self))
        return [i * len(self) // n for i in range(n)]

    def digests(self) -> Iterator[str]:
        """Yield a hash of the pixels of each image and of its conditions besides the class."""
        for image, row in zip(self.images, self.values or [{}] * len(self), strict=True):
            shown = (
                repr(sorted((name, v) for name, v in row.items() if isinstance(v, str | int | float))) if row else ""
            )
            yield hashlib.blake2b(image.contiguous().numpy().tobytes() + shown.encode(), digest_size=16).hexdigest()

    def digest(self) -> str:
        """Return a hash of all images and labels, and of how examples are made of them."""
        total = hashlib.blake2b(self.labels.numpy().tobytes(), digest_size=16)
        if self.shrink > 1:
            total.update(f"shrink {self.shrink}".encode())
        for image in self.images:
            total.update(f"{tuple(image.shape)}".encode())
            total.update(image.contiguous().numpy().tobytes())
        return total.hexdigest()


@dataclass(frozen=True)
class Source:
    """A data set.

    Arguments:
        names: Names of the classes, () if there are none.
        splits: "train" and "test"; perhaps further ones on which samples are judged.
        levels: The values that a pixel can have, ascending.
        fields: Name of a condition besides the class -> its field.
        quarantine: How many images a folder holds and which are excluded; None for an embedded set.
        facts: Name -> what the file says of itself; {} for an embedded set.
        unlimited: Whether training images are made on access, more than can be compared with samples.
    """

    names: tuple[str, ...]
    splits: Mapping[str, Split]
    levels: Sequence[int] = range(256)
    fields: Mapping[str, Field] = field(default_factory=dict)
    quarantine: Quarantine | None = None
    facts: Mapping[str, Facts] = field(default_factory=dict)
    unlimited: bool = False


def open_source(data: ImageData) -> Source:
    """Return the data set that a config names."""
    source = whole_source(data)
    if data.shrink == 1:
        return source
    splits = {name: replace(split, shrink=data.shrink) for name, split in source.splits.items()}
    return replace(source, splits=splits, levels=range(256))  # means have levels between those of the pixels


def check_restored(source: Source, data: ImageData, conditions: Collection[str], names: Sequence[str]) -> None:
    """Raise UserError unless a data set has the classes and conditions of training.

    Arguments:
        source: The data set.
        data: Its configuration.
        conditions: Names of the conditions of training.
        names: Names of the classes of training.
    """
    if list(source.names) != list(names):
        raise UserError(
            f"The classes in the data are not those of training: {list(source.names)}, not {list(names)}. Restore "
            "the folders, or start a new run."
        )
    if missing := set(conditions) - {LABEL} - source.fields.keys():
        without = data.captions == "none" and TEXT in missing
        restore = " and restore the tables" if len(missing) > 1 else ""
        advice = f"Leave out data.captions=none{restore}" if without else "Restore the tables and captions"
        raise UserError(
            f"The data lack the conditions {', '.join(sorted(missing))} of training. {advice}, or start a new run."
        )


def whole_source(data: ImageData) -> Source:
    """Return the data set that a config names, before its images are shrunk."""
    if data.name == "digits":
        source = digits(data.square, data.planes, data.test_share)
        train = source.splits["train"]
        used = chosen(data, [source.names[label] for label in train.labels.tolist()])
        used_split = replace(train, images=torch.as_tensor(train.images)[used], labels=train.labels[used])
        return replace(source, splits={**source.splits, "train": used_split})
    if data.name == "shapes":
        from polydiff.domains.image.data.shapes import shapes

        return shapes(data)
    from polydiff.domains.image.data.sets.recognise import reader_of

    return reader_of(data)(data)


DIGITS = 1797
"""Number of the handwritten digits."""


def check_room(size: int) -> None:
    """Raise UserError unless the digits, three times as floating-point numbers, fit in memory at a side of `size`."""
    need, free = 3 * 4 * DIGITS * size**2 / 2**20, host_memory()
    if need > free:
        raise UserError(
            f"data.size={size}: the digits take {need:,.0f} MiB at this size, and {free:,.0f} MiB of memory are "
            "available. Lower data.size, or use a folder of files, data.path=FOLDER."
        )


def digits(size: int = 8, channels: int = 1, test_share: float = 0.2) -> Source:
    """Return the handwritten digits of scikit-learn: 8 x 8 pixels of 17 levels, by 13 writers.

    (Alpaydin and Kaynak, 1998, https://doi.org/10.24432/C50P49, its test part)

    Arguments:
        size: Side in pixels; the digits are resized if it is not 8.
        channels: 1, or 3 equal ones.
        test_share: Share of each class that is held out.
    """
    from sklearn.datasets import load_digits

    check_room(size)
    bunch = load_digits()
    levels = torch.from_numpy(bunch.images).float()[:, None] / 16
    if size != 8:
        levels = functional.interpolate(levels, (size, size), mode="bicubic").clamp(0, 1)
    images = (255 * levels).round().to(torch.uint8).expand(-1, channels, -1, -1)
    labels = torch.from_numpy(bunch.target).long()
    held_out = stratified_split(labels, test_share)
    splits = {"train": Split(images[~held_out], labels[~held_out], size)}
    splits["test"] = Split(images[held_out], labels[held_out], size)
    written = (255 * torch.arange(17) / 16).round().int().tolist()  # other sizes are interpolated
    return Source(tuple(map(str, range(10))), splits, written if size == 8 else range(256))


def stratified_split(labels: Tensor, share: float) -> Tensor:
    """Return which examples are held out, booleans (N,): the same share of each class, by a fixed seed."""
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero()[:, 0]
        order = permutation(0, "image/split", len(members), label)
        held_out[members[order[: round(share * len(members))]]] = True
    return held_out


def centre(image: Tensor, size: int) -> Tensor:
    """Return the square in the middle of an image (C, H, W)."""
    _, height, width = image.shape
    return cut(image, size, (height - size) // 2, (width - size) // 2)


def cut(image: Tensor, size: int, top: int, left: int) -> Tensor:
    """Return a square of an image, (C, size, size).

    Arguments:
        image: Image, (C, H, W).
        size: Side of the square in pixels.
        top: First row of the square.
        left: First column of the square.
    """
    return image[:, top : top + size, left : left + size]


def shrunk(images: Tensor, factor: int) -> Tensor:
    """Return the means of uint8 images (B, C, H, W) over blocks of factor x factor pixels, rounded to uint8.

    All small images of a cascade are made here, in whole numbers, so that its stages see the same bits. A factor is
    divided into primes and the means are rounded after each, half to even. So images that are shrunk by 2 and again by
    2 are those that are shrunk by 4, in a cascade of three stages as well.
    """
    while factor > 1:
        prime = next(p for p in range(2, factor + 1) if factor % p == 0)
        b, c, height, width = images.shape
        sums = images.reshape(b, c, height // prime, prime, width // prime, prime).sum((3, 5))
        means, rest = sums // prime**2, 2 * (sums % prime**2)
        up = (rest > prime**2) | ((rest == prime**2) & (means % 2 == 1))
        images, factor = (means + up).to(torch.uint8), factor // prime
    return images


def augment(image: Tensor, data: ImageData, generator: torch.Generator) -> Tensor:
    """Return the square of a training step: cropped and mirrored as configured, at random by its generator."""
    square = random_crop(image, data.square, generator) if data.crop == "random" else centre(image, data.square)
    return square.flip(-1) if data.flip and torch.rand((), generator=generator) < 0.5 else square


def random_crop(image: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return a square of an image (C, H, W), each place equally likely."""
    _, height, width = image.shape
    top, left = (int(torch.randint(free + 1, (), generator=generator)) for free in (height - size, width - size))
    return cut(image, size, top, left)
