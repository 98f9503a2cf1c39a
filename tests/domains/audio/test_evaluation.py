"""What sounds are measured by, compared with and judged by: against closed forms, copies and known damage."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from polydiff.classifier import inception_score
from polydiff.domain import Metric, Samples
from polydiff.domains.audio import judge as module
from polydiff.domains.audio.chunks import each
from polydiff.domains.audio.judge import Judge, Labelled
from polydiff.domains.audio.measure import Measured, rms_decibels
from polydiff.domains.audio.metrics import class_metrics, set_metrics, sound_metrics
from polydiff.domains.audio.pitch import hear
from polydiff.domains.audio.plucks import Plucks
from polydiff.domains.audio.reference import Reference, portraits

RATE, LENGTH = 8000, 2048


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tones(f: Tensor, rate: int = RATE, length: int = LENGTH, channels: int = 1) -> Tensor:
    """Sines of frequencies (B,) at half of full scale."""
    t = torch.arange(length) / rate
    return 0.5 * torch.sin(2 * math.pi * f[:, None] * t)[:, None].expand(-1, channels, -1).clone()


def reference(train: Tensor, test: Tensor, **classes: tuple[Tensor, Tensor]) -> Reference:
    """Compare with training clips and held-out clips; `classes` holds the labels of both."""
    parts = [iter([(x, {k: v[i] for k, v in classes.items()})]) for i, x in enumerate((train, test))]
    return Reference.of(*parts, RATE, {k: int(v[0].max()) + 1 for k, v in classes.items()}, len(test))


@pytest.fixture(scope="module")
def plucks() -> tuple[Tensor, Tensor, Reference]:
    data = Plucks(RATE, LENGTH, 24, {"train": 600, "test": 400})
    train, test = data.clips("train", range(600))[0], data.clips("test", range(400))[0]
    return train, test, reference(train, test)


@given(st.floats(200, 3500), st.floats(-0.3, 0.3), st.integers(1, 2))
def test_levels_of_a_tone_are_known(f: float, shift: float, channels: int) -> None:
    f = round(f * LENGTH / RATE) * RATE / LENGTH  # whole periods, so that it does not leak
    measured = Measured.of(tones(torch.tensor([f], dtype=torch.float64), channels=channels) + shift, RATE)
    assert float(measured.level) == pytest.approx(10 * math.log10(1 / 8 + shift**2), abs=1e-4)
    assert float(measured.offset) == pytest.approx(100 * abs(shift), abs=1e-3)  # in %, of float32 tones
    assert float(measured.centroid) == pytest.approx(f, rel=1e-6)
    assert float(measured.peak) == pytest.approx(0.5 + abs(shift), abs=0.01)


def test_clips_of_different_lengths_keep_their_order() -> None:
    sounds = [torch.full((1, n), float(i)) for i, n in enumerate([5, 900, 5, 7, 900, 1])]
    assert each(lambda x: x.mean((1, 2)), sounds).tolist() == [0, 1, 2, 3, 4, 5]
    many = list(torch.arange(700.0)[:, None, None].expand(-1, 1, 3))
    assert torch.equal(each(lambda x: x[:, 0, 0], many), torch.arange(700.0))


def test_long_clips_are_measured_few_at_a_time() -> None:
    sizes: list[int] = []
    each(lambda x: (sizes.append(len(x)), x[:, 0, 0])[1], [torch.zeros(2, 3_000_000)] * 3 + [torch.zeros(2, 9)] * 300)
    assert sizes == [1, 1, 1, 256, 44]


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (48000, 1), (16000, 3)])
def test_any_rate_channels_and_lengths_are_judged(rate: int, channels: int) -> None:
    lengths = [1, 2, 300, 5000, 70_000]
    sounds = [0.1 * torch.randn(channels, n, generator=generator(n)) for n in lengths]
    measured = Measured.of(sounds, rate)
    for i, sound in enumerate(sounds):  # a clip's numbers depend on no other clip
        torch.testing.assert_close(measured.features[i], Measured.of([sound], rate).features[0])
    levels = torch.stack([10 * sound.square().mean().log10() for sound in sounds])
    torch.testing.assert_close(measured.level, levels.to(measured.level))
    assert torch.equal(hear(sounds, rate).frequency, torch.cat([hear([x], rate).frequency for x in sounds]))
    known = replace(reference(tones(torch.rand(4) * 1000 + 200), tones(torch.rand(4) * 1000 + 200)), sample_rate=rate)
    judged = set_metrics(Samples([sounds[2], *sounds[2:]]), known)
    assert judged["log_mel_fd"].value > 0


def values(metrics: dict[str, Metric]) -> dict[str, float]:
    return {name: metric.value for name, metric in metrics.items()}


def test_shifts_of_level_and_offset_are_measured_and_shares_are_shares() -> None:
    train = 0.1 * torch.randn(300, 1, LENGTH, generator=generator())
    known = reference(train, train)
    louder = values(sound_metrics(Measured.of(2 * train, RATE), known))
    assert louder["level_error"] == pytest.approx(20 * math.log10(2), rel=1e-3)
    assert (louder["silent"], louder["clipped"]) == (0, 0)
    shifted = train - train.mean(2, keepdim=True)
    moved = values(sound_metrics(Measured.of(shifted + 0.25, RATE), reference(shifted, shifted)))
    assert moved["offset_error"] == pytest.approx(25, rel=1e-3)
    assert moved["centroid_error"] == pytest.approx(0, abs=1e-2)  # the constant part has no place in a spectrum
    half = torch.cat([1e-6 * train[:150], 100 * train[:150]])
    judged = values(sound_metrics(Measured.of(half, RATE), known))
    assert (judged["silent"], judged["clipped"]) == (0.5, 0.5)
    assert float(rms_decibels(torch.ones(1, 1, 100))) == pytest.approx(0)


def test_a_spectrum_that_moves_up_is_measured_in_hertz() -> None:
    f = torch.linspace(300, 1000, 200)
    known = reference(tones(f), tones(f))
    judged = values(sound_metrics(Measured.of(tones(f + 500), RATE), known))
    assert judged["centroid_error"] == pytest.approx(500, rel=0.01)


def test_real_clips_are_no_copies_and_training_clips_are(plucks: tuple[Tensor, Tensor, Reference]) -> None:
    train, test, known = plucks

    def copies(sounds: Tensor) -> float:
        return sound_metrics(Measured.of(sounds, RATE), known)["copies"].value

    assert copies(test) == pytest.approx(0.01, abs=0.003)
    assert copies(train[:100]) == 1
    assert copies(train[:100] + 1e-3 * torch.randn(100, 1, LENGTH, generator=generator())) > 0.95  # at 40 dB or so
    assert copies(torch.cat([train[:60], test[:140]])) == pytest.approx(0.3, abs=0.02)
    few = sound_metrics(Measured.of(train, RATE), reference(train, test[:50]))["copies"]
    assert math.isnan(few.value)
    assert few.meaning.endswith("Not measured: it takes 100 held-out clips.")


def test_the_distance_is_of_no_more_samples_than_there_are_held_out_clips(plucks: Any) -> None:
    _, test, known = plucks
    fewer = replace(known, n=100)
    all_of, first = (sound_metrics(Measured.of(x, RATE), fewer)["log_mel_fd"] for x in (test, test[:100]))
    assert all_of == first
    assert "of 100 clips to 600 of training" in all_of.meaning
    assert known.digest in all_of.meaning
    assert sound_metrics(Measured.of(test, RATE), known)["log_mel_fd"].value < 0.6 * all_of.value  # about as 1/n


def test_the_digest_is_that_of_the_reference(plucks: Any) -> None:
    train, test, known = plucks
    assert reference(train, test[:10]).digest == known.digest
    other = train.clone()
    other[5, 0, 100] += 0.01
    assert reference(other, test[:10]).digest != known.digest


def test_silence_and_broken_numbers_have_values_or_none(plucks: Any) -> None:
    _, test, known = plucks
    silent = values(set_metrics(Samples(list(0 * test[:20])), known))
    assert silent["silent"] == 1
    assert math.isnan(silent["centroid_error"])
    assert math.isfinite(silent["log_mel_fd"])
    for wrong in (math.nan, math.inf):
        broken = test[:20].clone()
        broken[3, 0, 7] = wrong
        judged = values(set_metrics(Samples(list(broken)), known))
        assert judged["clipped"] == 0.05
        assert math.isnan(judged["log_mel_fd"])
        assert math.isnan(judged["copies"])
        assert not bool(hear(broken, RATE).voiced[3])


# A judge of four bands of frequency


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
