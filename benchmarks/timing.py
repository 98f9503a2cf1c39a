"""Timing in turns, which every benchmark of speed here shares.

Variants take turns, so that other load on the machine touches all alike, and each is compared with the first in the
same round: read the ratios, not the milliseconds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import shlex
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polydiff.machine.allocator import keep_memory
from polydiff.machine.environment import environment

RESULTS = Path(__file__).parent / "RESULTS.md"
"""Where figures are kept."""


class Timing(NamedTuple):
    """What a variant took.

    Attributes:
        seconds: Of each round.
        ratios: Time of the first variant over this one's, of each round.
    """

    seconds: list[float]
    ratios: list[float]


def in_turns(
    variants: Mapping[str, Callable[[], object]],
    rounds: int,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Run each variant once to warm up and then `rounds` times, in turns, and return what each took.

    Arguments:
        variants: Functions by name.
        rounds: Turns of each that count.
        device: Device on which they run.
        clock: Seconds; `time.process_time` counts those of the CPU.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds + 1):
        for name, run in variants.items():
            start = clock()
            run()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds[name].append(clock() - start)
    first = next(iter(seconds.values()))[1:]
    return {
        name: Timing(times[1:], [a / b for a, b in zip(first, times[1:], strict=True)])
        for name, times in seconds.items()
    }


@contextmanager
def apart(
    threads: int, keep: bool, make: Callable[..., Callable[[], object]], *args: Any
) -> Iterator[Callable[[], None]]:
    """Yield a function that runs make(*args)() in a process of its own, which waits between its turns.

    So that each library has the memory, the threads and the settings that its users have.

    Arguments:
        threads: Of the process.
        keep: Whether it keeps freed memory, as polydiff's command line does.
        make: Builds what is run; a function of a module, for another process imports it.
        args: Its arguments.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, threads, keep, make, args), daemon=True)
    process.start()

    def run() -> None:
        ours.send(None)
        if (error := ours.recv()) is not None:
            raise RuntimeError(error)

    try:
        yield run
    finally:
        process.terminate()
        process.join()


def serve(
    pipe: Any, threads: int, keep: bool, make: Callable[..., Callable[[], object]], args: tuple[Any, ...]
) -> None:
    """Build what is to be run, and run it whenever the pipe says so."""
    if keep:
        keep_memory()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    run = None
    while True:
        pipe.recv()
        try:
            run = run or make(*args)
            run()
            pipe.send(None)
        except Exception:  # noqa: BLE001 - whatever it was, the other process raises it
            pipe.send(traceback.format_exc())


def timing_table(title: str, timings: Mapping[str, Timing], flop: float | Mapping[str, float] | None = None) -> str:
    """Return medians with quartiles, how many times as fast as the first each is, and its rate for `flop` a run.

    Arguments:
        title: Head of the first column.
        timings: What each variant took.
        flop: Floating-point operations of a run, of all variants or of each.
    """
    rates = [] if flop is None else ["GFLOP/s"]
    rows = [[title, "ms", "quartiles", "times as fast", "quartiles", *rates]]
    for name, (seconds, ratios) in timings.items():
        ms, ratio = (quartiles([1e3 * s for s in seconds]), quartiles(ratios))
        work = flop[name] if isinstance(flop, Mapping) else flop
        rate = [] if work is None else [f"{work / statistics.median(seconds) / 1e9:.0f}"]
        times = [f"{ms[1]:.1f}", f"{ms[0]:.1f} to {ms[2]:.1f}"]
        rows.append([name, *times, f"**{ratio[1]:.2f}**", f"{ratio[0]:.2f} to {ratio[2]:.2f}", *rate])
    return markdown(rows)


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table, the first its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:], ""])


def relative_error(value: Tensor, truth: Tensor) -> float:
    """Return |value - truth| / |truth|, of all numbers together, in float64."""
    return ((value.double() - truth.double()).norm() / truth.double().norm()).item()


def parser(doc: str | None, rounds: int = 9) -> argparse.ArgumentParser:
    """Return a parser of the arguments that every benchmark of speed has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU; default: all")
    made.add_argument("--rounds", type=int, default=rounds, help=f"turns of each variant; default: {rounds}")
    made.add_argument("--device", default="cpu", help="cpu or cuda")
    made.add_argument("--record", action="store_true", help="append what is printed to benchmarks/RESULTS.md")
    return made


def show(title: str, text: str, args: argparse.Namespace) -> None:
    """Print a section of results; with --record, append it to RESULTS.md."""
    where = environment(args.device)
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    facts = f"{where['date'][:10]}, {where['device']}, {args.threads} threads, {versions}."
    section = f"## {title}\n\n    {command}\n\n{facts}\n\n{text}"
    print(section, flush=True)
    if args.record:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(os.linesep + section.replace(" --record", ""))


def document(text: str, page: Path, mark: str = "tables") -> None:
    """Put tables between two marks of a page, <!-- tables --> and <!-- end of tables -->, but nothing in <details>."""
    text = re.sub(r"<details>.*?</details>\n?", "", text, flags=re.DOTALL)
    before, _, rest = page.read_text().partition(f"<!-- {mark} -->\n")
    _, _, after = rest.partition(f"<!-- end of {mark} -->")
    page.write_text(f"{before}<!-- {mark} -->\n{text}\n<!-- end of {mark} -->{after}")
