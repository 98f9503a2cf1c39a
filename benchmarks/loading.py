"""What it takes to load a batch of sound files, beside a training step of the preset `small`.

    python benchmarks/loading.py [--formats wav flac mp3] [--rates 16000 44100] [--rounds 9] [--record]

Files of ten seconds, 16 bits a sample, in the file cache. A batch is 64 crops of 16384 samples at 16 kHz, read by one
thread, as in training; those of another sample rate are resampled. "Share" is its time over that of a step, which
is that of the machine at hand: a GPU's is shorter, and so is the time in which several threads prepare a batch. Where a
step takes minutes, --batch-size 8 makes both shorter.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import soundfile
import torch
from timing import markdown, parser, quartiles, show

from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.core.space import Batch
from polydiff.training.data import batches
from polydiff.training.loop import fit
from polydiff.training.steps import begin

FILES, SECONDS = 200, 10
STEPS = 3
"""Steps of training that are timed, after one."""


def write_files(folder: Path, suffix: str, rate: int) -> Path:
    """Write noise with a falling spectrum, which coders find neither easy nor impossible."""
    folder.mkdir(parents=True)
    for i in range(FILES):
        noise = torch.randn(SECONDS * rate, generator=torch.Generator().manual_seed(i))
        x = torch.nn.functional.avg_pool1d(noise[None], 9, 1, 4)[0]
        soundfile.write(str(folder / f"{i:03d}.{suffix}"), 0.2 * x.numpy(), rate)
    return folder


def loading(folder: Path, statistics: Mapping[str, Any], batch_size: int, rounds: int) -> list[float]:
    """Return the seconds that batches of a folder take on one core."""
    config = resolve("audio", "small", words={"data.path": str(folder)}).config
    source = batches(build_domain(config, statistics={**statistics, "conditions": {}}), batch_size, config.seed)
    return timed(source, rounds)


def timed(run: Callable[[int], Batch], rounds: int) -> list[float]:
    """Return the seconds of each round after the first, on one thread."""
    threads, seconds = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for step in range(rounds + 1):
        start = time.perf_counter()
        run(step)
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return seconds[1:]


def step_seconds(config: Config, domain: Domain, batch_size: int, device: str) -> float:
    """Return the seconds of a training step whose batch is at hand."""
    batch = batches(domain, batch_size, config.seed)(0)
    seconds, start = [], time.perf_counter()
    training = begin(config, domain)
    for _ in fit(training, lambda step: batch, steps=STEPS + 1, batch_size=batch_size, workers=0):
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        now = time.perf_counter()
        seconds.append(now - start)
        start = now
    return statistics.median(seconds[1:])


def main() -> None:
    """Measure and print."""
    reader = parser(__doc__)
    reader.add_argument("--formats", nargs="+", default=["wav", "flac", "mp3"])
    reader.add_argument("--rates", nargs="+", type=int, default=[16000, 44100])
    reader.add_argument("--batch-size", type=int, default=64)
    args = reader.parse_args()
    torch.set_num_threads(args.threads)
    config = resolve("audio", "small", words={"device": args.device}).config
    domain = build_domain(config)
    step = step_seconds(config, domain, args.batch_size, args.device)
    rows = [["files", "ms a batch", "quartiles", "ms a crop", "share of a step"]]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["POLYDIFF_CACHE"] = f"{folder}/cache"
        for suffix, rate in itertools.product(args.formats, args.rates):
            files = write_files(Path(folder) / f"{suffix}-{rate}", suffix, rate)
            low, ms, high = (
                1e3 * value for value in quartiles(loading(files, domain.statistics, args.batch_size, args.rounds))
            )
            times = [f"{ms:.1f}", f"{low:.1f} to {high:.1f}", f"{ms / args.batch_size:.2f}"]
            rows.append([f"{suffix}, {rate} Hz", *times, f"**{ms / 1e3 / step:.2%}**"])
    text = f"A step of `small` with a batch of {args.batch_size} at hand takes {step:.2f} s.\n\n{markdown(rows)}"
    show("Loading sound files", text, args)


if __name__ == "__main__":
    main()
