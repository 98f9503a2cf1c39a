"""Tests of `polydiff.domains.audio.measurements`."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import soundfile
import torch
from scipy.fft import dct
from torch.testing import assert_close

from polydiff.core.space import Batch, Euclidean, Measurement
from polydiff.core.streams import streams
from polydiff.domains.audio.codec import KNOTS, Standardise
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.measurements import cosines, examples_for, from_cosines, measurement, read_measured
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_measurement

RATE = 1000
CODECS = {"plain": Standardise(0.1), "whitened": Standardise(0.1, tuple(torch.linspace(0, 30, KNOTS).tolist()))}


def sounds(length: int = 300, channels: int = 2) -> Batch:
    space = Euclidean(2, (channels, length))
    return Batch(space.noise(streams(0, "x", range(2))), space)


def measured(text: str, codec: str = "plain", length: int = 300, channels: int = 2) -> tuple[Batch, Measurement]:
    batch = sounds(length, channels)
    return batch, measurement(text, batch, CODECS[codec], RATE)


@pytest.mark.parametrize("length", [300, 301])
@pytest.mark.parametrize("codec", list(CODECS))
@pytest.mark.parametrize("text", ["low=100", "low=500", "low=1.7", "mean=4", "mono", "gap=0.1:0.2", "gap=0.2:"])
def test_every_measurement_is_linear_and_fits_its_adjoint(text: str, codec: str, length: int) -> None:
    batch, operator = measured(text, codec, length)
    check_measurement(operator, batch, text)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_examples_suit_every_model(channels: int) -> None:
    data = AudioData(sample_rate=RATE, length=300, channels=channels)
    for text in examples_for(data):
        batch, operator = measured(text, channels=channels)
        check_measurement(operator, batch, text)


@pytest.mark.parametrize("length", [1, 2, 7, 300])
def test_the_cosine_transform_is_the_orthonormal_one_and_has_an_inverse(length: int) -> None:
    x = torch.randn(2, 3, length, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = cosines(x)
    assert_close(y, torch.from_numpy(dct(x.numpy(), norm="ortho")))
    assert_close(from_cosines(y), x)


@pytest.mark.parametrize("codec", list(CODECS))
def test_low_keeps_low_frequencies_of_the_sound_alone(codec: str) -> None:
    time = (torch.arange(300) + 0.5) / RATE
    below, above = ((2 * math.pi * f * time).cos()[None, None].expand(1, 2, -1) for f in (50.0, 250.0))
    batch = Batch(CODECS[codec].encode(below + above), Euclidean(1, (2, 300)))
    operator = measurement("low=100", batch, CODECS[codec], RATE)
    estimate = CODECS[codec].decode(operator.estimate(operator.forward(batch.x)))
    assert_close(estimate, below, rtol=0, atol=1e-4)


@pytest.mark.parametrize("codec", list(CODECS))
def test_simple_estimates_are_sounds_that_agree_with_the_measurement(codec: str) -> None:
    for text in ("low=100", "mono", "gap=0.1:0.2"):
        batch, operator = measured(text, codec)
        y = operator.forward(batch.x)
        assert_close(operator.forward(operator.estimate(y)), y, rtol=1e-3, atol=1e-3)


def test_noise_is_stated_in_shares_of_full_scale() -> None:
    batch, operator = measured("gap=0.1:0.2")
    louder = CODECS["plain"].encode(CODECS["plain"].decode(batch.x) + 1)
    assert_close(operator.forward(louder) - operator.forward(batch.x), torch.full((2, 2, 200), operator.unit))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lwo=200", "Did you mean 'low'?"),
        ("low=501", "to 500"),
        ("low=0", "from 1.667 to 500"),
        ("mean=301", "a whole number from 2 to 300"),
        ("mono=1", "takes no value"),
        ("gap=0.2", "is not a part of a sound"),
        ("gap=0.1:9", "lies outside the sound"),
        ("gap=0:0.3", "nothing would be left to measure"),
    ],
)
def test_what_cannot_be_measured_is_an_error(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        measured(text)
    assert sentence in str(caught.value)


def test_sounds_of_one_channel_are_not_mixed() -> None:
    with pytest.raises(UserError, match="have one"):
        measured("mono", channels=1)


@pytest.mark.parametrize("length", [300, 302])
@pytest.mark.parametrize("codec", list(CODECS))
@pytest.mark.parametrize("text", ["low=100", "mean=4", "mono", "gap=0.1:0.2"])
def test_a_measurement_that_was_saved_is_read_as_what_was_measured(
    tmp_path: Path, text: str, codec: str, length: int
) -> None:
    batch, operator = measured(text, codec, length)
    y = operator.forward(batch.x)
    simple = CODECS[codec].decode(operator.estimate(y))  # which has this measurement
    sounds = y * CODECS[codec].std if text.startswith(("mean", "mono")) else simple
    paths = [tmp_path / f"{i}.wav" for i in range(2)]
    for path, sound in zip(paths, sounds, strict=True):
        soundfile.write(path, sound.T.numpy(), RATE // 4 if "mean" in text else RATE, subtype="FLOAT")
    data = AudioData(sample_rate=RATE, length=length, channels=2)
    blank, read = read_measured(text, paths, CODECS[codec], data)
    assert blank.space == batch.space
    assert not blank.x.any()
    assert_close(read, y, rtol=1e-4, atol=1e-4)


def test_a_sound_that_is_not_of_the_measured_form_is_an_error(tmp_path: Path) -> None:
    data, path = AudioData(sample_rate=RATE, length=300, channels=2), tmp_path / "whole.wav"
    soundfile.write(path, 0.1 * torch.randn(300, 2, generator=torch.Generator().manual_seed(0)).numpy(), RATE)
    for text, message in (
        ("mean=4", "sample rate of 1000 Hz, but mean=4 of the model's sounds has 250 Hz"),
        ("mono", "has 2 channels"),
    ):
        with pytest.raises(UserError, match=message):
            read_measured(text, [path], CODECS["plain"], data)


def test_reduced_sounds_of_other_lengths_are_of_whole_blocks(tmp_path: Path) -> None:
    data, path = AudioData(sample_rate=RATE, length=302, channels=1), tmp_path / "reduced.wav"
    for blocks, length in ((76, 302), (75, 300), (80, 320)):
        soundfile.write(path, 0.1 * torch.ones(blocks).numpy(), RATE // 4, subtype="FLOAT")
        blank, y = read_measured("mean=4", [path], CODECS["plain"], data)
        assert (blank.x.shape, y.shape) == ((1, 1, length), (1, 1, blocks))
