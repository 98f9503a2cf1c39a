"""What each preset takes: memory and time a step, with activations kept and computed again.

    python benchmarks/presets.py [--domains image audio molecule] [--presets quick small] [--steps 3] [--record]

Each figure is `polydiff train --dry-run` in a process of its own: "training" is the peak of weights, averages,
gradients, optimizer and activations; "process" the peak of all, with libraries and data. With backbone.recompute=true
blocks' activations are computed again on the way back.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from timing import markdown, parser, show

CODE = """
import json, sys
from polydiff.checkup.dry_run import dry_run
from polydiff.config.merge import resolve
domain, preset, steps, words = json.loads(sys.argv[1])
print(json.dumps(dry_run(resolve(domain, preset, words=words), steps)))
"""


def measured(domain: str, preset: str, recompute: bool, args: argparse.Namespace) -> dict[str, Any]:
    """Return what `--dry-run` finds, in a process of its own."""
    words = {"backbone.recompute": str(recompute).lower(), "device": args.device}
    arguments = json.dumps([domain, preset, args.steps, words])
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "GOMP_SPINCOUNT": "20000"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, arguments], env=environment, check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    reader = parser(__doc__)
    reader.add_argument("--domains", nargs="+", default=["image", "audio", "molecule"])
    reader.add_argument("--presets", nargs="+", default=["quick", "small"])
    reader.add_argument("--steps", type=int, default=3, help="steps taken, of which the first is not timed; default: 3")
    args = reader.parse_args()
    head = ["preset", "parameters", "batch", "precision", "recompute", "training (MiB)", "process (MiB)", "s a step"]
    rows = [[*head, "memory of training, times", "time, times"]]
    for domain in args.domains:
        for preset in args.presets:
            kept = measured(domain, preset, False, args)
            for recompute in (False, True):
                found = measured(domain, preset, True, args) if recompute else kept
                memory, seconds = found["memory of training (MiB)"], found["seconds a step"]
                ratios = [memory / kept["memory of training (MiB)"], seconds / kept["seconds a step"]]
                parameters = f"{found['parameters'] / 1e6:.2f} M"
                facts = [f"{domain} {preset}", parameters, str(found["batch shape"]), found["precision"]]
                figures = [f"{memory}", f"{found['peak memory (MiB)']}", f"{seconds:.3g}"]
                rows.append([*facts, "yes" if recompute else "no", *figures, *(f"{ratio:.2f}" for ratio in ratios)])
    show("Memory and time a step of each preset", markdown(rows), args)


if __name__ == "__main__":
    main()
