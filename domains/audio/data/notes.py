"""Notes by name, MIDI number and frequency."""

from __future__ import annotations

import re

NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLATS = {"DB": "C#", "EB": "D#", "GB": "F#", "AB": "G#", "BB": "A#"}
NAME = re.compile(r"([A-G]#?)(-?\d)")
"""A note's name as `note_name` writes it."""


def note_name(midi: int) -> str:
    """Return the name of a MIDI note number, such as C4 for 60."""
    return f"{NOTES[midi % 12]}{midi // 12 - 1}"


def note_number(name: str) -> int | None:
    """Return the MIDI number of a note's name, such as 60 for C4; None if it is another text."""
    match = NAME.fullmatch(name)
    return NOTES.index(match[1]) + 12 * (int(match[2]) + 1) if match else None


def frequency(midi: float) -> float:
    """Return the frequency of a MIDI note number in Hz, 440 for 69."""
    return float(440 * 2 ** ((midi - 69) / 12))


def midi_name(text: str) -> str:
    """Return the class name of a note, C#4 for 61, c#4 and Db4; other text unchanged."""
    if text.isascii() and text.isdecimal():
        return note_name(int(text))
    match = re.fullmatch(r"([A-Ga-g][#b]?)(\d)", text.strip())
    if not match:
        return text
    letter = match[1].upper()
    return FLATS.get(letter, letter) + match[2]
