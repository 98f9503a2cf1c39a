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
    """Return tones in noise, each in one of four thirds of an octave, and their labels."""
    g = generator(seed)
    labels = torch.randint(4, (n,), generator=g)
    f = 250 * 2 ** (labels + 0.3 * torch.rand(n, generator=g))
    return tones(f) * torch.rand(n, 1, 1, generator=g) + 0.01 * torch.randn(n, 1, LENGTH, generator=g), labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Judge, Path]:
    """Return a trained classifier, with its own cache folder."""
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


def test_a_classifier_recognises_its_classes(judge: Judge) -> None:
    assert judge.accuracy > 0.95
    sounds, labels = classes_of_tones(240, 7)
    metrics = partial(class_metrics, "tone", portraits(sounds, RATE), judge=judge)
    judged = values(metrics(labels))
    assert list(judged) == ["tone_agrees", "tone_local_is", "tone_local_mis", "tone_local_am"]
    assert judged["tone_agrees"] > 0.95
    assert 3 < judged["tone_local_is"] <= 4
    assert values(metrics((labels + 1) % 4))["tone_agrees"] < 0.05
    assert values(metrics(torch.where(labels == 0, 0, -1)))["tone_agrees"] > 0.9  # the others are unconditional
    assert math.isnan(values(metrics(None))["tone_agrees"])
    alone = values(class_metrics("tone", portraits(sounds[labels == 2], RATE), None, judge))
    assert alone["tone_local_is"] < 1.2
    assert alone["tone_local_am"] > judged["tone_local_am"] + 0.8
    assert f"{100 * judge.accuracy:.1f} % accuracy" in metrics(labels)["tone_agrees"].meaning


def test_a_classifier_without_held_out_labels_has_no_accuracy(judge: Judge) -> None:
    sounds, labels = classes_of_tones(8, 1)
    test = Labelled(portraits(sounds, RATE), torch.full((8,), -1))
    unsure = Judge(judge.network, Labelled(test.spectrograms, labels), test)
    assert "right on" not in class_metrics("tone", test.spectrograms, labels, unsure)["tone_agrees"].meaning


def test_a_broken_sound_agrees_with_no_class(judge: Judge) -> None:
    sounds, labels = classes_of_tones(40, 8)
    sounds[:20] = math.nan
    judged = values(class_metrics("tone", portraits(sounds, RATE), labels, judge))
    assert judged["tone_agrees"] <= 0.5
    assert math.isnan(judged["tone_local_is"])


def test_a_classifier_is_reproducible_and_needs_two_classes(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = (Labelled(portraits(x, RATE), labels) for x, labels in map(classes_of_tones, (300, 200), (300, 200)))
    monkeypatch.setattr(module, "batch", lambda train, step: pytest.fail("trained again"))
    again = Judge.of(train, test, 4)
    assert again is not None
    assert torch.equal(again.known, judge.known)
    assert Judge.of(Labelled(train.spectrograms, torch.zeros_like(train.labels)), test, 4) is None
    assert Judge.of(Labelled(train.spectrograms, torch.full_like(train.labels, -1)), test, 4) is None


def test_clips_without_a_label_are_not_used_in_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
