"""Every preset, every task and every sampler, with networks a few channels wide."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import polydiff
from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.domains.audio import SPEC
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.model.model import Model
from polydiff.training.data import batches
from polydiff.training.steps import begin, records_of

TASKS = ("generate", "inpaint", "upsample", "vocode")
TINY = {
    "backbone.channels": "16",
    "backbone.heads": "2",
    "train.batch_size": "2",
    "train.workers": "0",
    "data.n_train": "8",
}
OF_THEIR_OWN = {"consistency", "shortcut", "calibrated"}
"""Samplers that need a network trained for them; tests/test_fewstep.py has those."""


@pytest.mark.parametrize("preset", SPEC.presets)
@pytest.mark.parametrize("task", TASKS)
def test_every_preset_trains_and_samples_for_every_task(preset: str, task: str) -> None:
    """The length is an eighth of the preset's, which the strides need not divide."""
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
def test_with_every_sampler_a_sound_does_not_depend_on_its_batch(model: Model, sampler: str, guidance: float) -> None:
    def sounds(batch_size: int) -> Tensor:
        how = {"sampler": sampler, "steps": 4, "guidance": guidance}
        return torch.stack(list(model.sample(2, batch_size=batch_size, cond={"pitch": "C4"}, **how).examples))

    both = sounds(2)
    assert not torch.equal(both[0], both[1])
    torch.testing.assert_close(both, sounds(1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 3, 100, 255, 257])
def test_a_sound_of_any_length_does_not_depend_on_its_batch(model: Model, length: int) -> None:
    def states(samples: range) -> Tensor:
        space = Euclidean(len(samples), (1, length))
        cond = model.domain.blank(streams(0, "blank", samples), {})[1]
        return model.states(space, cond, 0, samples, model.plan(steps=2))

    both, alone = states(range(2)), states(range(1, 2))
    assert both.std() > 0
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=1e-4)
