"""Molecules that are quick to prepare, sent to the workers in groups.

A graph alone is prepared in less than a millisecond, which is little against the messages and the waking of processes
that an item sent alone needs. If an item takes too long or ends its worker, those of its group are prepared again one
by one, so that it still fails alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from polydiff.domains.molecule.chemistry.geometry import Rejected
from polydiff.domains.molecule.data.filters import Selection
from polydiff.domains.molecule.data.library import Entry
from polydiff.domains.molecule.data.preparation.prepare import Item, prepare, prepare_group
from polydiff.domains.molecule.workers.pool import in_processes
from polydiff.domains.molecule.workers.worker import TimedOut
from polydiff.support.progress import Counting

GROUP = 64
"""Number of items that are sent together."""


def prepare_in_groups(
    items: Iterable[Item], selection: Selection, what: str, total: int | None
) -> Iterator[Entry | Rejected | TimedOut]:
    """Yield the results of items in their order, as `in_processes` yields those of `prepare`.

    Arguments:
        items: The items; consumed as they are needed.
        selection: Which molecules are used.
        what: Description for progress.
        total: Approximate number of items; None: unknown.
    """
    source, sent = iter(items), deque[list[Item]]()

    def groups() -> Iterator[list[Item]]:
        while group := [bare(item) for item in islice(source, GROUP)]:
            sent.append(group)
            yield group

    work, alone = partial(prepare_group, selection=selection), partial(prepare, selection=selection)
    count = None if total is None else -(-total // GROUP)
    done = 0
    with Counting(what, total) as show_count:
        for found in in_processes(work, groups(), what, seconds=selection.seconds, total=count, quiet=True):
            group = sent.popleft()
            if isinstance(found, TimedOut):
                yield from in_processes(alone, group, what, seconds=selection.seconds, quiet=True)
            else:
                yield from found
            done += len(group)
            show_count(done)


def bare(item: Item) -> Item:
    """Return an item without its columns, which no worker needs."""
    return item._replace(columns={}, texts={})
