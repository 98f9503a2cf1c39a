"""Mel spectrograms for vocoders: against explicit sums, alignment in time, files, and inversion to sound."""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from polydiff.config.merge import resolve
from polydiff.domains.audio.config import AudioData, MelConfig
from polydiff.domains.audio.data.plucks import Plucks
from polydiff.domains.audio.metrics.distances import log_spectral_distance
from polydiff.domains.audio.tasks.mel import Mel, Scale, griffin_lim, read_mel, write_mel
from polydiff.support.errors import UserError


def clips(n: int = 4, rate: int = 8000, length: int = 4096) -> Tensor:
    return Plucks(rate, length, 24, {"test": n}).clips("test", range(n))[0]


def definition(**changes: object) -> Mel:
    return replace(Mel.of(AudioData()), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rate", "hop", "n_fft", "bands"),
    [(8000, 128, 512, 40), (16000, 256, 1024, 80), (22050, 256, 1024, 80), (48000, 512, 2048, 128)],
)
def test_the_definition_depends_on_the_sample_rate_and_the_configuration(
    rate: int, hop: int, n_fft: int, bands: int
) -> None:
    mel = Mel.of(AudioData(sample_rate=rate, length=16384))
    assert (mel.hop, mel.n_fft, mel.window, mel.bands, mel.high) == (hop, n_fft, n_fft, bands, rate / 2)
    own = Mel.of(AudioData(sample_rate=rate, mel=MelConfig(hop=100, bands=20, low=50, high=3000, scale="htk")))
    assert (own.hop, own.n_fft, own.bands, own.low, own.high, own.scale) == (100, 400, 20, 50, 3000, "htk")
    with pytest.raises(ValidationError, match=r"data\.mel\.high is above half"):
        AudioData(sample_rate=8000, mel=MelConfig(high=5000))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 2048, "n_fft": 512}, "hop=128, window=2048 and n_fft=512. The hop must be at most the window"),
        ({"hop": 128, "n_fft": 64}, "hop=128, window=64 and n_fft=64"),
        ({"n_fft": 128, "bands": 65, "hop": 64}, "bands=65 and n_fft=128. A Fourier transform of this size has 64"),
        ({"low": 4000}, "low=4000 must be below the highest frequency, 4000 Hz"),
        ({"low": 300, "high": 200}, "low=300 must be below the highest frequency, 200 Hz"),
    ],
)
def test_an_invalid_definition_raises(changes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Mel.of(AudioData(mel=MelConfig.model_validate(changes)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"data.mel.hop": "1000000"}, "mel.hop"),
        ({"data.mel.bands": "100000"}, "mel.bands"),
        ({"data.mel.n_fft": "1000000"}, "mel.n_fft"),
        ({"data.mel.window": "1000000"}, "mel.window"),
        ({"data.mel.power": "1e300"}, "mel.power"),
        ({"data.mel.floor": "1e-60"}, "mel.floor"),
        ({"data.mel.floor": "1e30"}, "mel.floor"),
        ({"data.mel.hop": "1024"}, "hop=1024 is longer than a clip of data.length=512"),
        ({"data.mel.hop": "64", "data.mel.n_fft": "32"}, "hop=64, window=32 and n_fft=32"),
        ({"data.mel.bands": "512"}, "bands=512 and n_fft=512"),
        ({"data.mel.low": "3900", "data.mel.high": "3000"}, "must be below the highest frequency"),
        ({"data.sample_rate": "1000000000"}, "sample_rate"),
    ],
)
def test_settings_that_cannot_work_are_errors_before_data_are_read(
    words: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plucks, "clips", lambda *_: pytest.fail("data were read"))
    with pytest.raises(UserError, match=re.escape(message)):
        resolve("audio", words={"task": "vocode", "data.length": "512", **words})


def test_the_largest_settings_take_seconds() -> None:
    begin = time.monotonic()
    mel = Mel.of(AudioData(sample_rate=48000, mel=MelConfig(bands=512, n_fft=32768, hop=8192)))
    assert mel(torch.zeros(2, 1, 40_000)).shape == (2, 512, 5)
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_spectrogram_is_the_sum_of_its_definition(scale: str, power: float) -> None:
    mel = definition(n_fft=64, window=64, hop=16, bands=5, scale=scale, power=power)
    x = torch.randn(1, 1, 160, generator=torch.Generator().manual_seed(0)).double()

    def to_mel(f: float) -> float:
        if scale == "htk":
            return 2595 * math.log10(1 + f / 700)
        return f / (200 / 3) if f < 1000 else 15 + 27 * math.log(f / 1000) / math.log(6.4)

    def to_hz(m: float) -> float:
        if scale == "htk":
            return 700 * (10 ** (m / 2595) - 1)
        return m * 200 / 3 if m < 15 else 1000 * math.exp((m - 15) * math.log(6.4) / 27)

    edges = [to_hz(to_mel(4000) * i / 6) for i in range(7)]
    window = [0.5 - 0.5 * math.cos(2 * math.pi * i / 64) for i in range(64)]
    for frame in (2, 4, 5):
        part = x[0, 0, frame * 16 - 24 : frame * 16 + 40] * torch.tensor(window, dtype=torch.float64)
        magnitudes = torch.fft.rfft(part).abs() ** power
        for band in range(5):
            low, top, high = edges[band : band + 3]
            total = 0.0
            for k in range(33):
                f = k * 125.0
                weight = max(0.0, min((f - low) / (top - low), (high - f) / (high - top)))
                total += weight * float(magnitudes[k]) * (2 / (high - low) if scale == "slaney" else 1)
            assert float(mel(x)[0, band, frame]) == pytest.approx(math.log(max(total, 1e-5)), abs=1e-4)


