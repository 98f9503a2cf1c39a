"""Tests of `polydiff.domains.audio.output.write`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio


@pytest.mark.parametrize(("encoding", "subtype", "error"), [("pcm16", "PCM_16", 1e-4), ("float", "FLOAT", 0)])
def test_saved_files_contain_the_samples(
    audio: Audio, tmp_path: Path, encoding: Any, subtype: str, error: float
) -> None:
    saver = Audio(AudioConfig(data=AudioData(encoding=encoding)), audio.statistics)
    samples = saver.examples("test", 3)
    entries = saver.save(samples, tmp_path / "new")
    assert [entry["file"] for entry in entries] == [f"sample-{i:05d}.wav" for i in range(3)]
    assert all(re.fullmatch(r"[A-G]#?[34] [+-]\d+ cents", entry["heard"]) for entry in entries)
    for entry, sound in zip(entries, samples.examples, strict=True):
        path = tmp_path / "new" / entry["file"]
        assert soundfile.info(str(path)).subtype == subtype
        x, rate = soundfile.read(str(path), dtype="float32")
        assert rate == 8000
        torch.testing.assert_close(torch.from_numpy(x), sound[0], atol=error, rtol=0)


@pytest.mark.parametrize(("encoding", "error"), [("flac", 1e-4), ("ogg", 0.05)])
def test_samples_are_written_in_compressed_forms(audio: Audio, tmp_path: Path, encoding: Any, error: float) -> None:
    saver = Audio(AudioConfig(data=AudioData(encoding=encoding)), audio.statistics)
    samples = saver.examples("test", 3)
    for entry, sound in zip(saver.save(samples, tmp_path), samples.examples, strict=True):
        assert entry["file"].endswith(f".{encoding}")
        x, rate = soundfile.read(str(tmp_path / entry["file"]), dtype="float32")
        assert (rate, len(x)) == (8000, 4096)
        assert float((torch.from_numpy(x) - sound[0]).square().mean().sqrt()) < error
    assert saver.archive(samples)["arr_0"].dtype == np.int16


def test_a_minute_of_vorbis_can_be_written(tmp_path: Path) -> None:
    """Written in one piece, libsndfile crashes the process."""
    path = tmp_path / "long.ogg"
    code = (
        "import pathlib, torch; from polydiff.domains.audio.output.write import write_sound;"
        "x = 0.3 * torch.arange(60 * 44100).mul(0.05).sin();"
        f"write_sound(pathlib.Path({str(path)!r}), x[None], 44100, 'ogg')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    info = soundfile.info(str(path))
    assert (info.frames, info.channels, info.subtype) == (60 * 44100, 1, "VORBIS")
    with soundfile.SoundFile(str(path)) as file:
        assert sum(len(block) for block in file.blocks(2**16)) == 60 * 44100


@pytest.mark.parametrize("encoding", ["pcm16", "float"])
def test_an_archive_contains_the_samples_of_the_files(audio: Audio, tmp_path: Path, encoding: Any) -> None:
    saver = Audio(AudioConfig(data=AudioData(encoding=encoding)), audio.statistics)
    samples = audio.examples("test", 3)
    archive = saver.archive(samples)
    for sound, rate, entry in zip(archive["arr_0"], archive["rate"], saver.save(samples, tmp_path), strict=True):
        kind = "int16" if encoding == "pcm16" else "float32"
        kept, kept_rate = soundfile.read(tmp_path / entry["file"], dtype=kind, always_2d=True)
        assert rate == kept_rate
        assert sound.dtype == kept.dtype
        np.testing.assert_array_equal(sound, kept)
