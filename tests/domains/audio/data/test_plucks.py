"""The synthesiser: its formula, its pitch, and that a clip depends only on (seed, split, index)."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from polydiff.core.streams import streams
from polydiff.domains.audio.data.notes import note_name
from polydiff.domains.audio.data.plucks import (
    BAND,
    LOWEST,
    MODES,
    Plucks,
    Strings,
    draw_strings,
    synthesise,
)


def plucks(rate: int = 16000, length: int = 16384, seed: int = 0) -> Plucks:
    return Plucks(rate, length, 24, {"train": 1000, "test": 100}, seed)


def strongest(x: Tensor, rate: int, low: float, high: float) -> float:
    """Return the frequency of the highest peak of a windowed spectrum between two frequencies."""
    spectrum = torch.fft.rfft(x.double() * torch.hann_window(len(x), dtype=torch.float64), 8 * len(x)).abs()
    f = torch.fft.rfftfreq(8 * len(x), 1 / rate)
    return float(f[(spectrum * ((f > low) & (f < high))).argmax()])


def test_the_lowest_partial_is_the_note_of_the_class() -> None:
    sounds, _ = plucks().clips("train", range(48))
    for x, label in zip(sounds[:, 0], plucks().labels(range(48)).tolist(), strict=True):
        f_0 = 440 * 2 ** ((LOWEST + label - 69) / 12)
        cents = 1200 * math.log2(strongest(x, 16000, 0, 1.5 * f_0) / f_0)
        assert abs(cents) < 15  # detuned by N(0, 3 cents), and the spectrum resolves about 2


def direct_sum(s: Strings, i: int, rate: int, length: int) -> Tensor:
    """Compute the formula of the module's docstring for each mode and sample."""
    t = torch.arange(length, dtype=torch.float64) / rate - (s.onset[i] * rate).round() / rate
    x = torch.zeros(length, dtype=torch.float64)
    for k in range(1, MODES + 1):
        f = k * s.f_0[i] * (1 + s.stiffness[i] * k**2) ** 0.5
        if f <= BAND * rate:
            a = abs(math.sin(math.pi * k * s.place[i])) * k ** -s.tilt[i] * 10 ** (s.level[i, k - 1] / 20)
            x += a * torch.exp(-t * k ** s.damping[i] / s.decay[i]) * torch.cos(2 * math.pi * f * t + s.phase[i, k - 1])
    x *= (t / 0.002).clamp(0, 1)
    return x * s.peak[i] / x.abs().max()


@pytest.mark.parametrize(("rate", "length"), [(8000, 4096), (16000, 5000)])
def test_the_factorised_synthesis_is_the_formula(rate: int, length: int) -> None:
    strings = draw_strings(torch.tensor([0, 9, 23]), streams(1, "strings", range(3)))
    fast = synthesise(strings, rate, length)
    for i in range(3):
        torch.testing.assert_close(fast[i].double(), direct_sum(strings, i, rate, length), atol=2e-6, rtol=0)


def test_a_clip_depends_only_on_seed_split_and_index() -> None:
    data = plucks(8000, 4096)
    together, _ = data.clips("train", [3, 17, 4])
    alone, _ = data.clips("train", [17])
    assert torch.equal(together[1], alone[0])
    for other in (data.clips("train", [41]), data.clips("test", [17]), plucks(8000, 4096, seed=1).clips("train", [17])):
        assert other[1] == [{"pitch": "F4"}]
        assert not torch.allclose(other[0], alone, atol=1e-3)


def test_clips_stay_within_full_scale_and_start_in_silence() -> None:
    sounds, values = plucks(8000, 4096).clips("train", range(240))
    peak = sounds.abs().amax((1, 2))
    assert bool((peak <= 0.9001).all() and (peak >= 0.9 * 10 ** (-12 / 20) - 1e-4).all())
    assert bool((sounds[:, 0, 0] == 0).all())
    assert Counter(row["pitch"] for row in values) == dict.fromkeys(plucks().names, 10)
    for n in (1, 25, 240, 250):
        (field,) = Plucks(8000, 4096, 24, {"train": n}).fields.values()
        assert field.counts == tuple(plucks().labels(range(n)).bincount(minlength=24).tolist())  # type: ignore[attr-defined]


def test_notes_have_their_names() -> None:
    assert plucks().names[0] == "C3"
    assert note_name(60) == "C4"
    assert note_name(69) == "A4"
    assert len(set(plucks().names)) == 24


def test_stereo_pans_the_mono_clip() -> None:
    """Both channels are the mono clip: the louder one unchanged, the other up to 11.4 dB softer."""
    mono, _ = plucks(8000, 4096).clips("train", range(64))
    stereo, _ = Plucks(8000, 4096, 24, {"train": 1000}, channels=2).clips("train", range(64))
    gains = (stereo * mono).sum(2) / (mono * mono).sum(2)
    torch.testing.assert_close(stereo, gains[..., None] * mono)
    torch.testing.assert_close(gains.amax(1), torch.ones(64))
    softest = math.tan(math.pi / 12)
    assert softest < gains.amin() < 0.4
    assert 16 < (gains[:, 0] < 1).sum() < 48
