"""How long one waits: for the command line, and for the first training step of each preset quick.

    python benchmarks/startup.py [--rounds 5] [--record]

Each figure is of processes of their own, their median with quartiles. "First step" is the time from typing `polydiff
train` to the first line of progress, and "first step, empty cache" that of a machine where a domain has not prepared
its data yet. Warm file caches; `--threads` is of the network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from timing import markdown, parser, quartiles, show

DOMAINS = ("image", "audio", "molecule")
POLYDIFF = (sys.executable, "-m", "polydiff")


def until_done(words: Sequence[str], environment: dict[str, str]) -> float:
    """Return the seconds that a command takes."""
    start = time.perf_counter()
    subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def until_first_step(domain: str, environment: dict[str, str]) -> float:
    """Return the seconds from the start of `polydiff train` to its first line of progress."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*POLYDIFF, "train", "-d", domain, "-o", f"{folder}/run"]
        start = time.perf_counter()
        with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            args = []
            for line in process.stderr:
                args.append(line)
                if line.startswith("step 1/"):
                    seconds = time.perf_counter() - start
                    process.kill()
                    return seconds
        raise RuntimeError(f"{domain} made no step:\n{''.join(args)}")


def main() -> None:
    """Measure and print."""
    args = parser(__doc__, rounds=5).parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    waits: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: until_done([sys.executable, "-c", "pass"], environment),
        "python -c 'import torch'": lambda: until_done([sys.executable, "-c", "import torch"], environment),
        "polydiff --help": lambda: until_done([*POLYDIFF, "--help"], environment),
        "polydiff domains list": lambda: until_done([*POLYDIFF, "domains", "list"], environment),
        "polydiff train -d image --help": lambda: until_done(
            [*POLYDIFF, "train", "-d", "image", "--help"], environment
        ),
    }
    for domain in DOMAINS:
        waits[f"{domain}: first step"] = lambda domain=domain: until_first_step(domain, environment)  # type: ignore[misc]
    until_first_step("molecule", environment)  # its geometries are now in the cache
    seconds: dict[str, list[float]] = {name: [] for name in waits}
    for _ in range(args.rounds):
        for name, wait in waits.items():
            seconds[name].append(wait())
    with tempfile.TemporaryDirectory() as cache:
        empty = {**environment, "POLYDIFF_CACHE": str(Path(cache))}
        seconds["molecule: first step, empty cache"] = [until_first_step("molecule", empty)]
    rows = [["", "seconds", "quartiles"]]
    for name, times in seconds.items():
        low, middle, high = quartiles(times)
        rows.append([name, f"{middle:.2f}", f"{low:.2f} to {high:.2f}"])
    show("Start-up", markdown(rows), args)


if __name__ == "__main__":
    main()
