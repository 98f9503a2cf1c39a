"""How many samples a network computes at a time, and which of several processes computes them.

On a CPU a call is most efficient from a few MiB of activations a thread on: below, threads wait for each other; above,
nothing is gained. On a GPU a batch may grow until its activations fill a share of the memory that is free. Both follow
from the sizes of what a network computes for a few samples, not from a clock, so that the same words give the same
batches, and so the same samples, each time.

Batches are dealt out whole to processes that work together. Samples that another process made come without their
origin, since that holds the whole domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from math import ceil
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from polydiff.contract.domain import Samples
from polydiff.core.space import Batch
from polydiff.machine.processes.dealing import dealt
from polydiff.machine.ranks import ranks
from polydiff.support.errors import UserError
from polydiff.support.progress import counted

A = TypeVar("A")
T = TypeVar("T")
Evaluate = Callable[[nn.Module, Batch], object]

PROBE = 4
"""Samples that a network is tried on."""
SHARE = 4 * 2**20
"""Bytes of a layer's output, a thread, that a call on a CPU is best at (`benchmarks/sampling_speed.py`)."""
LIVE = 16
"""Outputs of the largest layer that a call may hold at a time, with what convolutions borrow."""
FREE = 0.5
"""Share of a GPU's free memory that a batch may fill."""
FEWEST, MOST = 4, 1024
"""Bounds of a batch."""
WINDOW = 16
"""Number of batches within which samples are sorted by size, to reduce padding."""


def efficient(network: nn.Module, batch: Batch, evaluate: Evaluate) -> int:
    """Return how many samples, a power of two, make one call of a network efficient.

    Arguments:
        network: What computes.
        batch: A few states, on the network's device.
        evaluate: Calls the network on a batch (`polydiff.core.process.process.Process.evaluate`).
    """
    device = batch.space.dim.device
    if device.type == "cuda":
        room = FREE * torch.cuda.mem_get_info(device)[0] / LIVE
    else:
        room = SHARE * torch.get_num_threads()
    most = room * batch.space.batch / max(largest_output(network, batch, evaluate), 1)
    return 1 << int(min(max(most, FEWEST), MOST)).bit_length() - 1


def largest_output(network: nn.Module, batch: Batch, evaluate: Evaluate) -> int:
    """Return the bytes in float32 of the largest output of a layer, for a batch."""
    largest = 0

    def look(layer: nn.Module, args: Any, output: Any) -> None:
        nonlocal largest
        tensors = output if isinstance(output, tuple | list) else [output]
        largest = max([largest, *(4 * tensor.numel() for tensor in tensors if isinstance(tensor, Tensor))])

    hooks = [layer.register_forward_hook(look) for layer in network.modules()]
    try:
        with torch.no_grad():
            evaluate(network, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return largest


def windows(indices: range, size: int) -> Iterator[range]:
    """Yield consecutive indices in parts that begin at multiples of a size, wherever the first of them lies."""
    first = indices.start
    while first < indices.stop:
        last = min((first // size + 1) * size, indices.stop)
        yield range(first, last)
        first = last


class Window(NamedTuple):
    """Consecutive samples, sorted into batches of like sizes.

    Attributes:
        batches: Numbers of the samples of each batch.
        draw: Yields the samples of one batch, in one or more parts.
        order: Places of the samples, by number, in the joined batches; None: they are in order.
    """

    batches: Sequence[Sequence[int]]
    draw: Callable[[Sequence[int]], Iterator[Samples]]
    order: Sequence[int] | None


def drawn_windows(planned: Iterator[Window]) -> Iterator[Samples]:
    """Yield the samples of windows in order.

    The batches of several windows are dealt out together if there are more processes than batches in one window.
    """

    def batch(item: tuple[Window, Sequence[int]]) -> Samples:
        window, numbers = item
        return Samples.join(list(window.draw(numbers)))

    while some := list(islice(planned, ceil(ranks().world / WINDOW))):
        found = dealt_samples([(window, numbers) for window in some for numbers in window.batches], batch)
        for window in some:
            parts = islice(found, len(window.batches))
            if window.order is None:
                yield from parts
            else:
                yield Samples.join(list(parts)).take(window.order)


class Memory:
    """Compute batches, and halve the batch size after an out-of-memory error.

    Arguments:
        most: Largest number of samples in a batch.
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, indices: Sequence[int], compute: Callable[[Sequence[int]], T]) -> Iterator[T]:
        """Yield what is computed of consecutive parts of the indices.

        Raises:
            UserError: Memory does not suffice for a single sample.
        """
        while indices:
            part = indices[: self.most]
            done = self.attempt(part, compute)
            if done:
                yield done[0]
                indices = indices[len(part) :]
            elif len(part) == 1:
                raise UserError(
                    "Memory does not suffice for a single sample. Use a smaller network or a larger device."
                )
            else:
                self.most = (len(part) + 1) // 2

    def attempt(self, part: Sequence[int], compute: Callable[[Sequence[int]], T]) -> tuple[T] | None:
        """Return the result of a part as a tuple of one; None after an out-of-memory error."""
        try:
            return (compute(part),)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None


def out_of_memory(error: Exception) -> bool:
    """Return whether an error means out of memory, on a GPU or a CPU."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return "DefaultCPUAllocator: can't allocate memory" in str(error)


def dealt_samples(items: Sequence[A], work: Callable[[A], Samples]) -> Iterator[Samples]:
    """Yield the samples that `work` makes of each item, in order, in all processes, as `dealt` does.

    Arguments:
        items: What there is to do, such as numbers of batches.
        work: Makes the samples of one.
    """
    for found in dealt_parts(items, lambda item: {"": work(item)}):
        yield found[""]


def dealt_sets(items: Sequence[A], work: Callable[[A], Mapping[str, Samples]], what: str) -> dict[str, Samples]:
    """Return the sets of samples, by name, that `work` makes of all items, with progress.

    Arguments:
        items: What there is to do, at least one item.
        work: Makes a part of each set from one.
        what: Name of the work for the progress, such as "batches restored".
    """
    found = list(counted(what, len(items), dealt_parts(items, work)))
    return {name: Samples.join([sets[name] for sets in found]) for name in found[0]}


def dealt_parts(items: Sequence[A], work: Callable[[A], Mapping[str, Samples]]) -> Iterator[Mapping[str, Samples]]:
    """Yield what `work` makes of each item, in order."""
    if ranks().world == 1:
        return map(work, items)
    return dealt(items, lambda item: sendable(work(item)))


def sendable(sets: Mapping[str, Samples]) -> Mapping[str, Samples]:
    """Return samples as they can be sent: without their origin, each tensor with memory of its own alone."""
    return {name: replace(of, examples=[own(x) for x in of.examples], origin=None) for name, of in sets.items()}


def own(x: object) -> object:
    """Return a tensor that shares no memory, as an example that is a row of a batch does; other objects unchanged."""
    return x.clone() if isinstance(x, Tensor) else x
