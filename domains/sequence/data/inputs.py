"""The user's own texts as inputs, and parts of a text given by places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from polydiff.domains.sequence.alphabet import Alphabet, spell
from polydiff.domains.sequence.config import SequenceData
from polydiff.domains.sequence.data.formats import Entry, content, reader_of
from polydiff.support.errors import UserError, amount, check_file

PLACES = re.compile(r"(\d{0,9}):(\d{0,9})", re.ASCII)
"""A range of places, either end of which may be left open."""
BLANK = "_"
"""Letter of a user's text that stands for one to be generated, unless it is a letter of the data."""
NAMED = 60
"""Largest alphabet that an error lists."""


def read_texts(paths: Sequence[Path], data: SequenceData, alphabet: Alphabet, length: int) -> list[str]:
    """Return the texts of files, spelled: each line, record or cell, or with data.crops=true each file as a whole.

    The line break at the end of a whole file is not part of its text.

    Arguments:
        paths: The files.
        data: Section of the configuration, with the column of texts in a table.
        alphabet: Letters that the model knows.
        length: Letters of an example.

    Raises:
        UserError: A file cannot be read or holds no text, a text is longer than an example, or has another letter.
    """
    found = []
    for path in paths:
        check_file(path)
        if data.crops:
            entries = [Entry("the text", content(path).removesuffix("\n"))]
        else:
            entries = list(reader_of(path)(path, data.column))
        if not entries:
            raise UserError(f"{path} holds no text.")
        found += [checked(entry, path, alphabet, length) for entry in entries]
    return found


def checked(entry: Entry, path: Path, alphabet: Alphabet, length: int) -> str:
    """Return the text of an entry, spelled; arguments and errors as of `read_texts`."""
    where = f"{path}, {entry.place}"
    if entry.reason:
        raise UserError(f"{where}: {entry.reason}.")
    spelled = spell(entry.text, alphabet.tokens)
    if len(spelled) > length:
        raise UserError(f"{where} has {amount(len(spelled), 'letter')}, more than the {length} of the model's texts.")
    if letter := alphabet.lacks(spelled.replace(BLANK, "")):
        known = f" It knows {' '.join(alphabet.letters)!r}." if alphabet.size <= NAMED else ""
        raise UserError(
            f"{where}: the letter {letter!r} at place {spelled.index(letter)} is none of those that the model was "
            f"trained on.{known}"
        )
    return spelled


def blanks_in(spelled: Sequence[str], alphabet: Alphabet, length: int) -> Tensor:
    """Return where texts have blanks, booleans (B, L); nowhere if the blank is a letter of the data."""
    found = torch.zeros(len(spelled), length, dtype=torch.bool)
    if BLANK not in alphabet.letters:
        for row, text in zip(found, spelled, strict=True):
            row[: len(text)] = torch.tensor([letter == BLANK for letter in text], dtype=torch.bool)
    return found


def without_blanks(spelled: Sequence[str], alphabet: Alphabet) -> list[str]:
    """Return texts with the first letter of the alphabet in place of blanks."""
    if BLANK in alphabet.letters:
        return list(spelled)
    return [text.replace(BLANK, alphabet.letters[0]) for text in spelled]


def region(text: str, length: int) -> Tensor:
    """Return the mask of the places BEGIN:END, booleans (L,): from BEGIN, counted from 0, to END, excluded.

    Arguments:
        text: BEGIN:END; without BEGIN from the first place on, without END to the last of the end letters.
        length: L.

    Raises:
        UserError: The text has another form, or the part is empty or extends beyond the example.
    """
    match = PLACES.fullmatch(text.replace(" ", ""))
    if match is None:
        raise UserError(
            f"{text!r} is not a part of a text. Write BEGIN:END, such as 3:6 for the places 3, 4 and 5, counted from 0."
        )
    begin, end = int(match[1] or 0), int(match[2] or length)
    if max(begin, end) > length:
        raise UserError(f"{text} exceeds the {length} letters of an example, of which the first is at place 0.")
    if begin >= end:
        raise UserError(f"{text} contains no letter: BEGIN must be less than END.")
    mask = torch.zeros(length, dtype=torch.bool)
    mask[begin:end] = True
    return mask
