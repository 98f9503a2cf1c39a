"""The processes that train or sample together: who this one is, and what they exchange (torch.distributed).

`torchrun` starts the processes, on one machine or several, and tells each its rank by environment variables. Within
`joined`, `ranks()` describes them; elsewhere, and in a program of one process, it is `ALONE`, for which every exchange
is the identity. The first process, rank 0, writes files and speaks; the others compute.

Exchanges of a step, gradients, losses and flags, have a time limit, so that a process that hangs is noticed. Those of
objects wait as long as it takes, because the first process may prepare data or write files for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from polydiff.machine.processes.failures import PeerLostError, agent_store, announced
from polydiff.support.launched import Launched, launched

T = TypeVar("T")
TIMEOUT = 300.0
"""Seconds that an exchange of a step waits for another process; torch waits for half an hour."""
PATIENT = timedelta(days=7)
"""Time that an exchange of objects waits for another process."""
WRITING = timedelta(hours=1)
"""Time that the others wait in a step for the first process to write files."""


@dataclass(frozen=True)
class Ranks:
    """The processes that work together, seen from this one.

    Arguments:
        rank: Number of this process, from 0.
        world: Number of processes.
        local: Number of this process on its machine, which is the number of its GPU.
        control: Group of the exchanges of objects; None: this process is alone.
        flags: Group of the exchanges of flags.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    control: Any = None
    flags: Any = None

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0

    def rows(self, b: int) -> slice:
        """Return the rows of a gathered tensor that come from this process, which gave b."""
        return slice(self.rank * b, (self.rank + 1) * b)

    def gather(self, x: Tensor) -> Tensor:
        """Return the tensors (b, ...) of all processes as one (world b, ...), in the order of their ranks.

        Gradients flow back to each process: the gradient of its part is the sum over processes of their gradients
        of that part, so that a mean over processes of gradients is that of the mean of their losses.
        """
        return x if self.world == 1 else Gather.apply(x, self)  # type: ignore[no-untyped-call]

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean over processes of a tensor, without a gradient."""
        if self.world == 1:
            return x
        total = x.detach().clone()
        with noticed():
            dist.all_reduce(total)
        return total / self.world

    def collect(self, value: T) -> list[T]:
        """Return a value of each process, in the order of their ranks."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        with noticed():
            dist.all_gather_object(found, value, group=self.control)
        return found

    def agree(self, value: T) -> T:
        """Return the value of the first process."""
        return self.collect(value if self.first else None)[0]  # type: ignore[return-value]

    def any(self, flag: bool) -> bool:
        """Return whether a flag is set in any process; the exchange has the time limit of a step."""
        if self.world == 1:
            return flag
        total = torch.tensor(int(flag))
        with noticed():
            dist.all_reduce(total, group=self.flags)
        return bool(total)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run the body in the first process of each machine, then in the others, which find its work in the cache."""
        if self.local != 0:
            self.wait()
        yield
        if self.local == 0:
            self.wait()

    def wait_for_first(self) -> None:
        """Wait until the first process has come here, which need not wait for the others, at most for `WRITING`."""
        if self.world > 1:
            with noticed():
                dist.broadcast(torch.zeros(1), 0, group=self.control, async_op=True).wait(WRITING)

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.world > 1:
            with noticed():
                dist.barrier(group=self.control)


ALONE = Ranks()
_current = ALONE


class Gather(torch.autograd.Function):
    """`Ranks.gather`, whose derivative adds what all processes did with a part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks, ctx.rows = ranks, len(x)
        whole = x.new_empty((ranks.world * len(x), *x.shape[1:]))
        with noticed():
            dist.all_gather_into_tensor(whole, x.detach().contiguous())
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        with noticed():
            dist.all_reduce(total)
        begin = ctx.ranks.rank * ctx.rows
        return total[begin : begin + ctx.rows], None


def ranks() -> Ranks:
    """Return the processes that work together now: those of `joined`, else this process alone."""
    return _current


@contextmanager
def alone() -> Iterator[None]:
    """Within this context, this process works for itself: it exchanges nothing with the others of `joined`."""
    global _current
    before, _current = _current, ALONE
    try:
        yield
    finally:
        _current = before


@contextmanager
def joined(timeout: float = TIMEOUT) -> Iterator[Ranks]:
    """Join the processes that torchrun started, yield their description, and part at the end.

    Within another `joined`, that one's processes are yielded. A process group that the program has already, as under
    Ray, is used and stays.

    Arguments:
        timeout: Seconds that an exchange of a step waits for another process.

    Raises:
        PeerLostError: Another process has ended, or does not answer within `timeout`.
    """
    global _current
    place, own = launched(), not dist.is_initialized()
    if _current.world > 1 or (own and place.world == 1):
        yield _current
        return
    limit = timedelta(seconds=timeout)
    if own:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        with noticed():
            begin_group(backend, place, limit)
    control, flags = (dist.new_group(backend="gloo", timeout=time) for time in (PATIENT, limit))
    if place.local < torch.cuda.device_count():  # on a CPU there may be more processes than GPUs
        torch.cuda.set_device(place.local)
    _current = Ranks(dist.get_rank(), dist.get_world_size(), place.local, control, flags)
    try:
        with announced(place), noticed():
            yield _current
    finally:
        _current = ALONE
        if own:
            dist.destroy_process_group()


def begin_group(backend: str, place: Launched, limit: timedelta) -> None:
    """Join the processes that torchrun started.

    Those that an agent starts again after a failure meet apart from the former ones, whose addresses its store still
    has: torch would try to connect to them.
    """
    store = agent_store(place, limit)
    if store is None:
        dist.init_process_group(backend, timeout=limit)
    else:
        dist.init_process_group(backend, timeout=limit, store=store, rank=place.rank, world_size=place.world)


@contextmanager
def noticed() -> Iterator[None]:
    """Turn an error of an exchange into a `PeerLostError`."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error):
            late = "timed out" in str(error).lower() or "timeout" in str(error).lower()
            raise PeerLostError.of("Another process", late) from error
        raise
