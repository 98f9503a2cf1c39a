"""Tests of `polydiff.domains.audio.data.formats.mp3`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from polydiff.contract.data.places import Place
from polydiff.domains.audio.data.crops import Header, read_crop, read_frames
from polydiff.domains.audio.data.formats.mp3 import count, first_frame, frame_of, right_header, stated_frames
from polydiff.domains.audio.data.index import header_numbers, look


def swelling(rate: int, seconds: int = 8, channels: int = 1) -> np.ndarray:
    """Noise and notes that begin very softly, so that the first frames of a variable bit rate are small."""
    t = np.arange(seconds * rate) / rate
    noise = np.random.default_rng(0).standard_normal((len(t), channels))
    x = 0.4 * np.sin(2 * np.pi * 440 * t)[:, None] + 0.1 * noise
    return (x * np.where(t < 2, 1e-3, 1)[:, None]).astype(np.float32)


def encoded(path: Path, rate: int, mode: str = "VARIABLE", channels: int = 1, **more: int) -> bytes:
    x = swelling(rate, channels=channels, **more)
    soundfile.write(str(path), x, rate, bitrate_mode=mode, compression_level=0.5)
    return path.read_bytes()


def without_header(data: bytes) -> bytes:
    """The frames of a file that begins with a Xing header."""
    at = first_frame(data)
    assert at is not None
    frame = frame_of(data[at : at + 4])
    assert frame is not None
    assert stated_frames(data, at, frame)[1]
    return data[at + frame.size :]


def decoded(path: Path) -> torch.Tensor:
    return read_frames(Place(path), 0, header_numbers(path)[2])


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (22050, 1), (44100, 1), (44100, 2), (48000, 1)])
def test_all_of_a_file_without_a_header_is_used(tmp_path: Path, rate: int, channels: int, mode: str) -> None:
    data = encoded(tmp_path / "a.mp3", rate, mode, channels)
    (tmp_path / "b.mp3").write_bytes(without_header(data))
    whole, bare = decoded(tmp_path / "a.mp3"), decoded(tmp_path / "b.mp3")
    delay = int(
        np.correlate(bare[0, rate * 4 : rate * 4 + 4000].numpy(), whole[0, rate * 4 : rate * 4 + 2000].numpy()).argmax()
    )
    shared = whole.shape[1] - 2 * rate
    torch.testing.assert_close(bare[:, rate + delay :][:, :shared], whole[:, rate:][:, :shared], rtol=0, atol=1e-6)
    assert 0 <= bare.shape[1] - whole.shape[1] < 2400


def test_variable_bit_rate_without_a_header_is_more_than_libsndfile_reads(tmp_path: Path) -> None:
    (tmp_path / "b.mp3").write_bytes(without_header(encoded(tmp_path / "a.mp3", 44100)))
    assert soundfile.info(str(tmp_path / "b.mp3")).frames < 0.7 * header_numbers(tmp_path / "b.mp3")[2]
    facts = look(Place(tmp_path / "b.mp3"))
    assert facts.marks == "mended"
    assert 8 * 44100 <= facts.frames < 8 * 44100 + 2400


def test_crops_of_a_mended_file_are_slices_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "b.mp3"
    path.write_bytes(without_header(encoded(tmp_path / "a.mp3", 44100, channels=2)))
    whole, header = decoded(path), Header("b", *header_numbers(path))
    for begin in (0, 1, 1151, 2305, 100_000, 300_001, header.frames - 1000):
        assert torch.equal(read_crop(path, header, begin, 1000, 44100), whole[:, begin : begin + 1000])


@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\2\1" + b"\xff" * 257])
def test_joined_files_are_used_whole(tmp_path: Path, tag: bytes) -> None:
    one, two = encoded(tmp_path / "a.mp3", 44100), encoded(tmp_path / "b.mp3", 44100, seconds=5)
    (tmp_path / "c.mp3").write_bytes(tag + one + tag + two)
    assert soundfile.info(str(tmp_path / "c.mp3")).frames == 8 * 44100
    facts = look(Place(tmp_path / "c.mp3"))
    assert facts.marks == "mended"
    assert 13 * 44100 <= facts.frames < 13 * 44100 + 6 * 1152


def test_a_member_of_an_archive_is_mended_too(tmp_path: Path) -> None:
    data = without_header(encoded(tmp_path / "a.mp3", 44100))
    (tmp_path / "b.mp3").write_bytes(data)
    (tmp_path / "all.tar").write_bytes(b"x" * 512 + data + b"y" * 999)
    assert look(Place(tmp_path / "all.tar", 512, len(data))) == look(Place(tmp_path / "b.mp3"))


def test_a_file_with_a_right_header_or_of_another_format_is_left_alone(tmp_path: Path) -> None:
    data = encoded(tmp_path / "a.mp3", 44100)
    assert right_header(data, lambda: pytest.fail("the header states it")) is None
    assert right_header(data + b"TAG" + bytes(125), lambda: 0) is None
    for other in (b"", b"ID3", b"\xff\xfb", bytes(10_000), np.random.default_rng(0).bytes(100_000), b"\xff" * 5000):
        assert right_header(other, lambda: 0) is None


def test_a_truncated_file_is_found(tmp_path: Path) -> None:
    data = encoded(tmp_path / "a.mp3", 44100)
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="it ends after"):
        look(Place(tmp_path / "a.mp3"))


def test_frames_are_counted_across_damage(tmp_path: Path) -> None:
    data = without_header(encoded(tmp_path / "a.mp3", 44100, "CONSTANT"))
    frame = frame_of(data[:4])
    assert frame is not None
    n = count(data, 0, frame)
    assert n == -(-8 * 44100 // 1152) + 1
    torn = data[:5000] + bytes(3000) + data[8000:]
    assert n - 12 < count(torn, 0, frame) < n
    assert count(data + b"TAG" + bytes(125), 0, frame) == n
    assert count(data[:-10], 0, frame) == n - 1
