"""The layout of NSynth: folders with audio/NAME.wav and examples.json, which describes each note.

A note has an instrument of a family, a pitch (MIDI number) and a velocity. The distributed archives unpack to the
folders nsynth-train, nsynth-valid and nsynth-test. (Engel et al., 2017, https://arxiv.org/abs/1704.01279)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.contract.data.places import Place
from polydiff.contract.data.splits import NAMES
from polydiff.contract.data.tables import mapping
from polydiff.domains.audio.data.notes import note_name
from polydiff.support.errors import UserError

LIST = "examples.json"
COLUMNS = {"instrument_family_str": "family", "instrument_str": "instrument", "instrument_source_str": "source"}
"""Text in the list -> its column."""


class Note(NamedTuple):
    """A sound that a list describes; fields as those of `polydiff.domains.audio.data.catalogue.Entry`."""

    name: str
    place: Place
    columns: Mapping[str, Any]
    split: str


def lists(root: Path) -> dict[Path, str]:
    """Return the lists of a folder -> the split that each states, "" for none; {} if the layout is another one."""
    if (root / LIST).is_file() and (root / "audio").is_dir():
        return {root / LIST: ""}
    found = sorted(path for path in root.glob(f"*/{LIST}") if (path.parent / "audio").is_dir())
    return {path: NAMES.get(path.parent.name.lower().rpartition("-")[2], "") for path in found}


def notes(root: Path, listed: Mapping[Path, str]) -> Iterator[Note]:
    """Yield the notes of lists, each with family, instrument, source, pitch (such as C4), velocity and qualities.

    Arguments:
        root: Folder of the data, to which names are relative.
        listed: The lists and the splits that they state, from `lists`.

    Raises:
        UserError: A list is damaged.
    """
    for path, split in listed.items():
        try:
            found = mapping(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as the list of NSynth: {error}.") from error
        for name, facts in found.items():
            if not isinstance(facts, dict):
                raise UserError(f"{path}: {name} is described by a {type(facts).__name__}, not by columns.")
            if "/" in name:
                raise UserError(f"{path}: {name} is not the name of a file in the folder audio.")
            place = path.parent / "audio" / f"{name}.wav"
            yield Note(place.relative_to(root).as_posix(), Place(place), described(facts), split)


def described(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a note."""
    columns = {column: facts[name] for name, column in COLUMNS.items() if name in facts}
    if isinstance(facts.get("pitch"), int) and 0 <= facts["pitch"] < 128:
        columns["pitch"] = note_name(facts["pitch"])
    if isinstance(facts.get("velocity"), int | float):
        columns["velocity"] = facts["velocity"]
    if qualities := facts.get("qualities_str"):
        columns["qualities"] = " ".join(map(str, qualities))
    return columns
