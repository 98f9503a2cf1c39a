"""Notes of instruments: what FluidSynth plays, and the folder that is made of it."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.core.streams import streams
from polydiff.domains.audio.data import instruments
from polydiff.domains.audio.data.instruments import FONT, LENGTH, PROGRAMS, RATE, VELOCITIES
from polydiff.domains.audio.data.notes import frequency, note_name, note_number
from polydiff.domains.audio.metrics.pitch import detect_pitch
from polydiff.support.errors import UserError

HORN = PROGRAMS["french horn"][1]


class Synth:
    """A synthesiser of sines with a little of the octave; the french horn is silent."""

    def __init__(self, gain: float, samplerate: int) -> None:
        self.rate, self.settings, self.at, self.amplitude = samplerate, dict[str, int](), 0, 0.0

    def setting(self, name: str, value: int) -> None:
        self.settings[name] = value

    def sfload(self, path: str) -> int:
        return 7 if Path(path).read_bytes() == b"font" else -1

    def system_reset(self) -> None:
        self.at, self.amplitude = 0, 0.0

    def program_select(self, channel: int, font: int, bank: int, program: int) -> int:
        self.program = program
        return 0 if (channel, font, bank) == (0, 7, 0) else -1

    def noteon(self, channel: int, pitch: int, velocity: int) -> None:
        assert self.settings == {"synth.reverb.active": 0, "synth.chorus.active": 0}
        self.pitch, self.amplitude = pitch, 0.0 if self.program == HORN else velocity / 256

    def noteoff(self, channel: int, pitch: int) -> None:
        self.amplitude = 0.0

    def get_samples(self, n: int) -> np.ndarray:
        t = np.arange(self.at, self.at + n) * 2 * math.pi * frequency(self.pitch) / self.rate
        self.at += n
        mono = self.amplitude * (0.8 * np.sin(t) + 0.2 * np.sin(2 * t))
        return np.repeat(mono * 2**15, 2).astype(np.int16)

    def delete(self) -> None:
        self.rate = 0


def library(*version: int) -> SimpleNamespace:
    """The module fluidsynth, with the synthesiser above."""

    def fluid_version(*places: Any) -> None:
        for place, number in zip(places, version, strict=True):
            place.value = number

    return SimpleNamespace(Synth=Synth, fluid_version=fluid_version)


@pytest.fixture
def font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound font that the synthesiser above takes, in place of the system's."""
    monkeypatch.setitem(sys.modules, "fluidsynth", library(2, 3, 1))  # type: ignore[arg-type]
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(FONT, str(tmp_path / "some.sf2"))
    (tmp_path / "some.sf2").write_bytes(b"font")
    return tmp_path / "some.sf2"


