"""Tests of `polydiff.domains.audio.metrics.judge`."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from audio_evaluation_cases import LENGTH, RATE, generator, reference, tones, values
from torch import Tensor

from polydiff.domains.audio.metrics import judge as module
from polydiff.domains.audio.metrics.judge import Judge, Labelled
from polydiff.domains.audio.metrics.reference import portraits
from polydiff.domains.audio.metrics.sample_set import class_metrics
from polydiff.metrics.classifier import inception_score


def classes_of_tones(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Tones in noise, one of four thirds of an octave each."""
    g = generator(seed)
    labels = torch.randint(4, (n,), generator=g)
    f = 250 * 2 ** (labels + 0.3 * torch.rand(n, generator=g))
    return tones(f) * torch.rand(n, 1, 1, generator=g) + 0.01 * torch.randn(n, 1, LENGTH, generator=g), labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Judge, Path]:
    """A judge and the cache that it lies in."""
    cache = tmp_path_factory.mktemp("cache")
    (train, labels), (test, test_labels) = classes_of_tones(300, 300), classes_of_tones(200, 200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYDIFF_CACHE", str(cache))
        patch.setattr(module, "STEPS", 40)
        return reference(train, test, tone=(labels, test_labels)).judges["tone"], cache


@pytest.fixture
def judge(trained: tuple[Judge, Path], monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.setenv("POLYDIFF_CACHE", str(trained[1]))
    monkeypatch.setattr(module, "STEPS", 40)
    return trained[0]


def test_a_judge_hears_the_classes_it_learnt(judge: Judge) -> None:
    assert judge.accuracy > 0.95
    sounds, labels = classes_of_tones(240, 7)
    hearing = partial(class_metrics, "tone", portraits(sounds, RATE), judge=judge)
    judged = values(hearing(labels))
    assert list(judged) == ["tone_agrees", "tone_local_is", "tone_local_mis", "tone_local_am"]
    assert judged["tone_agrees"] > 0.95
    assert 3 < judged["tone_local_is"] <= 4
    assert values(hearing((labels + 1) % 4))["tone_agrees"] < 0.05
    assert values(hearing(torch.where(labels == 0, 0, -1)))["tone_agrees"] > 0.9  # of the others nothing was asked
    assert math.isnan(values(hearing(None))["tone_agrees"])
    alone = values(class_metrics("tone", portraits(sounds[labels == 2], RATE), None, judge))
    assert alone["tone_local_is"] < 1.2
    assert alone["tone_local_am"] > judged["tone_local_am"] + 0.8
    assert f"right on {100 * judge.accuracy:.1f} %" in hearing(labels)["tone_agrees"].meaning


def test_a_judge_without_held_out_labels_claims_no_accuracy(judge: Judge) -> None:
    sounds, labels = classes_of_tones(8, 1)
    test = Labelled(portraits(sounds, RATE), torch.full((8,), -1))
    unsure = Judge(judge.network, Labelled(test.spectrograms, labels), test)
    assert "right on" not in class_metrics("tone", test.spectrograms, labels, unsure)["tone_agrees"].meaning


def test_a_broken_sound_is_not_heard_as_anything(judge: Judge) -> None:
    sounds, labels = classes_of_tones(40, 8)
    sounds[:20] = math.nan
    judged = values(class_metrics("tone", portraits(sounds, RATE), labels, judge))
    assert judged["tone_agrees"] <= 0.5
    assert math.isnan(judged["tone_local_is"])


def test_a_judge_is_the_same_again_and_needs_two_classes(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = (Labelled(portraits(x, RATE), labels) for x, labels in map(classes_of_tones, (300, 200), (300, 200)))
    monkeypatch.setattr(module, "batch", lambda train, step: pytest.fail("trained again"))
    again = Judge.of(train, test, 4)
    assert again is not None
    assert torch.equal(again.known, judge.known)
    assert Judge.of(Labelled(train.spectrograms, torch.zeros_like(train.labels)), test, 4) is None
    assert Judge.of(Labelled(train.spectrograms, torch.full_like(train.labels, -1)), test, 4) is None


def test_clips_without_a_class_teach_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "STEPS", 4)
    (sounds, labels), test = classes_of_tones(100, 1), Labelled(*classes_of_tones(20, 2))
    held_out = Labelled(portraits(test.spectrograms, RATE), test.labels)
    half = torch.where(torch.arange(100) < 50, labels, -1)
    first = Judge.of(Labelled(portraits(sounds, RATE), half), held_out, 4)
    second = Judge.of(Labelled(portraits(sounds[:50], RATE), labels[:50]), held_out, 4)
    assert first is not None
    assert second is not None
    assert torch.equal(first.known, second.known)
    assert inception_score(first.known) == inception_score(second.known)
