"""The layout of NSynth, made small: splits, columns and what is wrong with a list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.folder import Folder
from polydiff.domains.audio.data.notes import note_name
from polydiff.support.errors import UserError


def note(number: int, family: str, pitch: int, velocity: int) -> dict[str, Any]:
    """Return the columns of a note as NSynth lists them."""
    return {
        "note": number,
        "note_str": f"{family}_acoustic_000-{pitch:03d}-{velocity:03d}",
        "instrument": number % 3,
        "instrument_str": f"{family}_acoustic_000",
        "instrument_source": 0,
        "instrument_source_str": "acoustic",
        "instrument_family": 1,
        "instrument_family_str": family,
        "pitch": pitch,
        "velocity": velocity,
        "sample_rate": 16000,
        "qualities": [0, 1, 0, 0, 1, 0, 0, 0, 0, 0],
        "qualities_str": ["dark", "long_release"],
    }


def part(folder: Path, first: int, count: int) -> None:
    """Write a split of NSynth: examples.json and audio/NAME.wav."""
    (folder / "audio").mkdir(parents=True)
    notes = [note(i, ("bass", "reed")[i % 2], 22 + i % 60, (25, 127)[i // 2 % 2]) for i in range(first, first + count)]
    listed = {f"{one['note_str']}-{one['note']}": one for one in notes}
    (folder / "examples.json").write_text(json.dumps(listed, indent=4))
    for name, one in listed.items():
        t = np.arange(64000) / 16000
        sound = 0.5 * np.sin(2 * np.pi * 440 * 2 ** ((one["pitch"] - 69) / 12) * t)
        soundfile.write(folder / "audio" / f"{name}.wav", sound, 16000, subtype="PCM_16")


@pytest.fixture
def nsynth(tmp_path: Path) -> Path:
    part(tmp_path / "nsynth-train", 0, 12)
    part(tmp_path / "nsynth-valid", 12, 4)
    part(tmp_path / "nsynth-test", 16, 6)
    return tmp_path


def test_splits_and_columns_are_those_of_the_lists(nsynth: Path) -> None:
    keys = {"data.path": nsynth, "data.sample_rate": 16000, "data.length": 64000}
    columns = ("family", "pitch", "velocity", "qualities:text")
    domain = build_domain(resolve("audio", values={**keys, "data.conditions": columns}).config)
    assert (domain.size("train"), domain.size("test")) == (12, 6)
    described = domain.describe(domain.examples("test", 6).cond)
    assert {row["family"] for row in described} == {"bass", "reed"}
    assert {row["velocity"] for row in described} == {25, 127}
    assert {row["qualities"] for row in described} == {"dark long_release"}
    assert {row["pitch"] for row in described} == {note_name(22 + i) for i in range(16, 22)}
    known = domain.describe(domain.examples("train", 12).cond)
    assert {row["pitch"] for row in known} == {note_name(22 + i) for i in range(12)}


def test_one_split_alone_is_divided_as_other_data(nsynth: Path) -> None:
    found = Folder(AudioData(path=nsynth / "nsynth-train", sample_rate=16000, length=64000))
    assert found.size("train") + found.size("test") == 12


def test_listed_notes_that_are_missing_are_excluded_and_a_damaged_list_is_an_error(nsynth: Path) -> None:
    next((nsynth / "nsynth-train" / "audio").iterdir()).unlink()
    with pytest.warns(UserWarning, match="excluded"):
        found = Folder(AudioData(path=nsynth, sample_rate=16000, length=64000))
    assert (found.size("train"), found.quarantine.found) == (11, 22)
    path = nsynth / "nsynth-train" / "examples.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(UserError, match=r"nsynth-train/examples\.json cannot be read as the list of NSynth"):
        Folder(AudioData(path=nsynth, sample_rate=16000, length=64000))


def test_a_note_whose_name_leads_out_of_the_folder_is_an_error(nsynth: Path) -> None:
    path = nsynth / "nsynth-test" / "examples.json"
    for name in ("/etc/sound", "../sound"):
        path.write_text(json.dumps({name: note(0, "bass", 40, 25)}))
        with pytest.raises(UserError, match=f"{name} is not the name of a file in the folder audio"):
            Folder(AudioData(path=nsynth, sample_rate=16000, length=64000))
