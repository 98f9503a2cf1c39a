"""How much of the time of training goes into checkpoints, at each preset's own interval; the limit is 2 %.

    python benchmarks/checkpoints.py [--presets image/quick audio/quick ...] [--steps 10] [--rounds 5] [--record]

A run of each preset trains some steps, then saves the same checkpoint in turns with all that belongs to it: packing,
digests, flushing to disk, deleting the former one. The share is that of a save in `train.checkpoint_every` steps and
one save. Both are medians. The files are written under `--folder`, whose disk it is that counts.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import torch
from timing import markdown, parser, show

from polydiff.config.merge import resolve
from polydiff.run.folder import Run
from polydiff.stages.open import open_domain, suited
from polydiff.support.disk import in_units
from polydiff.training.session import Session
from polydiff.training.steps import begin, records_of

PRESETS = ("image/quick", "image/dit", "audio/quick", "molecule/quick", "sequence/quick")
"""Presets for a CPU."""
LIMIT = 0.02
WARM = 2
"""Steps that do not count."""


def measured(preset: str, steps: int, rounds: int, folder: Path, device: str) -> list[str]:
    """Return the row of a preset: size, seconds of a step and of a save, share, and whether it is within the limit.

    Arguments:
        preset: DOMAIN/PRESET.
        steps: Steps to time.
        rounds: Saves to time.
        folder: Where checkpoints are written.
        device: Device of the network.
    """
    domain_name, _, name = preset.partition("/")
    settings = resolve(domain_name, name, values={"device": device})
    settings, domain = suited(settings, open_domain(settings.config))
    session = Session(Run(folder / preset), settings, domain, begin(settings.config, domain))
    step_seconds, save_seconds, mark = [], [], time.perf_counter()
    with closing(records_of(settings.config, domain, session.training)) as records:
        for _ in islice(records, WARM + steps):
            step_seconds.append(time.perf_counter() - mark)
            mark = time.perf_counter()
    for i in range(rounds):
        session.training.step += 1  # a new folder each time, and the oldest is deleted
        mark = time.perf_counter()
        session.checkpoint()
        save_seconds.append(time.perf_counter() - mark)
        print(f"{preset}: save {i + 1} in {save_seconds[-1]:.3f} s", file=sys.stderr)
    newest = next(path for path in session.run.checkpoints.iterdir())
    size = sum(path.stat().st_size for path in newest.iterdir())
    step, save, every = statistics.median(step_seconds[WARM:]), statistics.median(save_seconds), interval(session)
    share = save / (every * step + save)
    facts = [in_units(size), f"{step * 1000:.1f}", f"{save * 1000:.0f}", f"{every:,}", f"{share:.2%}"]
    return [preset, *facts, "yes" if share <= LIMIT else "NO"]


def interval(session: Session) -> int:
    """Return the steps between checkpoints; a run shorter than that writes one at its end."""
    train = session.config.train
    return min(train.checkpoint_every, train.steps)


def main() -> None:
    """Measure and print; the exit code is 1 if a preset exceeds the limit."""
    words = parser(__doc__, rounds=5)
    words.add_argument("--presets", nargs="+", default=PRESETS, metavar="DOMAIN/PRESET")
    words.add_argument("--steps", type=int, default=10)
    words.add_argument("--folder", type=Path, help="folder on the disk to measure; default: that of temporary files")
    args = words.parse_args()
    torch.set_num_threads(args.threads)
    rows = [["preset", "checkpoint", "ms a step", "ms a save", "steps between", "share", "within 2 %"]]
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        rows += [measured(preset, args.steps, args.rounds, Path(folder), args.device) for preset in args.presets]
    show("Checkpoints", markdown(rows), args)
    sys.exit(any(row[-1] == "NO" for row in rows[1:]))


if __name__ == "__main__":
    main()
