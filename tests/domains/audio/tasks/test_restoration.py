"""Upsampling and vocoding: conditions of sounds and files, and the space of states."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from torch.testing import assert_close

from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Samples
from polydiff.core.streams import streams
from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio
from polydiff.domains.audio.tasks.low_rate import envelope, within
from polydiff.domains.audio.tasks.mel import write_mel
from polydiff.domains.audio.tasks.restoration import Missing, Upsample, Vocode
from polydiff.support.errors import UserError

DATA = AudioData(sample_rate=8000, length=2048, n_train=64, n_test=16)


@pytest.fixture(scope="module")
def upsampler() -> Audio:
    return Audio(AudioConfig(task="upsample", data=DATA))


@pytest.fixture(scope="module")
def vocoder() -> Audio:
    return Audio(AudioConfig(task="vocode", data=DATA))


def write(path: Path, sound: Tensor, rate: int) -> Path:
    soundfile.write(str(path), sound.T.numpy(), rate, subtype="FLOAT")
    return path


def task(audio: Audio) -> Upsample:
    assert isinstance(audio.task, Upsample)
    return audio.task


def test_the_state_is_the_missing_part_at_an_even_level(upsampler: Audio) -> None:
    x, space, cond = upsampler.batch("test", range(16), streams(0, "augment", range(16)))
    assert isinstance(space, Missing)
    assert cond is not None
    sounds, _ = upsampler.clips.source.clips("test", range(16))
    assert_close(torch.stack(upsampler.decode(x, space)), sounds, rtol=0, atol=1e-6)
    assert 0.3 < float(x.square().mean((1, 2)).sqrt().median()) < 3
    assert_close(torch.stack(upsampler.decode(0 * x, space)), upsampler.codec.decode(cond["low"][:, :1]))
    upper = cond["low"][:, 1:]
    assert 0.3 < float(upper.square().mean((1, 2)).sqrt().median()) < 3
    alone = upsampler.batch("test", range(5, 7), streams(0, "augment", range(5, 7)))
    assert_close(alone.x, x[5:7])
    other = upsampler.batch("test", range(16), streams(1, "augment", range(16))).cond
    assert other is not None
    assert (other["low"] - cond["low"]).abs().amax((1, 2)).min() > 1e-4  # another filter each


def test_the_unit_of_a_likelihood_includes_the_gain(upsampler: Audio) -> None:
    x, space, _ = upsampler.batch("test", range(3), streams(0, "augment", range(3)))
    assert isinstance(space, Missing)
    log_scale = upsampler.units(x, space).log_scale - 2048 * math.log(upsampler.codec.std)
    few = Missing(3, (1, 64), origin=space.origin[..., :64], gain=space.gain[..., :64], filter=space.filter)
    columns = [few.decode(unit.expand(3, 1, 64)) - few.origin for unit in torch.eye(64)[:, None]]
    volume = torch.linalg.slogdet(torch.stack(columns, -1)[:, 0].double()).logabsdet
    assert_close(few.log_volume.double(), volume, rtol=1e-3, atol=1e-1)
    assert_close(log_scale, space.log_volume)


def test_the_result_keeps_the_band_of_the_recording(upsampler: Audio) -> None:
    truth, space, cond = upsampler.batch("test", range(4), streams(0, "augment", range(4)))
    assert isinstance(space, Missing)
    assert cond is not None
    made = space.decode(task(upsampler).finish(truth + torch.randn(truth.shape), {"low": cond["low"]}))
    kept = within(made - space.origin, 8000, 0, 1400)[..., 300:-300]
    free = within(made - space.origin, 8000, 2000, 4000)[..., 300:-300]
    assert float(kept.norm()) < 0.02 * float(free.norm())


def test_an_envelope_is_the_level_of_a_tone_and_of_a_step() -> None:
    t = torch.arange(4000) / 8000
    tone = torch.sin(2 * math.pi * 1000 * t)[None, None]
    assert_close(envelope(3 * tone, 64)[..., 100:-100], torch.full((1, 1, 3800), 3 / math.sqrt(2)), rtol=1e-3, atol=0)
    step = torch.cat([torch.zeros(1, 1, 2000), torch.ones(1, 1, 2000)], -1)
    assert_close(envelope(step, 64).square()[0, 0, 2000 - 33 : 2001 + 33].flip(0)[:1], torch.ones(1))
    assert float(envelope(step, 64)[..., :1960].max()) == 0


def test_a_recording_at_the_low_rate_is_read_and_another_rate_raises(upsampler: Audio, tmp_path: Path) -> None:
    sounds, _ = upsampler.clips.source.clips("test", range(2))
    full = [write(tmp_path / f"{i}.wav", sound, 8000) for i, sound in enumerate(sounds)]
    low = [write(tmp_path / f"low{i}.wav", sound[:, ::2][:, : 700 + 100 * i], 4000) for i, sound in enumerate(sounds)]
    x, space, cond = upsampler.read_degraded(low[:1])
    assert x.shape == (1, 1, 1400)
    assert cond is not None
    assert cond["pitch"].tolist() == [-1]
    restored = torch.stack(upsampler.decode(x, space))
    assert_close(restored[..., ::2], sounds[:1, :, ::2][..., :700], rtol=0, atol=1e-5)
    degraded = upsampler.read_degraded(full, degrade=True)
    assert degraded.x.shape == (2, 1, 2048)
    baseline = torch.stack(upsampler.decode(degraded.x, degraded.space))
    assert float(within(baseline, 8000, 2001, 4000)[..., 300:-300].abs().max()) < 1e-3
    with pytest.raises(
        UserError, match=r"has a sample rate of 8000 Hz; the model upsamples 4000 to 8000 Hz\. Set degrade"
    ):
        upsampler.read_degraded(full[:1])
    with pytest.raises(UserError, match="Read files of different lengths one at a time"):
        upsampler.read_degraded(low)


def test_a_sound_and_its_mel_spectrogram_give_equal_conditions(vocoder: Audio, tmp_path: Path) -> None:
    assert isinstance(vocoder.task, Vocode)
    sound = vocoder.clips.source.clips("test", [3])[0][0, :, :1999]
    mel = vocoder.task.mel
    write_mel(tmp_path / "a.mel.npz", mel, mel(sound[None])[0], 1999)
    a = vocoder.read_degraded([tmp_path / "a.mel.npz"])
    b = vocoder.read_degraded([write(tmp_path / "a.wav", sound, 8000)])
    assert a.x.shape == (1, 1, 1999)
    assert a.cond is not None
    assert b.cond is not None
    assert a.cond["mel"].shape == (1, 40, 16)
    assert_close(a.cond["mel"], b.cond["mel"])
    held = vocoder.batch("test", [3], streams(0, "augment", [3])).cond
    assert held is not None
    # through the states, whose filter rounds; the logarithm of a quiet band makes more of it
    assert_close(held["mel"][..., :10], a.cond["mel"][..., :10], rtol=0, atol=1e-4)


def test_a_checkpoint_keeps_the_definition_if_defaults_change(vocoder: Audio) -> None:
    again = Audio(AudioConfig(task="vocode", data=DATA), vocoder.statistics)
    assert again.task == vocoder.task
    other = AudioConfig(task="vocode", data=DATA.model_copy(update={"mel": DATA.mel.model_copy(update={"hop": 64})}))
    assert Audio(other, vocoder.statistics).conditions["mel"] == vocoder.conditions["mel"]


def test_tasks_without_a_degraded_form_read_no_degraded_files(tmp_path: Path) -> None:
    plain = Audio(AudioConfig(data=DATA), {"std": 0.1, "gains": [], "conditions": {}})
    with pytest.raises(UserError, match="task=generate, which reads neither"):
        plain.read_degraded([tmp_path / "a.wav"])


def test_distances_to_the_truth_are_those_of_the_task(upsampler: Audio, vocoder: Audio) -> None:
    truth = Samples(list(upsampler.clips.source.clips("test", range(3))[0]))
    louder = Samples([2 * x for x in truth.examples])
    for audio, names in ((upsampler, {"lsd", "lsd_high"}), (vocoder, {"lsd"})):
        same, other = audio.compare(truth, truth), audio.compare(louder, truth)
        assert set(same) == names | {"mr_stft", "si_snr"}
        assert all(same[name].value == 0 for name in names | {"mr_stft"})
        assert same["si_snr"].value == math.inf
        assert 0 < other["lsd"].value <= 0.2 * math.log2(10) * math.log10(2) * 10


def tone_and(rest: str, n: int = 24) -> Tensor:
    """Clips (n, 1, 2048) at 8 kHz, two in three of which are digital silence, a constant tail or a DC offset."""
    t = torch.arange(2048) / 8000
    g = torch.Generator().manual_seed(0)
    clips = torch.stack([0.3 * torch.sin(2 * math.pi * (200 + 10 * i) * t) for i in range(n)])[:, None]
    clips = clips + 0.01 * torch.randn(clips.shape, generator=g)
    quiet = torch.arange(n)[:, None, None] % 3 > 0
    tails = {"silence": 0 * clips, "tail": clips[..., -1:].expand_as(clips), "offset": clips * 0 + 0.2}
    return torch.where(quiet, tails[rest], clips)


@pytest.mark.parametrize("rest", ["silence", "tail", "offset"])
def test_upsampling_is_measured_on_the_clips_that_have_a_missing_part(rest: str) -> None:
    clips = tone_and(rest)
    upsample = Upsample(DATA, Standardise(1.0))
    assert upsample.measure(clips) == upsample.measure(clips[::3])
    made = Upsample(DATA, Standardise(1.0), upsample.measure(clips))
    known = made.observe(clips, streams(0, "observe", range(len(clips))))
    states = made.space(known).encode(clips)
    assert bool(states.isfinite().all())
    assert float(states.abs().max()) < 100  # not thousands, as with a scale of rounding errors
    assert 0.3 < float(states[::3].square().mean().sqrt()) < 3


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_upsampling_of_sounds_with_nothing_to_restore_is_an_error(level: float) -> None:
    with pytest.raises(UserError, match=r"contain nothing above 2000 Hz.*Lower data\.low_rate"):
        Upsample(DATA, Standardise(1.0)).measure(torch.full((4, 1, 2048), level))


def test_upsampling_trains_on_sounds_with_digital_silence(tmp_path: Path) -> None:
    np.save(tmp_path / "clips.npy", torch.cat([tone_and("silence"), torch.zeros(24, 1, 3 * 2048)], -1)[::3].numpy())
    data = {"name": "folder", "path": tmp_path / "clips.npy", "length": 2048}
    audio = build_domain(AudioConfig(task="upsample", data=AudioData.model_validate(data)))
    x = audio.batch("train", range(8), streams(0, "augment", range(8))).x
    assert bool(x.isfinite().all())
