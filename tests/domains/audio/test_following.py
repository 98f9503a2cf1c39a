"""Stages of a cascade of sounds: a stage that raises the sample rate follows one that draws sounds of the low rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import tiny
from torch import Tensor
from torch.testing import assert_close

from polydiff.contract.domain import Samples
from polydiff.contract.following import Follows, SpaceUnderConditions
from polydiff.core.conditions import LOW, LOW_LEVEL
from polydiff.core.streams import streams
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio
from polydiff.domains.audio.tasks.low_rate import LowPass, raised, record, within
from polydiff.domains.audio.tasks.restoration import Missing, Upsample
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides
from polydiff.training.data import batches

NOISE = (0.02, 1.0)
LARGE: dict[str, Any] = {"sample_rate": 8000, "length": 2048, "n_train": 64, "n_test": 16}
SMALL: dict[str, Any] = {**LARGE, "sample_rate": 4000, "length": 1024}


def opened(task: str = "generate", statistics: Mapping[str, Any] | None = None, **data: Any) -> Audio:
    return Audio(AudioConfig(task=task, data=AudioData(**data)), statistics)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def base() -> Audio:
    return opened(**SMALL)


@pytest.fixture(scope="module")
def up() -> Audio:
    return opened("upsample", noise=NOISE, **LARGE)


def task_of(audio: Audio) -> Upsample:
    assert isinstance(audio.task, Upsample)
    return audio.task


def recordings(up: Audio, n: int) -> Tensor:
    """Return held-out sounds at the low rate, (n, 1, 1024)."""
    sounds, _ = up.clips.source.clips("test", range(n))
    return record(sounds, 8000, 4000, [LowPass("brickwall", 2000)] * n)


def test_recordings_of_another_stage_become_conditions_by_the_statistics_of_this_one(up: Audio) -> None:
    low = recordings(up, 4)
    cond = up.follow(Samples(list(low)), streams(0, "follow", range(4)))
    expected = task_of(up).observed(raised(up.codec.encode(low), 8000, 4000, 2048))
    assert torch.equal(cond[LOW], expected[LOW])
    assert task_of(up).noise is not None
    assert task_of(up).noise.is_exact(cond[LOW_LEVEL]).all()  # type: ignore[union-attr]
    assert_close(up.codec.decode(cond[LOW][:, :1])[..., ::2], low, rtol=0, atol=1e-4)
    louder = opened("upsample", {**up.statistics, "std": 2 * up.statistics["std"]}, noise=NOISE, **LARGE)
    other = louder.follow(Samples(list(low)), streams(0, "follow", range(4)))
    assert_close(2 * other[LOW][:, :1], cond[LOW][:, :1])


def test_states_under_given_recordings_are_what_they_lack(up: Audio) -> None:
    assert provides(up, Follows)
    assert provides(up, SpaceUnderConditions)
    low = recordings(up, 4)
    for level in (0.0, 0.3):
        cond = up.follow(Samples(list(low)), streams(0, "follow", range(4)), level)
        space, blank = up.blank(streams(0, "blank", range(4)), {})
        space = up.space_under(space, {**(blank or {}), **cond})
        assert isinstance(space, Missing)
        silent = torch.stack(up.decode(torch.zeros(4, 1, 2048), space))
        assert_close(silent, up.codec.decode(cond[LOW][:, :1]))
    plain = opened(**LARGE)
    space, _ = plain.blank(streams(0, "blank", range(2)), {})
    assert plain.space_under(space, {}) is space


def test_noise_is_white_at_the_low_rate_with_each_recordings_own_level(up: Audio) -> None:
    batch = up.batch("train", range(64), streams(0, "augment", range(64)))
    assert batch.cond is not None
    assert isinstance(batch.space, Missing)
    levels = batch.cond[LOW_LEVEL].exp() - NOISE[0]
    assert 0.05 < float((levels < 1e-6).double().mean()) < 0.4
    assert levels.unique().numel() > 40
    sounds, _ = up.clips.source.clips("train", range(64), streams(0, "augment", range(64)))
    assert_close(torch.stack(up.decode(batch.x, batch.space)), sounds, rtol=0, atol=1e-4)
    alone = up.batch("train", [17], streams(0, "augment", [17])).cond
    assert alone is not None
    assert_close(alone[LOW][0], batch.cond[LOW][17])
    assert alone[LOW_LEVEL][0] == batch.cond[LOW_LEVEL][17]

    exact = up.follow(Samples(list(recordings(up, 8))), streams(0, "follow", range(8)))
    noisy = task_of(up).disturbed(exact, torch.full((8,), 0.3), streams(0, "noise", range(8)))
    noise = (noisy[LOW] - exact[LOW])[:, :1]
    assert_close(noise.square().mean().sqrt(), torch.tensor(0.3), rtol=0.05, atol=0)
    above = within(noise, 8000, 2000, 4000)[..., 100:-100]
    assert float(above.square().mean()) < 0.01 * 0.09
    own = task_of(up).disturbed(
        {name: value[3:4] for name, value in exact.items()}, torch.full((1,), 0.3), streams(0, "noise", [3])
    )
    assert_close(own[LOW][0], noisy[LOW][3])
    held_out = up.batch("test", range(8), streams(0, "augment", range(8))).cond
    assert held_out is not None
    assert task_of(up).noise.is_exact(held_out[LOW_LEVEL]).all()  # type: ignore[union-attr]


def test_the_known_band_is_put_back_only_where_it_has_no_noise(up: Audio) -> None:
    exact = up.follow(Samples(list(recordings(up, 2))), streams(0, "follow", range(2)))
    noisy = task_of(up).disturbed(exact, torch.tensor([0.0, 0.3]), streams(0, "noise", range(2)))
    x = torch.randn(2, 1, 2048, generator=torch.Generator().manual_seed(0))
    made = task_of(up).finish(x, noisy)
    assert torch.equal(made[1], x[1])
    assert not torch.equal(made[0], x[0])


def test_the_recording_and_its_level_are_withheld_together(up: Audio) -> None:
    cond = batches(up, 32, seed=0, condition_dropout=0.4)(0).cond
    assert cond is not None
    absent = cond[LOW_LEVEL].isnan()
    assert torch.equal(cond[LOW].flatten(1).isnan().all(1), absent)
    assert 0 < int(absent.sum()) < 32
    assert ((cond["pitch"] < 0) != absent).any()


def test_misfits_have_reasons_in_words(base: Audio, up: Audio) -> None:
    assert up.config.misfit(base.config) is None
    assert "task=generate" in str(base.config.misfit(base.config))
    assert "4000 to 8000 Hz, and the earlier stage draws sounds of 8000 Hz" in str(
        up.config.misfit(opened(**LARGE).config)
    )
    longer = opened(**{**SMALL, "length": 2048})
    assert "1024 to 2048 samples, and the earlier stage draws 2048" in str(up.config.misfit(longer.config))
    assert "1 channels, and the earlier stage draws sounds of 2" in str(
        up.config.misfit(opened(**SMALL, channels=2).config)
    )
    with pytest.raises(UserError, match=r"shape \(1, 2048\); this stage upsamples \(1, 1024\)"):
        up.follow(longer.examples("test", 2), streams(0, "follow", range(2)))
    with pytest.raises(UserError, match=r"up to 1 \(data.noise\)"):
        up.follow(base.examples("test", 2), streams(0, "follow", range(2)), 2.0)
    with pytest.raises(UserError, match="Only a stage of task=upsample"):
        base.follow(base.examples("test", 2), streams(0, "follow", range(2)))
    with pytest.raises(ValueError, match=r"data\.noise is noise on the recordings of task=upsample"):
        opened(noise=NOISE, **LARGE)
    plain = opened("upsample", **LARGE)
    assert plain.conditions.keys() == {"pitch", LOW}
    with pytest.raises(UserError, match="without noise"):
        plain.follow(base.examples("test", 2), streams(0, "follow", range(2)), 0.1)


def test_both_stages_sample_by_hand(tmp_path: Path) -> None:
    """The result has the base's low band, since the network of a few steps adds little; each sample is its own."""
    few = {"train.steps": 3, "sample.steps": 2}
    base = Model.load(tiny("audio", tmp_path / "base", **few, **{f"data.{k}": v for k, v in SMALL.items()}))
    keys = {"task": "upsample", "data.noise": NOISE, **{f"data.{k}": v for k, v in LARGE.items()}}
    up = Model.load(tiny("audio", tmp_path / "up", **few, **keys))
    low = base.sample(3, seed=1)

    def drawn(numbers: range) -> Samples:
        cond = up.domain.follow(low, streams(1, "up/follow", range(3)), 0.05)  # type: ignore[attr-defined]
        return up.request().under(cond).joined(numbers, seed=1)

    high = drawn(range(3))
    assert [sound.shape for sound in high] == [(1, 2048)] * 3
    assert_close(drawn(range(2, 3)).examples[0], high.examples[2], rtol=1e-3, atol=1e-4)
    kept = record(torch.stack(list(high.examples)), 8000, 4000, [LowPass("brickwall", 2000)] * 3)
    given = torch.stack(list(low.examples))
    near = torch.nn.functional.cosine_similarity(kept.flatten(1), given.flatten(1))
    assert float(near.min()) > 0.5
