"""Tests of `polydiff.domains.audio.data.formats.ends`."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from audio_files_cases import sound, write

from polydiff.domains.audio.data.formats.ends import missing_bytes, ogg_faults


@pytest.mark.parametrize("suffix", ["wav", "aiff"])
def test_a_file_shorter_than_its_header_states_is_found(tmp_path: Path, suffix: str) -> None:
    data = write(tmp_path / f"a.{suffix}", sound(20_000, 2)).read_bytes()
    assert missing_bytes(io.BytesIO(data)) == 0
    assert missing_bytes(io.BytesIO(data[:-100])) == 0  # within what sloppy programs write
    assert missing_bytes(io.BytesIO(data[: len(data) // 2])) == len(data) - len(data) // 2


def test_a_header_of_a_stream_states_no_length(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.wav", sound(2000)).read_bytes())
    at = data.index(b"data") + 4
    for size in (0, 0x7FFFF000, 0xFFFFFFFF):
        data[at : at + 4] = struct.pack("<I", size)
        assert missing_bytes(io.BytesIO(data)) == 0


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_an_ogg_file_without_an_end_and_a_chain_are_found(tmp_path: Path, suffix: str) -> None:
    one = write(tmp_path / f"a.{suffix}", sound(60_000)).read_bytes()
    two = write(tmp_path / f"b.{suffix}", sound(50_000, 2)).read_bytes()
    assert ogg_faults(io.BytesIO(one)) == set()
    assert ogg_faults(io.BytesIO(one[: len(one) // 2])) == {"cut"}
    assert ogg_faults(io.BytesIO(one[:-1])) == {"cut"}
    assert ogg_faults(io.BytesIO(one[: one.rindex(b"OggS")])) == {"cut"}
    assert ogg_faults(io.BytesIO(one + two)) == {"chained"}
    assert ogg_faults(io.BytesIO(one + two[:-9])) == {"chained", "cut"}


def test_other_files_have_no_faults(tmp_path: Path) -> None:
    for data in (b"", b"RIFF", b"OggS", bytes(1000), write(tmp_path / "a.flac", sound(2000)).read_bytes()):
        assert missing_bytes(io.BytesIO(data)) == 0
        assert ogg_faults(io.BytesIO(data)) == set()
