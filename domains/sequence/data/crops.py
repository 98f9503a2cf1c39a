"""Crops of one long text: at random places in training, one behind the other in the test split.

The last part of the text is held out, so that no training crop overlaps a test crop; test crops with a letter that the
training part lacks are left out. Several files are joined in the
order of their names, with a line break between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import ALL, TEST, TRAIN
from polydiff.domains.sequence.config import SequenceData
from polydiff.domains.sequence.data.files import files_of
from polydiff.domains.sequence.data.formats import content
from polydiff.domains.sequence.data.source import Source
from polydiff.support.errors import UserError


@dataclass(frozen=True)
class Crops:
    """Crops of a text.

    Arguments:
        text: The text, spelled with one character a letter.
        length: Letters of a crop.
    """

    text: str
    length: int

    def __len__(self) -> int:
        return len(self.text) // self.length

    def spelled(self, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None) -> list[str]:
        first = [i * self.length for i in indices]
        if generators is not None:
            possible = len(self.text) - self.length + 1
            first = [int(torch.randint(possible, (), generator=generator)) for generator in generators]
        return [self.text[place : place + self.length] for place in first]

    def values(self, indices: Sequence[int]) -> list[Mapping[str, Any]]:
        return [{} for _ in indices]

    def whole(self) -> Iterable[str]:
        return [self.text]


def crops(data: SequenceData) -> Source:
    """Return crops of the user's text.

    Raises:
        UserError: The text cannot be read, or is too short for two splits.
    """
    assert data.path is not None
    assert data.length is not None
    quarantine = Quarantine(str(data.path), "letters")
    text = "\n".join(spelled_file(path, data.tokens) for path in files_of(data.path, quarantine))
    border = round(len(text) * (1 - data.test_share))
    train, length = text[:border], data.length
    if len(set(train)) < 2:
        raise UserError(f"{data.path} needs at least two different letters to train on.")
    if min(border, len(text) - border) < length:
        raise UserError(
            f"{data.path} has {len(text):,} letters, of which {len(text) - border:,} are held out. Each part needs at "
            f"least data.length={length}. Give a longer text, or a smaller data.length."
        )
    known = set(train)
    cut = (text[place : place + length] for place in range(border, len(text) - length + 1, length))
    test = "".join(crop for crop in cut if known.issuperset(crop))
    if not test:
        raise UserError(f"{data.path}: each held-out crop has a letter that the training part lacks. Add text.")
    quarantine.found, quarantine.left_out = len(text), len(text) - border - len(test)
    quarantine.splits = {ALL: {TRAIN: border, TEST: len(test)}}
    return Source({TRAIN: Crops(train, length), TEST: Crops(test, length)}, length, ends=False, quarantine=quarantine)


def spelled_file(path: Path, tokens: str) -> str:
    """Return the text of a file, one character a letter; with tokens=bytes the bytes of any file, as they are."""
    return path.read_bytes().decode("latin-1") if tokens == "bytes" else content(path)
