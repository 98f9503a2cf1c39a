"""Ctrl-C, SIGTERM and its like in every phase: no traceback, the stated exit code, an open lock, an exact resume.

A trial runs the command line in a child, which sends itself the signal as it enters a phase, twice for some: the
second one must end it at once.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from children import files_under, run_child, run_main, warm, words
from tiny_runs import assert_same_run
from trial import Trial, kind, shared_folder, workplace

from polydiff.run.folder import steps_saved
from polydiff.support.replace import DRAFT

DOMAIN = "sequence"
MORE = {"train.steps": 4, "train.checkpoint_every": 2, "train.sample_every": 3, "train.keep": 9}
JUDGED = ("--judge", "8")
PUSH = 9
"""Of how many cases the tier "push" takes one."""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 138}


class Phase(NamedTuple):
    """A phase of a training.

    Attributes:
        module: Module in which a name is looked up when the phase begins.
        name: The name, perhaps of a class's method.
        left: Newest checkpoint after one signal; 0: none.
    """

    module: str
    name: str
    left: int


PHASES = {
    "start": Phase("polydiff.cli.train", "check", 0),
    "data": Phase("polydiff.training.trainer", "open_domain", 0),
    "measuring": Phase("polydiff.training.trainer", "suited", 0),
    "real examples": Phase("polydiff.training.trainer", "write_samples", 0),
    "step": Phase("polydiff.training.loop", "learning_rate", 1),
    "save": Phase("polydiff.run.checkpoint", "write_files", 2),
    "sampling": Phase("polydiff.training.session", "shown_request", 3),
    "judging": Phase("polydiff.judging.evaluate", "evaluate", 4),
    "report": Phase("polydiff.report.page", "write_report", 4),
}
"""Phase -> where it begins; `left` is what one signal leaves saved."""
LOOP = ("step", "save", "sampling")
"""Phases in which one signal ends the run after the step."""


def interrupted(argv: list[str], phase: Phase, number: signal.Signals, times: int, slow: float) -> int:
    """Run the command line; at the first call of the phase, send this process the signal."""
    not_ignored(number)
    owner: Any = importlib.import_module(phase.module)
    before: Callable[..., Any] = getattr(owner, phase.name)
    sent: list[int] = []

    def entered(*args: Any, **more: Any) -> Any:
        if not sent:
            sent.append(1)
            for _ in range(times):
                os.kill(os.getpid(), number)
                time.sleep(0.001)  # a handler runs between two instructions of Python
            time.sleep(slow)
        return before(*args, **more)

    setattr(owner, phase.name, entered)
    return run_main(argv)


def not_ignored(number: signal.Signals) -> None:
    """Give a signal the system's handler in this process if it is ignored, as SIGHUP is under nohup."""
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


def in_phase(name: str, number: signal.Signals, times: int) -> None:
    """Interrupt a training in a phase, look at what is left, and finish it."""
    warm(DOMAIN)
    phase, argv = PHASES[name], words(DOMAIN, Path("run"), **MORE)
    with workplace() as folder:
        run = folder / "run"
        argv[argv.index("run")] = str(run)
        begun = time.monotonic()
        slow = 60.0 if times == 2 else 0.0  # the second signal ends this wait
        ended = run_child(partial(interrupted, [*argv, *JUDGED], phase, number, times, slow))
        assert ended.code == CODES[number], f"exit code {ended.code}: {ended.err}"
        assert "Traceback" not in ended.err, ended.err
        assert time.monotonic() - begun < 60, "the second signal did not end it at once"
        saved = steps_saved(run / "checkpoints")
        left = phase.left if times == 1 or name not in LOOP else {"step": 0, "save": 0, "sampling": 2}[name]
        assert max(saved, default=0) == left, f"saved: {saved}"
        assert_unlocked(run)
        again = ["resume", str(run), *JUDGED] if saved else [*argv, *JUDGED]
        ended = run_child(partial(run_main, again))
        assert ended.code == 0, ended.err
        assert_same_run(run, whole())
        assert beside_extra_steps(run) == beside_extra_steps(whole())
        assert [found for found in run.rglob(".*") if DRAFT.fullmatch(found.name)] == []


