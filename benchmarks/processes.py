"""Two processes of one thread each against one process of two threads: examples a second, and what is not computation.

    python benchmarks/processes.py [--domains image audio molecule] [--rounds 7] [--record]

Each run is 4 steps of a preset quick with the same batches. "Each alone" is two processes that train on half of each
batch without each other: what two processes take longer than this, the share, is exchange that computation does not
hide, and waiting.
"""

from __future__ import annotations

import os
import socket
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the command line does, before torch is imported

from timing import Timing, apart, in_turns, parser, show, timing_table

from polydiff.config.merge import resolve

STEPS = 4
WORLD = 2


def steps_of(domain: str, rank: int, world: int, port: int, divisor: int) -> Callable[[], None]:
    """Return what takes `STEPS` steps of a preset quick, in this process or with others.

    Arguments:
        domain: Name of the domain.
        rank: Number of this process.
        world: Number of processes that train together.
        port: Port at which they meet.
        divisor: What the batch size is divided by.
    """
    from polydiff.contract.discover import build_domain
    from polydiff.machine.ranks import joined
    from polydiff.training.steps import begin, records_of

    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "localhost"}
    config = resolve(domain, words={"device": "cpu"}).config
    size = config.train.batch_size // divisor
    config = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": size})})
    ExitStack().enter_context(joined())  # until the process ends
    data = build_domain(config)
    records = records_of(config, data, begin(config, data), 10**6)

    def run() -> None:
        for _ in range(STEPS):
            next(records)

    return run


@contextmanager
def variant(domain: str, processes: int, threads: int, world: int) -> Iterator[Callable[[], None]]:
    """Yield a function that runs processes at the same time, each `STEPS` steps.

    Arguments:
        domain: Name of the domain.
        processes: Number of processes, which share the batches.
        threads: Threads of each.
        world: How many of them train together: all, or 1.
    """
    with ExitStack() as stack, ThreadPoolExecutor(processes) as pool:
        port = free_port()
        runs = [
            stack.enter_context(apart(threads, True, steps_of, domain, rank % world, world, port, processes // world))
            for rank in range(processes)
        ]

        def run() -> None:
            for done in [pool.submit(each) for each in runs]:
                done.result()

        yield run


def free_port() -> int:
    """Return a port that no program listens to."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port: int = listener.getsockname()[1]
        return port


def measured(domain: str, rounds: int) -> tuple[dict[str, Timing], float]:
    """Return what the runs of a domain take, and the share of two processes' time that is not computation."""
    with ExitStack() as stack:
        timings = in_turns(
            {
                f"1 process, {WORLD} threads": stack.enter_context(variant(domain, 1, WORLD, 1)),
                f"{WORLD} processes, 1 thread": stack.enter_context(variant(domain, WORLD, 1, WORLD)),
                f"{WORLD} processes, each alone": stack.enter_context(variant(domain, WORLD, 1, 1)),
            },
            rounds,
        )
    together, alone = (timing.seconds for timing in list(timings.values())[1:])
    return timings, 1 - statistics.median(b / a for a, b in zip(together, alone, strict=True))


def main() -> None:
    """Measure and print."""
    reader = parser(__doc__, rounds=7)
    reader.add_argument("--domains", nargs="+", default=["image", "audio", "molecule"])
    args = reader.parse_args()
    text = []
    for domain in args.domains:
        timings, share = measured(domain, args.rounds)
        table = timing_table(f"{STEPS} steps, {domain} quick", timings)
        text.append(f"{table}\nOutside computation: {share:.1%} of a step of {WORLD} processes.\n")
    show("Training in two processes", "\n".join(text), args)


if __name__ == "__main__":
    main()
