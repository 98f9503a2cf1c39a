"""Tests of `polydiff.domains.audio.data.crops`."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch
import torchaudio
from audio_files_cases import RATE, folder_of, header, headers, settings, sound, write

from polydiff.core.streams import streams
from polydiff.domains.audio.data.crops import read_crop
from polydiff.domains.audio.data.folder import Folder
from polydiff.domains.audio.resample import interpolated


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "aiff"])
@pytest.mark.parametrize(("frames", "channels", "rate"), [(14_000, 1, 16000), (80_003, 2, 48000), (1, 1, 16000)])
def test_a_crop_is_the_slice_of_the_whole_file_to_the_bit(
    tmp_path: Path, suffix: str, frames: int, channels: int, rate: int
) -> None:
    path = write(tmp_path / f"a.{suffix}", sound(frames, channels), rate)
    whole = torch.from_numpy(soundfile.read(str(path), dtype="float32", always_2d=True)[0].T.copy())
    assert whole.shape[1] == header(path).frames
    end = whole.shape[1]
    begins = {0, 1, 1151, 1152, 2303, 2305, 12345, end - 1000, end - 1, *range(max(0, end - 9000), end - 999, 797)}
    for begin in sorted(begin for begin in begins if 0 <= begin < end):
        crop = read_crop(path, header(path), begin, 1000, rate)
        assert torch.equal(crop[:, : end - begin], whole[:, begin : begin + 1000])
        assert not crop[:, end - begin :].any()


@pytest.mark.parametrize("rate", [24000, 48000])
def test_crops_of_opus_do_not_depend_on_the_seek(tmp_path: Path, rate: int) -> None:
    g = torch.Generator().manual_seed(0)
    brown = torch.randn(2, 4 * rate, generator=g).cumsum(1)
    hiss = 0.05 * torch.randn(2, 4 * rate, generator=g)
    path = write(tmp_path / "a.opus", (0.3 * brown / brown.abs().max() + hiss).clamp(-1, 1), rate)
    whole = torch.from_numpy(soundfile.read(str(path), dtype="float32", always_2d=True)[0].T.copy())
    for begin in range(0, whole.shape[1] - 500, rate // 25):
        assert torch.equal(read_crop(path, header(path), begin, 500, rate), whole[:, begin : begin + 500])


def test_a_file_without_seeking_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(str(path), sound(20_000)[0].numpy(), 8000, subtype="GSM610")
    whole = torch.from_numpy(soundfile.read(str(path), dtype="float32")[0])
    assert len(headers(tmp_path)) == 1
    for begin in (0, 1, 12_345):
        assert torch.equal(read_crop(path, header(path), begin, 1000, 8000)[0], whole[begin : begin + 1000])


def test_mp3_of_a_low_rate_is_read_without_warnings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.mp3", sound(100_000))
    whole = torch.from_numpy(soundfile.read(str(path), dtype="float32", always_2d=True)[0].T.copy())
    for begin in range(0, 99_000, 7001):
        assert torch.equal(read_crop(path, header(path), begin, 1000, RATE), whole[:, begin : begin + 1000])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("rate", "to"), [(44100, 16000), (48000, 44100), (22050, 16000), (16000, 8000), (8000, 16000)])
def test_a_resampled_crop_is_the_slice_of_the_whole_file_resampled(tmp_path: Path, rate: int, to: int) -> None:
    path = write(tmp_path / "a.wav", sound(30000, 2), rate)
    whole = torchaudio.functional.resample(
        torch.from_numpy(soundfile.read(str(path), dtype="float32", always_2d=True)[0].T.copy()), rate, to
    )
    assert whole.shape[1] == header(path).length_at(to)
    for begin in (0, 1, 160, 4321, whole.shape[1] - 1000):
        crop = read_crop(path, header(path), begin, 1000, to)
        torch.testing.assert_close(crop, whole[:, begin : begin + 1000], atol=1e-5, rtol=0)


def test_a_crop_at_odd_rates_is_the_slice_of_the_whole_file_resampled(tmp_path: Path) -> None:
    x = sound(30_000, 2)
    path = write(tmp_path / "a.wav", x, 44101)
    stored = torch.from_numpy(soundfile.read(str(path), dtype="float32", always_2d=True)[0].T.copy())
    whole = interpolated(stored, 0, 0, header(path).length_at(8000), 44101, 8000)
    for begin in (0, 1, 160, 4321, whole.shape[1] - 500):
        crop = read_crop(path, header(path), begin, 1000, 8000)
        kept = whole[:, begin : begin + 1000]
        torch.testing.assert_close(crop[:, : kept.shape[1]], kept, atol=1e-6, rtol=0)
        assert not crop[:, kept.shape[1] :].any()
    assert not read_crop(path, header(path), 10**6, 50, 8000).any()


@pytest.mark.parametrize(
    ("peak", "hint"),
    [(17.0, "integers of 8 bits"), (2e4, "16 bits, divide by 32768"), (1e9, "32 bits"), (1e38, "reaches 1e+38")],
)
def test_numbers_far_beyond_full_scale_are_an_error_with_the_peak(tmp_path: Path, peak: float, hint: str) -> None:
    path = tmp_path / "a.wav"
    x = sound(5000)[0].numpy()
    soundfile.write(str(path), x / abs(x).max() * peak, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="far beyond full scale") as raised:
        read_crop(path, header(path), 0, 5000, RATE)
    assert hint in str(raised.value).replace("bits;", "bits")
    soundfile.write(str(path), x / abs(x).max() * 15.9, RATE, subtype="FLOAT")
    assert read_crop(path, header(path), 0, 5000, RATE).abs().max() > 15


def test_after_the_end_there_is_silence(tmp_path: Path) -> None:
    x = sound(700)
    path = write(tmp_path / "a.flac", x)
    crop = read_crop(path, header(path), 0, 1000, RATE)
    torch.testing.assert_close(crop[:, :700], x, atol=1e-4, rtol=0)
    assert bool((crop[:, 700:] == 0).all())
    for rate in (RATE, RATE // 2):
        assert torch.equal(read_crop(path, header(path), 10_000, 50, rate), torch.zeros(1, 50))


def test_no_more_than_the_crop_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(settings(folder_of(tmp_path, 3, frames=100_000)))
    read, frames = soundfile.SoundFile.read, []
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda f, n, **k: (frames.append(n), read(f, n, **k))[1])
    folder.clips("train", range(20), streams(0, "crop", range(20)))
    assert frames == [1000] * 20
