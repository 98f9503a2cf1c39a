"""Which examples a step sees: a function of (seed, step), so nothing is carried along and nothing is lost by a stop."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from polydiff.contract.abilities import HasSizes, Prepares, TellsTogether
from polydiff.contract.domain import Domain
from polydiff.core.condition_batch import drop_condition, dropout_groups
from polydiff.core.conditions import as_kinds
from polydiff.core.entry import check_batch
from polydiff.core.space import Batch
from polydiff.core.streams import Device, OnDemand, permutation, shuffled, stream, streams
from polydiff.support.errors import UserError, amount
from polydiff.support.protocols import provides

Order = Tensor | OnDemand
"""Order in which an epoch visits its examples, read by single indices."""
Batches = Callable[[int], Batch]
"""Number of a piece -> its batch. Steps have one piece each, or several that follow each other (`Split`)."""
MOST_WORKERS = 4
"""Largest number of threads that prepare batches for a GPU if train.workers=auto."""


class Split(NamedTuple):
    """How the batch of a step is divided: into pieces that are trained on in turn, each of them over processes.

    Attributes:
        rank: Number of this process.
        world: Number of processes.
        pieces: Number of pieces of a step.
    """

    rank: int = 0
    world: int = 1
    pieces: int = 1

    def rows(self, batch_size: int, piece: int) -> slice:
        """Return the rows of a batch that this process trains on in a piece of a step.

        Raises:
            UserError: The batch cannot be divided evenly.
        """
        size, rest = divmod(batch_size, self.world * self.pieces)
        if rest:
            processes = amount(self.world, "process", "processes")
            raise UserError(
                f"train.batch_size={batch_size} cannot be divided evenly over {processes} and "
                f"train.accumulate={self.pieces}. Set train.batch_size to a multiple of {self.world * self.pieces}."
            )
        begin = (piece * self.world + self.rank) * size
        return slice(begin, begin + size)


WHOLE = Split()
"""A step of one piece, in one process."""


def example_numbers(step: int, batch_size: int) -> range:
    """Return the global numbers of a step's examples, counted from the first of the first step."""
    return range(step * batch_size, (step + 1) * batch_size)


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, size: int) -> Order:
    """Return the order in which an epoch visits its examples."""
    return shuffled(seed, "order", size, epoch)


def order_of(domain: Domain, batch_size: int, seed: int, like_sizes: int) -> Callable[[int], Order]:
    """Return the function epoch -> order in which it visits its examples, each once.

    Arguments:
        domain: Gives the number of training examples and their sizes.
        batch_size: Examples a step.
        seed: Random seed of the order.
        like_sizes: Number of batches among which examples are sorted by size, as in `batches`; 0: none.

    Raises:
        UserError: `like_sizes` is set, but the domain has no sizes.
    """
    size = domain.size("train")
    if not like_sizes:
        return lambda epoch: epoch_order(seed, epoch, size)
    if not provides(domain, HasSizes):
        raise UserError(f"train.like_sizes={like_sizes} needs examples of several sizes, and these data have none.")
    sizes = torch.as_tensor(domain.sizes("train"))

    @lru_cache(maxsize=2)
    def order(epoch: int) -> Tensor:
        random = permutation(seed, "order", size, epoch)
        first = min(-epoch * size % batch_size, size)  # they fill up the last batch of the epoch before
        whole = (size - first) // batch_size
        last = first + whole * batch_size
        pools = random[first:last].split(like_sizes * batch_size)
        sorted_ = torch.cat([pool[sizes[pool].argsort(stable=True)] for pool in pools]).reshape(whole, batch_size)
        mixed = sorted_[permutation(seed, "batches", whole, epoch)].flatten()
        return torch.cat([random[:first], mixed, random[last:]])

    return order


