"""The quick preset learns: a tenth of its steps lift samples far above noise."""

from __future__ import annotations

import pytest
import torch

from polydiff.data import batches
from polydiff.model import Model
from polydiff.plugins import build_domain
from polydiff.settings import resolve
from polydiff.trainer import begin, build_loss
from polydiff.training import fit


@pytest.mark.slow
def test_a_short_training_lifts_samples_far_above_noise() -> None:
    config = resolve("molecule", words={"train.steps": "1400"}).config
    domain = build_domain(config)
    training, train = begin(config, domain), config.train
    source = batches(domain, train.batch_size, config.seed, train.condition_dropout)
    for _ in fit(training, source, steps=train.steps, batch_size=train.batch_size, loss=build_loss(config)):
        pass
    model = Model(config, domain, training.ema, training.step, "ema", torch.device("cpu"))
    sampled, noise = (
        domain.evaluate(found)["valid_connected_rdkit"].value for found in (model.sample(100), model.noise(100))
    )
    assert sampled > 0.2
    assert noise < 0.05
