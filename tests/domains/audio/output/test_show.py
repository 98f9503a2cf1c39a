"""Tests of `polydiff.domains.audio.output.show`."""

from __future__ import annotations

import base64
import io
import math
import re

import numpy as np
import pytest
import soundfile
import torch
from domain_cases import noise
from matplotlib import image
from PIL import Image

from polydiff.contract.domain import Samples
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio
from polydiff.domains.audio.output.show import BYTES, HEIGHT, STRIPE, WIDTH, as_png, waveform


def test_the_fragment_is_complete_small_and_playable(audio: Audio) -> None:
    samples = audio.examples("test", 20)
    fragment = audio.show(samples)
    assert len(fragment) <= BYTES
    assert fragment.count("<audio") == fragment.count("<img") == 16
    assert "http" not in fragment
    assert set(re.findall(r'src="(\w+:\w+/\w+)', fragment)) == {"data:image/png", "data:audio/wav"}
    player = re.search(r"data:audio/wav;base64,([^\"]+)", fragment)
    assert player is not None
    x, rate = soundfile.read(io.BytesIO(base64.b64decode(player[1])), dtype="float32")
    assert rate == 8000
    torch.testing.assert_close(torch.from_numpy(x), samples.examples[0][0], atol=2e-4, rtol=0)
    assert samples.cond is not None
    note = audio.describe(samples.cond)[0]["pitch"]
    assert f"requested {note}, detected {note}" in fragment
    assert "no pitch" in audio.show(noise(audio, 2))


def test_long_sounds_are_fewer_and_empty_sets_are_shown_too(audio: Audio) -> None:
    long = Audio(AudioConfig(data=AudioData(length=65536)), audio.statistics)
    assert long.show(long.examples("test", 8)).count("<audio") == 2
    assert "<audio" not in audio.show(Samples([], {"pitch": torch.zeros(0, dtype=torch.long)}))


def test_broken_samples_are_shown_and_evaluated(audio: Audio) -> None:
    broken = Samples([torch.full((1, 4096), v) for v in (0.0, 5.0, float("nan"), float("inf"))], None)
    assert audio.show(broken).count("<audio") == 4
    judged = audio.evaluate(broken)
    assert judged["clipped"].value == 0.75
    assert list(judged) == list(audio.evaluate(audio.examples("test", 4)))
    assert judged["voiced"].value == 0
    assert math.isnan(judged["log_mel_fd"].value)


@pytest.mark.parametrize("colours", [5, 5000])
def test_pictures_of_few_and_of_many_colours_keep_their_pixels(colours: int) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (colours, 3)).astype(np.uint8)
    pixels = palette[np.arange(64 * 96).reshape(64, 96) % colours]
    picture = Image.open(io.BytesIO(as_png(pixels)))
    assert picture.mode == ("P" if colours < 256 else "RGB")
    assert np.array_equal(np.asarray(picture.convert("RGB")), pixels)


@pytest.mark.parametrize("length", [1, 5, WIDTH, 1000])
def test_each_column_of_the_waveform_spans_its_samples(length: int) -> None:
    x = torch.linspace(-1.5, 0.9, length).sin()
    drawn, height = waveform(x) > 0, np.linspace(1, -1, HEIGHT)
    for i, column in enumerate(drawn.T):
        first = i * length // WIDTH
        part = x[first : max((i + 1) * length // WIDTH, first + 1)]
        expected = (height <= float(part.max()) + 1 / (HEIGHT - 1)) & (height >= float(part.min()) - 1 / (HEIGHT - 1))
        assert np.array_equal(column, expected), i


def test_weights_are_a_stripe_below_the_picture_bright_at_their_times(audio: Audio) -> None:
    samples = audio.examples("test", 2)
    fragment = audio.show_weights(samples, torch.tensor([[0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]), ["a", "<b>"])
    assert fragment.count("<img") == 2
    assert "&lt;b&gt;" in fragment
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', fragment)
    for data, bright in zip(found, ((3,), (0, 1)), strict=True):
        stripe = image.imread(io.BytesIO(base64.b64decode(data)))[-STRIPE:, :, :3].mean((0, 2))
        parts = stripe.reshape(4, -1).mean(1)
        assert [bool(part > 0.5) for part in parts] == [i in bright for i in range(4)]
