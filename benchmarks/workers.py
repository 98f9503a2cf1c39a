"""What data cost a training step: batches at hand, made by the step's own thread, or prepared by others.

    python benchmarks/workers.py [--domains image audio molecule] [--rounds 7] [--record]

Each run is 8 steps of a preset quick. "At hand" repeats four batches, "N threads" is train.workers=N, and "a thread on
all cores" prepares batches without keeping to one core, as a plain background thread does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the command line does

import torch
from timing import in_turns, parser, show, timing_table

from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.core.space import Batch
from polydiff.training.data import batches
from polydiff.training.loop import fit
from polydiff.training.steps import begin

STEPS = 8


def variants(domain: str, device: str) -> dict[str, Callable[[], None]]:
    """Return what takes turns: runs of a preset quick that differ in where batches come from."""
    config = resolve(domain, words={"device": device}).config
    data, size = build_domain(config), config.train.batch_size
    training, source = begin(config, data), batches(data, size, config.seed, config.train.condition_dropout)
    at_hand = [source(step) for step in range(4)]

    def careless() -> None:
        with ThreadPoolExecutor(1) as plain:  # as long as it lives, its team slows the network's
            coming = [plain.submit(source, 0)]

            def batch(step: int) -> Batch:
                ready = coming.pop().result()
                coming.append(plain.submit(source, step + 1))
                return ready

            run(batch, 0)

    def run(source: Callable[[int], Batch], workers: int) -> None:
        training.step = 0
        for _ in fit(training, source, steps=STEPS, batch_size=size, workers=workers):
            pass

    return {
        "at hand": lambda: run(lambda step: at_hand[step % 4], 0),
        "0 threads": lambda: run(source, 0),
        "1 thread": lambda: run(source, 1),
        "3 threads": lambda: run(source, 3),
        "a thread on all cores": careless,
    }


def main() -> None:
    """Measure and print."""
    reader = parser(__doc__, rounds=7)
    reader.add_argument("--domains", nargs="+", default=["image", "audio", "molecule"])
    args = reader.parse_args()
    torch.set_num_threads(args.threads)
    text = [
        timing_table(
            f"{STEPS} steps, {domain} quick", in_turns(variants(domain, args.device), args.rounds, args.device)
        )
        for domain in args.domains
    ]
    show("Training with data prepared by threads", "\n".join(text), args)


if __name__ == "__main__":
    main()
