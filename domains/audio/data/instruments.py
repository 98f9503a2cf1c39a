"""Notes of real instruments: the sampled instruments of a General MIDI sound font, played by FluidSynth.

Each of the 77 instruments plays 24 notes, C3 to B4, at four velocities: 7,392 sounds of a second at 16 kHz, without
those that the font leaves silent. They are in the layout of NSynth (Engel et al., 2017,
https://arxiv.org/abs/1704.01279): audio/NAME.wav and examples.json. A note is held for 0.8 s. It is rendered at 48 kHz
without reverberation and chorus, then resampled, since a synthesiser that runs at 16 kHz would fold higher partials
back.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from ctypes import c_int
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polydiff.contract.data.identity import digest_of
from polydiff.domains.audio.optional_imports import soundfile, torchaudio
from polydiff.support.disk import cache_dir
from polydiff.support.errors import UserError
from polydiff.support.files import folder_atomic
from polydiff.support.progress import counted
from polydiff.support.replace import alone

VERSION = 1
"""Version of the data set; folders of another version in the cache are not used."""
RATE, RENDERED = 16_000, 48_000
"""Sample rate of the files, and that at which FluidSynth plays."""
LENGTH, HELD = 16_384, 0.8
"""Samples of a file, and seconds for which a note is held."""
NOTES = range(48, 72)
"""MIDI numbers of the notes: those that the pitch tracker detects."""
VELOCITIES = (40, 70, 100, 127)
GAIN = 1.0
"""Gain of FluidSynth."""
QUIET = 1e-3
"""Peak below which a note is left out: the instrument does not play it."""
CONDITIONS = ("family", "instrument", "pitch", "velocity")
"""Columns that are conditions unless the user names others."""
FONTS = (
    "/usr/share/sounds/sf2/default-GM.sf2",
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/soundfonts/default.sf2",
)
"""Where systems keep a sound font of General MIDI."""
FONT = "POLYDIFF_SOUNDFONT"
"""Environment variable with the path of another sound font."""
INSTALL = (
    "Install FluidSynth, a sound font and their Python package: apt install fluidsynth fluid-soundfont-gm; "
    'pip install "polydiff[instruments]"'
)
FAMILIES: Mapping[str, str] = {
    "piano": "grand piano, bright piano, electric grand, honky-tonk, rhodes, electric piano, harpsichord, clavinet",
    "mallet": "celesta, glockenspiel, music box, vibraphone, marimba, xylophone, tubular bells, dulcimer",
    "organ": "drawbar organ, percussive organ, rock organ, church organ, reed organ, accordion, harmonica, bandoneon",
    "guitar": "nylon guitar, steel guitar, jazz guitar, clean guitar, muted guitar, overdrive guitar, fuzz guitar",
    "bass": "acoustic bass, fingered bass, picked bass, fretless bass, slap bass, slap bass 2, synth bass, pulse bass",
    "string": "violin, viola, cello, double bass, tremolo strings, pizzicato strings, harp",
    "ensemble": "string ensemble, slow strings, synth strings, synth strings 2, choir aahs, voice oohs, synth voice",
    "brass": "trumpet, trombone, tuba, muted trumpet, french horn, brass section, synth brass, synth brass 2",
    "reed": "soprano sax, alto sax, tenor sax, baritone sax, oboe, english horn, bassoon, clarinet",
    "flute": "piccolo, flute, recorder, pan flute, bottle, shakuhachi, whistle, ocarina",
}  # fmt: skip
"""Family -> its instruments, in the order of General MIDI from program 0, 8, 16, ... on. Guitar harmonics, timpani and
the orchestra hit, the last of their families, have no clear pitch and are left out."""
PROGRAMS: Mapping[str, tuple[str, int]] = {
    name: (family, 8 * i + j)
    for i, (family, names) in enumerate(FAMILIES.items())
    for j, name in enumerate(names.split(", "))
}
"""Instrument -> its family and its program."""


def instruments() -> Path:
    """Return the folder of the data set in the cache, made on first use; other processes wait meanwhile.

    Raises:
        UserError: FluidSynth, its Python package or a sound font is missing.
    """
    font = find_font()
    facts = font.stat()
    key = digest_of([digest_of_font(font, facts.st_size, facts.st_mtime_ns), fluidsynth_version()])
    folder = cache_dir() / "audio" / f"instruments-{VERSION}-{key[:16]}"
    if not folder.is_dir():
        with alone(folder):
            if not folder.is_dir():
                with folder_atomic(folder) as draft:
                    prepare(font, draft)
    return folder


@lru_cache
def digest_of_font(font: Path, size: int, changed: int) -> str:
    """Return the SHA-256 of a sound font, in hexadecimal; another size or time of change is another one."""
    try:
        with font.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"The sound font {font} cannot be read: {error.strerror}.") from error


def prepare(file: Path | None, folder: Path, count: int | None = None) -> str:
    """Write the notes of a sound font and their list, and return how many there are, in words.

    Arguments:
        file: The sound font (.sf2 or .sf3), with the programs of General MIDI; None: that of the system.
        folder: An empty folder.
        count: Largest number of notes, evenly spaced; None: all.

    Raises:
        UserError: FluidSynth or its Python package is missing, or the sound font cannot be read.
    """
    font = file or find_font()
    write = soundfile().write
    notes = all_notes()
    if count is not None and count < len(notes):
        notes = [notes[i * len(notes) // count] for i in range(count)]
    (folder / "audio").mkdir()
    listed: dict[str, dict[str, Any]] = {}
    with synthesiser(font) as play:
        for note in counted("notes played", len(notes), notes):
            sound = play(note)
            if float(sound.abs().max()) > QUIET:
                name = f"{note['instrument_str'].replace(' ', '-')}-{note['pitch']:03d}-{note['velocity']:03d}"
                write(folder / "audio" / f"{name}.wav", sound.clamp(-1, 1).numpy(), RATE, subtype="PCM_16")
                listed[name] = note
    (folder / "examples.json").write_text(json.dumps(listed, indent=0))
    return f"{len(listed):,} notes of {len({note['instrument_str'] for note in listed.values()})} instruments"


def all_notes() -> list[dict[str, Any]]:
    """Return all notes, each as the columns that describe it in the layout of NSynth."""
    return [
        {
            "instrument_family_str": family,
            "instrument_str": name,
            "instrument_source_str": "sampled",
            "pitch": pitch,
            "velocity": velocity,
            "sample_rate": RATE,
        }
        for name, (family, _) in PROGRAMS.items()
        for pitch in NOTES
        for velocity in VELOCITIES
    ]


def find_font() -> Path:
    """Return the sound font that `FONT` names, else that of the system."""
    named = os.environ.get(FONT)
    found = [path for one in ([named] if named else FONTS) if (path := Path(one).expanduser()).is_file()]
    if not found:
        where = f"{FONT}={named} is no file." if named else f"There is no sound font in {', '.join(FONTS)}."
        raise UserError(f"data.name=instruments needs a sound font of General MIDI. {where} {INSTALL}.")
    return found[0]


def fluidsynth() -> ModuleType:
    """Return the module fluidsynth, which plays sound fonts.

    Raises:
        UserError: It, or the library that it calls, is missing.
    """
    try:
        return importlib.import_module("fluidsynth")
    except (ImportError, OSError, AttributeError) as error:  # the last two: the library itself is missing or too old
        raise UserError(
            f"data.name=instruments needs FluidSynth, which cannot be used ({error}). {INSTALL}."
        ) from error


def fluidsynth_version() -> str:
    """Return the version of the library FluidSynth, such as 2.3.1."""
    numbers = [c_int() for _ in range(3)]
    fluidsynth().fluid_version(*numbers)
    return ".".join(str(number.value) for number in numbers)


@contextlib.contextmanager
def synthesiser(font: Path) -> Iterator[Callable[[Mapping[str, Any]], Tensor]]:
    """Yield a function that plays a note of a sound font, columns as of `all_notes` -> sound (LENGTH,)."""
    synth = fluidsynth().Synth(gain=GAIN, samplerate=RENDERED)
    try:
        for effect in ("reverb", "chorus"):
            synth.setting(f"synth.{effect}.active", 0)
        number = synth.sfload(str(font))
        if number < 0:
            raise UserError(f"{font} is not a sound font that FluidSynth can read.")
        resample = torchaudio("transforms").Resample(RENDERED, RATE)

        def play(note: Mapping[str, Any]) -> Tensor:
            synth.system_reset()  # no earlier note sounds on
            if synth.program_select(0, number, 0, PROGRAMS[note["instrument_str"]][1]) < 0:
                raise UserError(f"{font} lacks the program of {note['instrument_str']}. Use a font of General MIDI.")
            total, held = LENGTH * RENDERED // RATE, round(HELD * RENDERED)
            synth.noteon(0, note["pitch"], note["velocity"])
            sounding = synth.get_samples(held)
            synth.noteoff(0, note["pitch"])
            stereo = np.concatenate([sounding, synth.get_samples(total - held)]).reshape(-1, 2)
            mono: Tensor = resample(torch.from_numpy(stereo.mean(1, dtype=np.float32) / 2**15))
            return mono[:LENGTH]

        yield play
    finally:
        synth.delete()
