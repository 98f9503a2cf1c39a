"""Work that is dealt out to the processes that work together, each piece to one of them.

A piece does not know which process does it, so its result has the bits that one process alone would compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from polydiff.machine.processes.failures import PeerFailedError
from polydiff.machine.ranks import alone, ranks
from polydiff.support.errors import one_line

A = TypeVar("A")
B = TypeVar("B")


def dealt(items: Sequence[A], work: Callable[[A], B]) -> Iterator[B]:
    """Yield work(item) for each item, in order, in all processes; each item is the work of one of them, in turn.

    All processes call this with equal items, and take all results. With one process it is `map`.

    Arguments:
        items: What there is to do.
        work: Does one; its result can be pickled. Within it, the process is alone (`polydiff.machine.ranks.alone`).

    Raises:
        PeerFailedError: `work` raised an exception in another process, which raises that exception.
    """
    together = ranks()
    if together.world == 1:
        yield from map(work, items)
        return
    for first in range(0, len(items), together.world):
        done: list[B] = []
        problem: Exception | None = None
        try:
            with alone():
                done = [work(item) for item in items[first + together.rank :][:1]]
        except Exception as error:  # noqa: BLE001 - raised below, when the others know
            problem = error
        found = together.collect((done, one_line(problem) if problem else ""))
        if problem:
            raise problem
        for rank, (_, failure) in enumerate(found):
            if failure:
                raise PeerFailedError(f"Process {rank} has failed: {failure}")
        yield from (result for results, _ in found for result in results)


def by_first(work: Callable[[], B]) -> B:
    """Return, in all processes, what the first one computes; it can be pickled.

    Raises:
        PeerFailedError: As of `dealt`.
    """
    (result,) = dealt([None], lambda _: work())
    return result
