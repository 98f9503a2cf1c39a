"""Every preset, every task and every sampler, with networks a few channels wide."""

from __future__ import annotations

import pytest
import torch

import polydiff
from polydiff.data import batches
from polydiff.domains.audio import SPEC
from polydiff.model import Model
from polydiff.plugins import build_domain
from polydiff.random import streams
from polydiff.sampling import SAMPLERS
from polydiff.settings import resolve
from polydiff.space import Euclidean
from polydiff.trainer import begin, records_of

TASKS = ("generate", "inpaint", "upsample", "vocode")
TINY = {
    "backbone.channels": "16",
    "backbone.heads": "2",
    "train.batch_size": "2",
    "train.workers": "0",
    "data.n_train": "8",
}
OF_THEIR_OWN = {"consistency", "shortcut"}
"""Samplers that need a network trained for them; tests/test_fewstep.py has those."""


@pytest.mark.parametrize("preset", SPEC.presets)
@pytest.mark.parametrize("task", TASKS)
def test_every_preset_trains_and_samples_for_every_task(preset: str, task: str) -> None:
    """At an eighth of the preset's length, which its strides need not divide."""
    length = resolve("audio", preset).config.data.length // 8 + 37  # type: ignore[attr-defined]
    config = resolve("audio", preset, words={**TINY, "task": task, "data.length": str(length)}).config
    domain = build_domain(config)
    training = begin(config, domain)
    (record,) = records_of(config, domain, training, steps=1)
    assert 0 < record.loss < 10
    given = batches(domain, 2, 0)(5)
    model = Model(config, domain, training.ema, 1, "ema")
    plan = model.plan(steps=2)
    x = model.states(given.space, given.cond, 0, range(2), plan)
    assert x.shape == given.x.shape
    assert x.isfinite().all()
    sounds = torch.stack(domain.decode(x, given.space))
    assert sounds.shape == (2, config.data.channels, length)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    words = {**TINY, "train.steps": "2", "data.length": "256", "sample.steps": "2"}
    return polydiff.load(polydiff.train("audio", tmp_path_factory.mktemp("runs") / "run", overrides=words))


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - OF_THEIR_OWN))
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_every_sampler_makes_sounds(model: Model, sampler: str, guidance: float) -> None:
    made = model.sample(2, sampler=sampler, steps=4, guidance=guidance, cond={"pitch": "C4"})
    assert all(sound.shape == (1, 256) and sound.isfinite().all() for sound in made.examples)


@pytest.mark.parametrize("length", [1, 2, 3, 100, 255, 257])
def test_any_length_is_sampled(model: Model, length: int) -> None:
    space = Euclidean(1, (1, length))
    cond = model.domain.blank(streams(0, "blank", range(1)), {})[1]
    assert model.states(space, cond, 0, range(1), model.plan(steps=2)).shape == (1, 1, length)