def batches(
    domain: Domain,
    batch_size: int,
    seed: int,
    condition_dropout: float = 0.0,
    like_sizes: int = 0,
    split: Split = WHOLE,
) -> Batches:
    """Return the function from the number of a piece to the part of it that this process trains on, on the CPU.

    Each epoch is a permutation of the training examples; batches run across its end. Crops, flips and the withholding
    of conditions are drawn from each example's own stream.

    Arguments:
        domain: Gives the examples.
        batch_size: Examples a step, of all pieces and processes.
        seed: Of the order and of the streams.
        condition_dropout: Share of examples whose conditions are withheld, all together; of the others, where there
            are several, as great a share again loses each, so that a network learns each alone; some are withheld
            together only (`polydiff.contract.abilities.TellsTogether`).
        like_sizes: Batches among which examples are sorted by size, so that those of a batch are of like sizes; batches
            are then shuffled. 0: none. The two batches that an epoch shares with others stay as they are.
        split: How a step is divided; it does not change which examples it has, nor any random number of theirs.
    """
    if provides(domain, Prepares):
        domain.prepare()
    size, together = domain.size("train"), domain.together if provides(domain, TellsTogether) else ()
    order = order_of(domain, batch_size, seed, like_sizes)

    def batch(number: int) -> Batch:
        step, piece = divmod(number, split.pieces)
        rows = split.rows(batch_size, piece)
        numbers = example_numbers(step, batch_size)[rows]
        indices = [int(order(n // size)[n % size]) for n in numbers]
        x, space, cond = domain.batch("train", indices, streams(seed, "augment", numbers))
        if cond is not None and condition_dropout > 0:
            generator = stream(seed, "dropout", step)
            cond = drop_condition(cond, (torch.rand(batch_size, generator=generator) >= condition_dropout)[rows])
            groups = dropout_groups(cond, together)
            for names in groups if len(groups) > 1 else ():
                keep = (torch.rand(batch_size, generator=generator) >= condition_dropout)[rows]
                cond |= drop_condition({name: cond[name] for name in names}, keep)
        made = Batch(x, space, cond)
        check_batch(made, kinds=as_kinds(domain.conditions), examples=indices, name="x of Domain.batch")
        return made

    return batch


def worker_count(requested: int | Literal["auto"], device: torch.device) -> int:
    """Return how many threads prepare batches; auto: one, or up to four that feed a GPU."""
    if requested != "auto":
        return requested
    return 1 if device.type == "cpu" else max(1, min(MOST_WORKERS, (os.cpu_count() or 2) - 1))


def prefetch(batch: Batches, start: int, stop: int, device: Device = "cpu", workers: int = 1) -> Iterator[Batch]:
    """Yield the batches start .. stop - 1 on a device, prepared by threads while earlier ones are in use.

    The order, and every bit, do not depend on the number of workers. An error of `batch` is raised when its turn
    comes.

    Arguments:
        batch: Number -> batch on the CPU.
        start: First number.
        stop: Number after the last.
        device: Where batches are wanted.
        workers: Threads; each has up to two batches ready or in hand. 0: each batch is prepared when requested, by
            the calling thread.
    """
    place = torch.device(device)
    stream = torch.cuda.current_stream(place) if place.type == "cuda" else None
    prepare, steps = partial(prepared, batch, place, stream, torch.get_num_threads()), iter(range(start, stop))
    if workers == 0:
        yield from map(prepare, steps)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="polydiff-data")
    try:
        coming: deque[Future[Batch]] = deque(pool.submit(prepare, step) for step in islice(steps, 2 * workers))
        while coming:
            ready = coming.popleft().result()
            coming.extend(pool.submit(prepare, step) for step in islice(steps, 1))
            yield ready
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def prepared(batch: Batches, device: torch.device, stream: torch.cuda.Stream | None, threads: int, step: int) -> Batch:
    """Return the batch of a step on a device, computed on one core.

    A thread that computes on several cores has a team of OpenMP threads of its own. With that and the network's there
    are more threads than cores, all go to sleep at each barrier, and steps were seen to take twice as long.

    Arguments:
        batch: Step -> batch on the CPU.
        device: Where the batch is wanted.
        stream: CUDA stream of the copy; None: copy without one.
        threads: Number of threads of torch to restore afterwards.
        step: Number of the step.
    """
    torch.set_num_threads(1)
    try:
        made = batch(step)
    except SystemExit as error:  # a program would end here as if all were well
        raise UserError(f"Step {step + 1} has no batch: the domain called sys.exit({error.code!r}).") from error
    finally:
        torch.set_num_threads(threads)
    if stream is None:
        return made.to(device)
    with torch.cuda.stream(stream):  # the network's own: its kernels come after the copy, and memory is reused in order
        return made._replace(x=copied_ahead(made.x, device)).to(device)


def copied_ahead(x: Any, device: torch.device) -> Any:
    """Return a state, or a mapping of its parts, on a device, without waiting for the copy."""
    if isinstance(x, Mapping):
        return {name: copied_ahead(part, device) for name, part in x.items()}
    return x.pin_memory().to(device, non_blocking=True)
