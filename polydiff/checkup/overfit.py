"""A self-check: can this configuration learn one batch by heart, and does its sampler give it back?

A loss that falls says little: a model may learn nothing at the noise levels that make a sample, its data may be scaled
so that noise drowns them, or its sampler may lead astray. One batch, learned by heart, tells these apart in a minute:
the loss must fall at every noise level, and samples must be the batch's own examples. The sampler is tried alone too,
on data N(0, 1), whose denoiser is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain
from polydiff.contract.sections import Config
from polydiff.core.process import TriesSampler
from polydiff.core.space import Batch, Euclidean, sqnorm
from polydiff.core.streams import streams
from polydiff.model.model import Model
from polydiff.run.loss_by_level import Gathered, together
from polydiff.support.protocols import provides
from polydiff.training.loop import Record, fit
from polydiff.training.trainer import begin

STEPS = 300
"""Steps of training."""
EXAMPLES = 4
"""Examples learned by heart."""
ENDS = 10
"""The loss at the start and at the end is that of one step in so many."""
LEARNED, NEAR = 0.5, 0.1
"""Share of the loss at the start that may be left; share of the squared distance between examples that a sample may be
off, of the examples that it is nearest to."""
RATIO = 0.1
"""By how much the standard deviation of samples of N(0, 1) may be off."""

Progress = Callable[[Record, float], None]


def overfit(config: Config, steps: int = STEPS, progress: Progress | None = None) -> dict[str, Any]:
    """Learn a few training examples by heart, sample, and return what came of it; nothing is written.

    Noise levels and noise are drawn anew in each step, so that what is learned is a whole denoiser. Its learning rate
    stays what it is after the warm-up; weights are those as trained; samples are drawn without guidance.

    Arguments:
        config: What would be trained.
        steps: Steps of training.
        progress: Called after each step, with its record and 0.

    Returns:
        "before", "after": mean loss of the first and last steps; "levels": [{"log_snr", "before", "after"}, ...], the
        same by the middle of each bin; "off": mean squared distance of samples to the nearest example, as a share of
        that between examples, None where sizes differ; "sampler": standard deviation of samples of data N(0, 1), None
        where the sampler needs a network of its own kind; "passed": whether all is as it should be.
    """
    domain = build_domain(config)
    batch = few(domain, config.train.batch_size)
    training = begin(config.model_copy(update={"optim": config.optim.model_copy(update={"decay": "constant"})}), domain)
    records = fit(
        training,
        lambda step: batch,
        steps=steps,
        batch_size=batch.space.batch,
        seed=config.seed,
    )
    ends, kept = (Gathered(), Gathered()), max(steps // ENDS, 1)
    for record in records:
        if record.step <= kept or record.step > steps - kept:
            ends[record.step > kept].add(record.level, record.losses)
        if progress:
            progress(record, 0.0)
    first, last = (together([end.read()]) for end in ends)
    before, after = (sum(m * n for m, n in bins.values()) / sum(n for _, n in bins.values()) for bins in (first, last))
    model = Model(config, domain, training.module.eval(), steps, "model", next(training.module.parameters()).device)
    off, spread = distance(model, batch), alone(model)
    good = after < LEARNED * before and (off is None or off < NEAR) and (spread is None or abs(spread - 1) < RATIO)
    return {
        "steps": steps,
        "examples": min(EXAMPLES, config.train.batch_size, domain.size("train")),
        "before": before,
        "after": after,
        "levels": [{"log_snr": at, "before": first[at][0], "after": last[at][0]} for at in first if at in last],
        "off": off,
        "sampler": spread,
        "passed": good,
    }


def few(domain: Domain, batch_size: int) -> Batch:
    """Return a batch of a few training examples, each several times."""
    n = min(EXAMPLES, batch_size, domain.size("train"))
    numbers = [i % n for i in range(batch_size)]
    return domain.batch("train", numbers, streams(0, "augment", numbers))


def distance(model: Model, batch: Batch) -> float | None:
    """Return how far samples are from the examples learned, as a share of how far these are from each other."""
    space, n = batch.space, min(EXAMPLES, batch.space.batch)
    if not isinstance(space, Euclidean) or n < 2:
        return None
    small, known = Euclidean(n, space.shape, space.device, space.dtype), batch.x[:n].cpu()
    told = None if batch.cond is None else {name: value[:n].cpu() for name, value in batch.cond.items()}
    made = model.states(small, told, 0, range(n), model.plan(guidance=1.0)).cpu()
    apart = torch.stack([sqnorm(small, known - known.roll(i, 0)) for i in range(1, n)]).mean()
    near = torch.stack([sqnorm(small, made - known.roll(i, 0)) for i in range(n)]).amin(0)
    return float(near.mean() / apart)


def alone(model: Model) -> float | None:
    """Return the standard deviation of samples that the configured sampler draws of data N(0, 1); None if untried."""
    process, how = model.process, model.plan(guidance=1.0)
    return process.sampler_spread(model, how) if provides(process, TriesSampler) else None
