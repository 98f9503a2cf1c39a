"""A self-check: can this configuration overfit one batch, and does its sampler reproduce it?

A falling loss alone shows little: a model may learn nothing at the noise levels that determine a sample, the scale of
its data may be small against the noise, or its sampler may be wrong. Overfitting one batch separates these cases in a
minute: the loss must fall on average, and samples must equal examples of the batch. The sampler is also tested alone,
on data N(0, 1), whose denoiser is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

import torch

from polydiff.config.merge import Settings
from polydiff.contract.domain import Domain
from polydiff.core.process.abilities import TriesSampler
from polydiff.core.process.sampling import Generates
from polydiff.core.space import Batch, Euclidean, sqnorm
from polydiff.core.streams import streams
from polydiff.model.model import Model
from polydiff.run.loss_by_level import Gathered, together
from polydiff.stages.open import open_domain, suited
from polydiff.support.protocols import provides
from polydiff.training.loop import Record, fit
from polydiff.training.steps import begin

STEPS = 300
"""Steps of training."""
EXAMPLES = 4
"""Number of distinct examples in the batch."""
ENDS = 10
"""The loss at the start and at the end is that of one step in so many."""
LEARNED, NEAR = 0.5, 0.1
"""Share of the loss at the start that may be left; share of the squared distance between examples that a sample may be
off, of the examples that it is nearest to."""
RATIO = 0.1
"""By how much the standard deviation of samples of N(0, 1) may be off."""

Progress = Callable[[Record, float], None]


def overfit(settings: Settings, steps: int = STEPS, progress: Progress | None = None) -> dict[str, Any]:
    """Overfit a few training examples, sample, and return losses and checks; nothing is written.

    Noise levels and noise are new in each step, so the network learns a denoiser at all levels. The learning rate is
    constant after the warm-up. Samples use the raw weights, without guidance.

    Arguments:
        settings: Settings of the run, which get the values that suit its data.
        steps: Number of training steps.
        progress: Called after each step, with its record and 0.

    Returns:
        "before", "after": mean loss of the first and last steps; "levels": [{"log_snr", "before", "after"}, ...], the
        same by the middle of each bin, [] for an objective without noise levels; "off": mean squared distance of
        samples to the nearest example, as a share of that between examples, None where sizes differ or nothing is
        generated; "sampler": standard deviation of samples of data N(0, 1), None
        where the sampler needs a network of its own kind; "passed": whether all is as it should be.
    """
    settings, domain = suited(settings, open_domain(settings.config))
    config = settings.config
    batch = repeated_batch(domain, config.train.batch_size)
    training = begin(config.model_copy(update={"optim": config.optim.model_copy(update={"decay": "constant"})}), domain)
    records = fit(
        training,
        lambda step: batch,
        steps=steps,
        batch_size=batch.space.batch,
        seed=config.seed,
    )
    ends, kept = (Gathered(), Gathered()), max(steps // ENDS, 1)
    means: tuple[list[float], list[float]] = ([], [])
    for record in records:
        if record.step <= kept or record.step > steps - kept:
            late = record.step > kept
            ends[late].add(record.level, record.losses)
            means[late].append(record.losses.double().mean().item())
        if progress:
            progress(record, 0.0)
    first, last = (together([end.read()]) for end in ends)
    before, after = map(fmean, means)
    model = Model(config, domain, training.module.eval(), steps, "model", next(training.module.parameters()).device)
    generates = provides(model.process, Generates)
    off, spread = (distance(model, batch), sampler_error(model)) if generates else (None, None)
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


def repeated_batch(domain: Domain, batch_size: int) -> Batch:
    """Return a batch of `batch_size` in which a few training examples repeat."""
    n = min(EXAMPLES, batch_size, domain.size("train"))
    numbers = [i % n for i in range(batch_size)]
    return domain.batch("train", numbers, streams(0, "augment", numbers))


def distance(model: Model, batch: Batch) -> float | None:
    """Return the mean squared distance of samples to the nearest example, as a share of that between examples."""
    space, n = batch.space, min(EXAMPLES, batch.space.batch)
    if not isinstance(space, Euclidean) or n < 2:
        return None
    small, known = Euclidean(n, space.shape, space.device, space.dtype), batch.x[:n].cpu()
    cond = None if batch.cond is None else {name: value[:n].cpu() for name, value in batch.cond.items()}
    made = model.states(small, cond, 0, range(n), model.plan(guidance=1.0)).cpu()
    apart = torch.stack([sqnorm(small, known - known.roll(i, 0)) for i in range(1, n)]).mean()
    near = torch.stack([sqnorm(small, made - known.roll(i, 0)) for i in range(n)]).amin(0)
    return float(near.mean() / apart)


def sampler_error(model: Model) -> float | None:
    """Return the standard deviation of samples that the configured sampler draws of data N(0, 1); None if untried."""
    process, how = model.process, model.plan(guidance=1.0)
    return process.sampler_spread(model, how) if provides(process, TriesSampler) else None
