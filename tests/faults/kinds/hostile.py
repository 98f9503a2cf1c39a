"""Hostile runs: nothing of them is run, nothing outside the run is read, and the verdict is one message, soon.

The program runs in a child, with a module `evil_module` on its path that writes the canary when it is imported. It ends
with code 2 and a message without a traceback, within 5 s of processor time, and its memory rises by the size of the
checkpoint and 200 MiB at most. A case that changes nothing that is used may succeed; the canary never appears.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from children import check_refused, run_child
from hostile_cases import Case, cases
from report_cases import make_run
from repository import ROOT
from trial import Trial, kind, shared_folder, workplace

from polydiff.cli import main
from polydiff.run.checkpoint import Checkpoint

TRIALS = {"push": 40, "nightly": 10_000, "release": 10_000}
"""Largest numbers; there are as many trials as cases, and the push tier takes some from all groups."""
SECONDS, MEMORY, WAIT = 5.0, 200.0, 60.0
VERBS = {"sample": ["-n", "1", "--steps", "2", "-o"], "report": [], "resume": ["--judge", "0"]}


@cache
def whole_run() -> Path:
    """Return the folder of a run with one whole checkpoint, which the program reads without an error."""
    run = make_run(shared_folder() / "hostile")
    (run / "config.resolved.yaml").write_text("domain: image\ntrain:\n  steps: 50\n")
    Checkpoint.load(ROOT / "tests" / "golden" / "image" / "step-00000050").save(run / "checkpoints")
    for verb in VERBS:  # imports are done before the forks, and do not count
        copy = shutil.copytree(run, shared_folder() / f"hostile-{verb}")
        assert main(words(verb, copy)) == 0, f"{verb} of the run that is not hostile fails"
    return run


def words(verb: str, run: Path) -> list[str]:
    """Return the command line of a verb."""
    more = VERBS[verb]
    return [verb, str(run), *more, *([str(run.parent / "out")] if "-o" in more else [])]


def run_case(case: Case) -> None:
    """Make the run hostile, let the program read it, and check its verdict."""
    with workplace() as folder:
        run, canary = shutil.copytree(whole_run(), folder / "run"), folder / "canary"
        (folder / "evil").mkdir()
        (folder / "evil" / "evil_module.py").write_text(f"open({str(canary)!r}, 'w').close()\n")
        case.make(run, canary)
        size = max((path.stat().st_blocks / 2048 for path in run.rglob("*") if path.is_file()), default=0.0)

        def program() -> int:
            sys.path.insert(0, str(folder / "evil"))
            return main(words(case.verb, run))

        ended = run_child(program, WAIT)
        assert not canary.exists(), "code of the run was run"
        check_refused(ended, codes=(0, 2) if case.harmless else (2,))
        assert len(ended.err) < 4000, f"a message of {len(ended.err)} letters: {ended.err[:100]}"
        assert ended.seconds <= SECONDS, f"a verdict after {ended.seconds:.1f} s"
        assert ended.risen <= size + MEMORY, f"{ended.risen:.0f} MiB for files of {size:.0f} MiB"


@kind("hostile")
def trials(tier: str) -> Iterator[Trial]:
    found = list(cases())
    every = max(1, len(found) // TRIALS[tier])
    for seed, case in enumerate(found):
        if seed % every == 0:
            yield Trial("hostile", f"{case.verb}: {case.name}", seed, partial(run_case, case))