@given(st.integers(1, 3000), st.integers(0, 2999))
def test_a_frame_stands_for_its_samples(length: int, place: int) -> None:
    mel, place = definition(), min(place, length - 1)
    x = torch.zeros(1, 1, length)
    x[..., place] = 1
    energy = mel(x).exp().sum(1)[0]
    assert energy.shape == (-(-length // 128),)
    if 384 <= place < length - 384:  # no reflection near
        assert int(energy.argmax()) == place // 128


def test_channels_come_one_after_the_other() -> None:
    mel, x = definition(), clips(4)
    both = mel(torch.stack([x[:2, 0], x[2:, 0]], 1))
    assert both.shape == (2, 80, 32)
    torch.testing.assert_close(both, torch.cat([mel(x[:2]), mel(x[2:])], 1))


def test_griffin_lim_is_aligned_in_time_and_near_the_sound() -> None:
    mel, x = definition(), clips(4)
    x = torch.cat([torch.zeros(4, 1, 1024), x[..., :-1024]], -1)
    y = griffin_lim(mel, mel(x), 4000)
    assert y.shape == (4, 1, 4000)
    assert torch.equal(y, griffin_lim(mel, mel(x), 4000))
    x = x[..., :4000]
    noise = x.std() * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    near, far = (float(log_spectral_distance(z, x, 8000).mean()) for z in (y, noise))
    assert near < far / 2
    assert (mel(y) - mel(x)).abs().mean() < 0.4 * (mel(noise) - mel(x)).abs().mean()
    silent = y[..., :500].square().mean() / y.square().mean()
    assert silent < 0.05


@pytest.mark.parametrize(("length", "share"), [(1, 0.8), (2, 0.5), (37, 0.1), (257, 0.1)])
def test_sounds_shorter_than_a_transform_come_back_nearer_than_silence(length: int, share: float) -> None:
    mel, x = definition(), clips(1)[..., 1000 : 1000 + length]
    y = griffin_lim(mel, mel(x), length)
    assert (mel(y) - mel(x)).abs().mean() < share * (mel(0 * x) - mel(x)).abs().mean()


def test_standardised_spectrograms_have_unit_variance_and_are_invertible() -> None:
    mel = definition()
    spectrograms = mel(clips(64))
    scale = Scale.measure(spectrograms, mel.bands)
    standardised = scale.encode(spectrograms)
    assert float(standardised.square().mean().sqrt()) == pytest.approx(1, abs=1e-4)
    assert float(standardised.mean((0, 2)).abs().max()) < 1e-4
    torch.testing.assert_close(scale.decode(standardised), spectrograms)
    twice = torch.cat([spectrograms, spectrograms], 1)
    torch.testing.assert_close(scale.encode(twice), torch.cat([standardised, standardised], 1))
    with pytest.raises(UserError, match="silent or broken"):
        Scale.measure(torch.zeros(4, 40, 8), 40)


def test_a_file_contains_its_definition_and_another_definition_raises(tmp_path: Path) -> None:
    mel, path = definition(), tmp_path / "a.mel.npz"
    spectrogram = mel(clips(1)[..., :4001])[0]
    write_mel(path, mel, spectrogram, 4001)
    values, length = read_mel(path, mel)
    assert length == 4001
    assert torch.equal(values, spectrogram)
    with pytest.raises(UserError, match=r"bands is 40, not 80, floor is 1e-05, not 0\.001\.$"):
        read_mel(path, definition(bands=80, floor=1e-3))
    with pytest.raises(UserError, match=r"shape \(80, 32\) for 4001 samples of 2 channels"):
        read_mel(path, mel, channels=2)
    with pytest.raises(UserError, match="There is no file"):
        read_mel(tmp_path / "b.mel.npz", mel)
    (tmp_path / "c.mel.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez(tmp_path / "d.mel.npz", mel=np.zeros(3))
    np.savez(tmp_path / "e.mel.npz", mel=np.zeros((40, 4)), length=np.arange(3), definition="{}")
    np.savez(tmp_path / "f.mel.npz", mel=np.zeros((40, 4)), length=512, definition="[1]")
    np.save(tmp_path / "g.npy", np.zeros(3))
    (tmp_path / "g.npy").rename(tmp_path / "g.mel.npz")
    for name in ("c", "d", "e", "f", "g"):
        with pytest.raises(UserError, match=r"is not a mel spectrogram file of polydiff"):
            read_mel(tmp_path / f"{name}.mel.npz", mel)
    for values, length in ((spectrogram.bool(), 4001), (spectrogram[:, :0], 0), (spectrogram, -5)):
        write_mel(path, mel, values, length)
        with pytest.raises(UserError, match="must contain finite numbers"):
            read_mel(path, mel)
    write_mel(path, mel, spectrogram * math.nan, 4001)
    with pytest.raises(UserError, match="finite numbers"):
        read_mel(path, mel)