def test_each_note_sounds_at_its_pitch_for_its_time(font: Path, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    assert main(["data", "prepare", "instruments", str(font), "-o", str(folder), "--count", "40"]) == 0
    listed: dict[str, Any] = json.loads((folder / "examples.json").read_text())
    assert len({note["instrument_str"] for note in listed.values()}) > 30
    assert len(listed) == 40 - sum(name == "french horn" for name in requested(40))
    for name, note in listed.items():
        sound, rate = soundfile.read(folder / "audio" / f"{name}.wav", dtype="float32")
        assert (rate, len(sound)) == (RATE, LENGTH)
        pitch = detect_pitch(torch.from_numpy(sound)[None, None], rate)
        assert float(pitch.semitones) == pytest.approx(note["pitch"], abs=0.03)
        held = round(instruments.HELD * RATE)
        assert np.abs(sound[held + 100 :]).max() < 1e-3 < np.abs(sound[held - 200 : held]).max()
        assert np.abs(sound).max() == pytest.approx(note["velocity"] / 256 * 0.88, rel=0.15)


def requested(count: int) -> list[str]:
    notes = instruments.all_notes()
    return [notes[i * len(notes) // count]["instrument_str"] for i in range(count)]


def test_the_notes_are_those_of_general_midi() -> None:
    notes = instruments.all_notes()
    assert len(notes) == 77 * 24 * 4
    assert {note["velocity"] for note in notes} == set(VELOCITIES)
    known = {"grand piano": 0, "celesta": 8, "church organ": 19, "nylon guitar": 24, "violin": 40, "choir aahs": 52}
    known |= {"trumpet": 56, "oboe": 68, "clarinet": 71, "flute": 73, "acoustic bass": 32, "harp": 46, "tuba": 58}
    assert {name: PROGRAMS[name][1] for name in known} == known
    assert len({program for _, program in PROGRAMS.values()}) == 77


def test_the_data_set_is_made_once_and_its_columns_are_conditions(font: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_notes = instruments.all_notes()
    monkeypatch.setattr(instruments, "all_notes", lambda: all_notes[:: len(all_notes) // 60])
    values = {"data.name": "instruments", "data.sample_rate": 16000, "data.length": 8192}
    first = build_domain(resolve("audio", values=values).config)
    assert set(first.conditions) == {"family", "instrument", "pitch", "velocity"}
    monkeypatch.setattr(instruments, "prepare", None)  # not called again
    again = build_domain(resolve("audio", values={**values, "data.conditions": ("family",)}).config)
    assert set(again.conditions) == {"family"}
    drawn: dict[str, set[Any]] = {}
    for note in ("A#3", "Bb3", "58"):
        _, cond = first.blank(streams(0, "blank", range(20)), {"pitch": note})
        assert cond is not None
        drawn[note] = {row["instrument"] for row in first.describe(cond)}
    assert drawn["A#3"] == drawn["Bb3"] == drawn["58"]  # what is drawn beside a note suits it by any of its names
    found = first.evaluate(first.examples("train", 40))
    assert found["pitch_accuracy"].value == found["in_tune"].value == 1.0


def test_another_font_or_version_is_another_data_set(font: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setattr(instruments, "prepare", lambda font, folder: made.append(folder))
    first = instruments.instruments()
    os.utime(font, ns=(1, 1))
    assert instruments.instruments() == first
    font.write_bytes(b"fond")
    second = instruments.instruments()
    monkeypatch.setitem(sys.modules, "fluidsynth", library(2, 3, 2))  # type: ignore[arg-type]
    assert len({first, second, instruments.instruments()}) == 3
    assert len(made) == 3


def test_two_processes_at_once_make_it_once(font: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"

    def slowly(font: Path, folder: Path) -> None:
        with log.open("a") as file:
            file.write(f"{os.getpid()} begins\n")
        time.sleep(1)
        (folder / "examples.json").write_text("{}")

    def work(barrier: Barrier, answers: Any) -> None:
        barrier.wait()
        folder = instruments.instruments()
        answers.put((str(folder), sorted(path.name for path in folder.iterdir())))

    monkeypatch.setattr(instruments, "prepare", slowly)
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=work, args=(barrier, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    found = {(folder, *names) for folder, names in (answers.get(timeout=60) for _ in processes)}
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [names for _, *names in found] == [["examples.json"]]
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.parametrize("problem", ["package", "library", "font", "no font"])
def test_what_is_missing_is_said_in_one_sentence(
    problem: str, font: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "needs FluidSynth, which cannot be used"
    if problem == "package":
        monkeypatch.setitem(sys.modules, "fluidsynth", None)
    elif problem == "library":  # pyfluidsynth raises ImportError if it finds none
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "fluidsynth.py").write_text("raise ImportError('no library')")
        monkeypatch.delitem(sys.modules, "fluidsynth")
        monkeypatch.syspath_prepend(tmp_path / "site")
    elif problem == "font":
        font.write_bytes(b"other")
        wanted = "some.sf2 is not a sound font that FluidSynth can read"
    else:
        font.unlink()
        wanted = "needs a sound font of General MIDI. POLYDIFF_SOUNDFONT=.*some.sf2 is no file. Install"
    with pytest.raises(UserError, match=wanted):
        build_domain(resolve("audio", values={"data.name": "instruments"}).config)
    assert not list((tmp_path / "cache").rglob("*.wav"))


@pytest.mark.parametrize("midi", [0, 21, 48, 60, 61, 127])
def test_names_and_numbers_of_notes(midi: int) -> None:
    assert note_number(note_name(midi)) == midi
    assert note_number("H4") is None
    assert note_number("c4") is None


def test_a_path_beside_the_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"leave out data\.name to read data\.path"):
        resolve("audio", values={"data.name": "instruments", "data.path": tmp_path})
