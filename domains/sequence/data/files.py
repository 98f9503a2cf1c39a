"""The texts of the user's files and folders: which are used, and why others are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import folder_at_top, outside_of, split_folders, stated_split
from polydiff.domains.sequence.alphabet import spell
from polydiff.domains.sequence.config import SequenceData
from polydiff.domains.sequence.data.formats import READERS, Entry, reader_of
from polydiff.domains.sequence.data.source import Source
from polydiff.domains.sequence.data.texts import Listed, divided
from polydiff.support.errors import UserError
from polydiff.support.files import files_under


def own_texts(data: SequenceData) -> Source:
    """Return the texts of the user's files, one an example.

    Raises:
        UserError: A file cannot be read, more than one text in twenty is unusable, or there are too few for two splits.
    """
    quarantine = Quarantine(str(data.path), "texts")
    listed = list(usable(data, quarantine))
    quarantine.check()
    source = divided(listed, data, quarantine)
    quarantine.check()
    return source


def files_of(path: Path, quarantine: Quarantine) -> list[Path]:
    """Return the file at a path, or the files of texts in a folder.

    Raises:
        UserError: There are none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"data.path={path}: there is no such file or folder.")
    odd: dict[str, str] = {}
    found = files_under(path, READERS.keys(), odd=odd)
    for name, reason in odd.items():
        quarantine.found += quarantine.exclude(name, reason)
    if not found:
        raise UserError(f"The folder data.path={path} holds no file of texts ({', '.join(READERS)}).")
    return found


def usable(data: SequenceData, quarantine: Quarantine) -> Iterator[Listed]:
    """Yield the texts of the user's files; others are excluded, or left out if they are too long."""
    assert data.path is not None
    files, long, outside = files_of(data.path, quarantine), 0, 0
    folders = split_folders(folder_at_top(file, data.path) for file in files)
    for file in files:
        own = f"{file.relative_to(data.path).as_posix()}, " if file != data.path else ""
        label = {LABEL: file.stem} if len(files) > 1 else {}
        for entry, split in map(divided_entry, reader_of(file)(file, data.column)):
            quarantine.found += 1
            spelled, name = spell(entry.text, data.tokens), own + entry.place
            stated = split or folders.get(folder_at_top(file, data.path), "")
            if folders and not stated:
                outside += 1
            elif entry.reason:
                quarantine.exclude(name, entry.reason)
            elif data.length is not None and len(spelled) > data.length:
                long += 1
            else:
                yield Listed(name, spelled, {**label, **entry.columns}, stated)
    if outside:
        quarantine.left_out += outside
        quarantine.notes["outside"] = outside_of(folders, outside)
    if long:
        quarantine.left_out += long
        quarantine.notes["long"] = f"{long} have more than data.length={data.length} letters"


def divided_entry(entry: Entry) -> tuple[Entry, str]:
    """Return an entry without its column `split`, and that split; with a reason against it if the column names none."""
    try:
        split, columns = stated_split(entry.columns)
    except ValueError as error:
        return entry._replace(reason=entry.reason or str(error)), ""
    return entry._replace(columns=columns), split
