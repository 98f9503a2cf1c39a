"""Which examples a step sees: a function of (seed, step), so nothing is carried along and nothing is lost by a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

from polydiff.domain import Domain
from polydiff.random import permutation, stream, streams
from polydiff.space import Batch, drop_condition

Batches = Callable[[int], Batch]
"""The batch of a step."""


def example_numbers(step: int, batch_size: int) -> range:
    """Return the global numbers of a step's examples, counted from the first of the first step."""
    return range(step * batch_size, (step + 1) * batch_size)


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, size: int) -> list[int]:
    """Return the order in which an epoch visits its examples."""
    return permutation(seed, "order", size, epoch).tolist()


def batches(domain: Domain, batch_size: int, seed: int, condition_dropout: float = 0.0) -> Batches:
    """Return the function step -> training batch of a domain, on the CPU.

    Each epoch is a permutation of the training examples; batches run across its end. Crops, flips and the withholding
    of conditions are drawn from each example's own stream.

    Arguments:
        domain: Gives the examples.
        batch_size: Examples a step.
        seed: Of the order and of the streams.
        condition_dropout: Share of examples whose conditions are withheld.
    """
    size = domain.size("train")

    def batch(step: int) -> Batch:
        numbers = example_numbers(step, batch_size)
        indices = [epoch_order(seed, n // size, size)[n % size] for n in numbers]
        x, space, cond = domain.batch("train", indices, streams(seed, "augment", numbers))
        if cond is not None and condition_dropout > 0:
            draws = torch.rand(batch_size, generator=stream(seed, "dropout", step))
            cond = drop_condition(cond, draws >= condition_dropout)
        return Batch(x, space, cond)

    return batch


def prefetch(batch: Batches, start: int, stop: int) -> Iterator[Batch]:
    """Yield the batches of steps start .. stop - 1, each prepared in a thread while the one before is in use."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="polydiff-data") as pool:
        coming = pool.submit(batch, start) if start < stop else None
        for step in range(start, stop):
            assert coming is not None
            ready = coming.result()
            coming = pool.submit(batch, step + 1) if step + 1 < stop else None
            yield ready
