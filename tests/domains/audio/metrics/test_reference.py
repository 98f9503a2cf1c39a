"""Tests of `polydiff.domains.audio.metrics.reference`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from audio_evaluation_cases import LENGTH, RATE, generator, reference
from torch import Tensor

from polydiff.domains.audio.metrics.clip_features import Measured
from polydiff.domains.audio.metrics.reference import Reference
from polydiff.domains.audio.metrics.sample_set import sound_metrics


def test_training_clips_are_copies_and_held_out_clips_are_not(plucks: tuple[Tensor, Tensor, Reference]) -> None:
    train, test, known = plucks

    def copies(sounds: Tensor) -> float:
        return sound_metrics(Measured.of(sounds, RATE), known)["copies"].value

    assert copies(test) == pytest.approx(0.01, abs=0.003)
    assert copies(train[:100]) == 1
    assert copies(train[:100] + 1e-3 * torch.randn(100, 1, LENGTH, generator=generator())) > 0.95  # at 40 dB or so
    assert copies(torch.cat([train[:60], test[:140]])) == pytest.approx(0.3, abs=0.02)
    few = sound_metrics(Measured.of(train, RATE), reference(train, test[:50]))["copies"]
    assert math.isnan(few.value)
    assert few.reason == "it needs 100 held-out clips, there are 50"


def test_the_distance_is_the_mean_over_sets_of_as_many_samples_as_held_out_clips(plucks: Any) -> None:
    _, test, known = plucks
    fewer, parts = replace(known, n=100), test[: len(test) // 100 * 100].split(100)
    all_of, *each = (sound_metrics(Measured.of(x, RATE), fewer)["log_mel_fd"] for x in (test, *parts))
    assert len(each) > 1
    assert all_of.value == pytest.approx(sum(one.value for one in each) / len(each))
    assert math.isnan(each[0].error)
    assert 0 < all_of.error < all_of.value
    assert "of 100 clips to 600 of training" in all_of.meaning
    assert known.digest in all_of.meaning
    assert sound_metrics(Measured.of(test, RATE), known)["log_mel_fd"].value < 0.6 * all_of.value  # about as 1/n


def test_one_clip_that_is_not_finite_leaves_no_distance_and_says_so(plucks: Any) -> None:
    _, test, known = plucks
    sounds = test.clone()
    sounds[-1, 0, 3] = math.nan
    found = sound_metrics(Measured.of(sounds, RATE), replace(known, n=100))["log_mel_fd"]
    assert math.isnan(found.value)
    assert found.reason == f"1 of {len(test)} clips have features that are not finite"


def test_the_digest_is_that_of_the_reference(plucks: Any) -> None:
    train, test, known = plucks
    assert reference(train, test[:10]).digest == known.digest
    other = train.clone()
    other[5, 0, 100] += 0.01
    assert reference(other, test[:10]).digest != known.digest
