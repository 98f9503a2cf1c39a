"""The search for the nearest training sound, against the definition of its distance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.contract.likeness import FindsNearest
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio
from polydiff.domains.audio.metrics.nearest import best_matches, distance_at
from polydiff.support.protocols import provides

RATE, LENGTH = 8000, 4096


def tone(seed: int) -> np.ndarray:
    """Return a decaying chord of random tones after a short silence."""
    rng = np.random.default_rng(seed)
    t = np.arange(2048) / RATE
    notes = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(100, 3500, 3)) * np.exp(-t * rng.uniform(5, 20)) / 6
    return np.concatenate([np.zeros(512), notes, np.zeros(LENGTH - 2560)]).astype(np.float32)


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Audio:
    path = tmp_path_factory.mktemp("sounds")
    for seed in range(24):
        soundfile.write(str(path / f"{seed:02d}.wav"), tone(seed), RATE, subtype="FLOAT")
    return Audio(
        AudioConfig(data=AudioData(**{"path": path, "sample_rate": RATE, "length": LENGTH, "test_share": 0.4}))
    )


def test_a_training_sound_finds_itself_also_shifted_and_at_another_level(audio: Audio) -> None:
    assert provides(audio, FindsNearest)
    real = audio.examples("train", 6)
    hop = 128  # a quarter of a window of 64 ms
    for changed, most in (
        (list(real.examples), 0),
        ([x.roll(4 * hop, -1) for x in real.examples], 1e-4),
        ([0.1 * x for x in real.examples], 1e-3),
        ([x.roll(-3 * hop - 40, -1) for x in real.examples], 3),
    ):
        found = audio.nearest(Samples(changed))
        assert all(torch.equal(a, b) for a, b in zip(found.examples.examples, real.examples, strict=True))
        assert max(found.distances) <= most
    assert 2 * max(found.distances) < found.typical


def test_other_sounds_are_about_as_far_as_held_out_ones(audio: Audio) -> None:
    others = [torch.from_numpy(tone(seed))[None] for seed in range(100, 110)]
    found = audio.nearest(Samples(others))
    assert 0.5 < float(np.median(found.distances)) / found.typical < 2
    assert "dB" in found.meaning


def brute_force(a: Tensor, b: Tensor) -> tuple[float, int]:
    """Return the least distance of two spectrograms over all shifts, and the shift."""
    return min((distance_at(a, b, s), s) for s in range(1 - a.shape[1], b.shape[1]))


def test_the_best_shift_is_that_of_all_shifts() -> None:
    generator = torch.Generator().manual_seed(0)
    own, known = (60 * torch.rand(n, 3, t, generator=generator).square() for n, t in ((4, 7), (200, 9)))
    places, shifts = best_matches(own, known)
    for a, place, shift in zip(own, places.tolist(), shifts.tolist(), strict=True):
        each: list[Any] = [(*brute_force(a, b), i) for i, b in enumerate(known)]
        distance, right, number = min(each)
        assert (place, shift) == (number, right)
        assert distance_at(a, known[place], shift) == pytest.approx(distance)


def test_a_distance_is_zero_outside_of_both_and_symmetric(tmp_path: Path) -> None:
    a, b = torch.zeros(2, 4), torch.zeros(2, 4)
    a[:, 0], b[:, 3] = 6.0, 6.0
    assert distance_at(a, b, 3) == 0
    assert distance_at(a, b, 0) == pytest.approx((2 * 2 * 36 / 8) ** 0.5)
    assert distance_at(a, b, 1) == distance_at(b, a, -1)
