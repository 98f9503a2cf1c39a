"""Run seeded fault trials against the product and print one table: kind, trials, passed, failed.

    python tests/faults/campaign.py --tier push
    python tests/faults/campaign.py --tier release --only corruption hostile --share 2/4 -o b.json
    python tests/faults/campaign.py --merge a.json b.json

The exit code is 1 if a trial failed. A failed trial is repeated by its name: `--only KIND --trial NAME`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "helpers")]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from trial import TIERS, Result, Trial, kind_names, run_all, trials_of  # noqa: E402 - found by the path set above

WORDS = 120
"""Letters of a failure in the table."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    found.add_argument("--tier", choices=TIERS, default="push")
    found.add_argument("--only", nargs="+", choices=kind_names(), metavar="KIND", help="kinds of fault; default: all")
    found.add_argument("--trial", metavar="NAME", help="run the trials whose name contains this")
    found.add_argument("--share", type=share, default=(1, 1), metavar="I/N", help="every N-th trial from the I-th")
    found.add_argument("-o", type=Path, metavar="FILE", help="write the counts as JSON")
    found.add_argument("--merge", nargs="+", type=Path, metavar="FILE", help="print the table of such files")
    return found


def share(text: str) -> tuple[int, int]:
    """Return I and N of a share I/N."""
    i, n = (int(part) for part in text.split("/"))
    if not 1 <= i <= n:
        raise argparse.ArgumentTypeError(f"{text} is no share such as 2/4")
    return i, n


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the table, and return the exit code."""
    args = parser().parse_args(words)
    if args.merge:
        facts, results = merged([json.loads(path.read_text()) for path in args.merge])
    else:
        facts = facts_of(args.tier)
        with own_cache():
            results = {name: run_kind(name, args) for name in args.only or kind_names()}
    if args.o:
        kinds = {name: asdict(result) for name, result in results.items()}
        args.o.write_text(json.dumps({"facts": facts, "kinds": kinds}, indent=1))
    print("\n".join(table(results)))
    print(f"{facts}, {sum(result.seconds for result in results.values()):.0f} s")
    return int(any(result.failures for result in results.values()))


def run_kind(name: str, args: argparse.Namespace) -> Result:
    """Run the trials of a kind that the command line asks for; failures are told on stderr as they come."""

    def note(trial: Trial, words: str) -> None:
        print(f"FAILED {trial.kind}: {trial.name}: {words}", file=sys.stderr, flush=True)

    trials = trials_of(name, args.tier, args.share)
    result = run_all((t for t in trials if args.trial is None or args.trial in t.name), note)
    print(f"{name}: {result.trials} trials in {result.seconds:.0f} s", file=sys.stderr, flush=True)
    return result


@contextmanager
def own_cache() -> Iterator[None]:
    """Keep prepared data in a cache of this command's own, as tests do, and never in the user's."""
    with tempfile.TemporaryDirectory(prefix="polydiff-faults-") as folder:
        os.environ["POLYDIFF_CACHE"] = folder
        yield


def facts_of(tier: str) -> str:
    """Return the facts of a run of trials on one line."""
    names = ("polydiff", "torch", "numpy", "safetensors")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"tier {tier}, Python {platform.python_version()}, {versions}, {os.cpu_count()} CPUs"


def merged(files: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Result]]:
    """Return the facts and the added counts of files that -o wrote."""
    results: dict[str, Result] = {}
    for found in files:
        for name, counts in found["kinds"].items():
            failures = [(trial, words) for trial, words in counts["failures"]]
            part = Result(counts["trials"], failures, counts["seconds"])
            results[name] = results.get(name, Result()) + part
    return "; ".join(dict.fromkeys(found["facts"] for found in files)), results


def table(results: Mapping[str, Result]) -> list[str]:
    """Return the lines of the table."""
    rows = [("kind", "trials", "passed", "failed")]
    rows += [(name, f"{r.trials:,}", f"{r.trials - len(r.failures):,}", failed(r)) for name, r in results.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [f"{a:{widths[0]}} | {b:>{widths[1]}} | {c:>{widths[2]}} | {d}" for a, b, c, d in rows]


def failed(result: Result) -> str:
    """Return the number of failures, with the first one's words."""
    if not result.failures:
        return "0"
    name, words = result.failures[0]
    return f"{len(result.failures):,} ({f'{name}: {words}'[:WORDS]})"


if __name__ == "__main__":
    sys.exit(main())