def beside_extra_steps(run: Path) -> list[str]:
    """Return the files of a run but for its checkpoints, of which a stop writes one more."""
    return [name for name in files_under(run) if not name.startswith("checkpoints/")]


@cache
def whole() -> Path:
    """Return the folder of a run that was not interrupted."""
    place = shared_folder() / "signals"
    place.mkdir()
    argv = [*words(DOMAIN, place / "run", **MORE), *JUDGED]
    ended = run_child(partial(run_main, argv))
    assert ended.code == 0, ended.err
    return place / "run"


def assert_unlocked(run: Path) -> None:
    """No process holds the lock of a run's folder, if there is one."""
    lock = run / ".lock"
    if lock.exists():
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


AT_IMPORT = "import os, signal\nos.kill(os.getpid(), signal.{name})\n"
AT_EXIT = "import atexit, os, signal\natexit.register(os.kill, os.getpid(), signal.{name})\n"


def outside(place: str, number: signal.Signals) -> None:
    """Interrupt the program while it imports a module, or while Python shuts down, in a process of its own."""
    module, code = ("pydantic", AT_IMPORT) if place == "imports" else ("sitecustomize", AT_EXIT)
    with workplace() as folder:
        (folder / f"{module}.py").write_text(code.format(name=number.name))
        argv = ["train", "-d", "image", "-o", "run"] if place == "imports" else ["--version"]
        ended = subprocess.run(
            [sys.executable, "-m", "polydiff", *argv], capture_output=True, text=True, check=False, timeout=120,
            cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, preexec_fn=partial(not_ignored, number),
        )  # fmt: skip
        expected = CODES[number] if place == "imports" else -number  # the system's own end, which a shell calls 130
        assert ended.returncode == expected, f"exit code {ended.returncode}: {ended.stderr}"
        assert "Traceback" not in ended.stderr, ended.stderr
        assert not (folder / "run").exists()


VERBS = {
    "sample": (["sample", "RUN", "-n", "4", "-o", "OUT"], Phase("polydiff.gallery.writer", "write_in_background", 0)),
    "eval": (["eval", "RUN", "-n", "8"], Phase("polydiff.judging.evaluate", "evaluate", 0)),
    "report": (["report", "RUN"], Phase("polydiff.report.page", "write_report", 0)),
}
"""Verb -> its command line and where it is interrupted."""


def in_verb(verb: str, number: signal.Signals) -> None:
    """Interrupt a verb that uses a finished run; the run is as before."""
    argv, phase = VERBS[verb]
    before = files_under(whole())
    with workplace() as folder:
        found = [str(whole()) if word == "RUN" else str(folder / "out") if word == "OUT" else word for word in argv]
        ended = run_child(partial(interrupted, found, phase, number, 1, 0.0))
        assert ended.code == CODES[number], f"exit code {ended.code}: {ended.err}"
        assert "Traceback" not in ended.err, ended.err
        assert files_under(whole()) == before


@kind("signals")
def trials(tier: str) -> Iterator[Trial]:
    """All cases but for the tier "push", which has a part of them."""
    found = []
    for number in CODES:
        found += [(f"{place} {number.name}", partial(outside, place, number)) for place in ("imports", "shutdown")]
        found += [(f"{verb} {number.name}", partial(in_verb, verb, number)) for verb in VERBS]
        for name in PHASES:
            for times in (1, 2):
                found.append((f"{name} {number.name} x{times}", partial(in_phase, name, number, times)))
    for seed, (name, run) in enumerate(found):
        if tier != "push" or seed % PUSH == 0:
            yield Trial("signals", name, seed, run)
