"""Bad plugins: the program's help, `doctor`, and other domains work, and a message names the package.

A plugin that cannot be imported is listed as broken; the command that uses it ends with code 2. One that fails while it
is used ends its own command with a code other than 0 and a message, and no other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

from bad_plugins import AT_IMPORT, GOOD, IN_USE
from children import Ended, check_refused, run_child
from fake_plugins import DOMAINS, PLUGINS, distribution
from trial import Trial, kind, workplace

from polydiff.checkup import doctor
from polydiff.cli import main
from polydiff.contract import discover

TRIALS = {"push": 8, "nightly": 100, "release": 100}
"""Largest numbers; there are as many trials as bad plugins."""
SECONDS = 3.0
"""Time limit of the import of a plugin in these trials, in place of 20 s."""
FEW = ["train.steps=2", "train.batch_size=4", "sample.steps=2", "--judge", "4"]


@cache
def ready() -> None:
    """Import what the commands need before the forks, and leave out of `doctor` what has nothing to do with plugins."""
    doctor.OPTIONAL = {}  # type: ignore[misc]
    doctor.torch_findings = lambda: iter(())  # type: ignore[assignment]
    discover.IMPORT_SECONDS = discover.FACTORY_SECONDS = SECONDS  # type: ignore[misc]
    os.environ["COLUMNS"] = "200"
    ended = run_child(lambda: main(["config", "show", "--domain", "image"]))
    assert ended.code == 0, ended.err


def program(folder: Path, *words: str) -> Ended:
    """Run the program in a child in which the plugins in a folder are installed."""

    def run() -> int:
        sys.path[:0] = [str(folder), str(PLUGINS)]
        os.chdir(folder)
        return main(words)

    return run_child(run, wait=60)


def install(folder: Path, card: str, domain: str = "") -> None:
    """Install the domain "bad" of the package bad-plugin."""
    (folder / "bad_card.py").write_text(card, encoding="utf-8", errors="surrogateescape")
    (folder / "bad_domain.py").write_text(domain)
    distribution(folder, "bad-plugin", {DOMAINS: {"bad": "bad_card:SPEC"}})


def check_others(folder: Path, commands: Sequence[Sequence[str]]) -> None:
    """Check that commands that have nothing to do with the plugin work."""
    for words in commands:
        ended = program(folder, *words)
        assert ended.result == 0, f"{words}: it returned {ended.result}, code {ended.code}: {ended.err[-300:]}"


OTHERS = (["--help"], ["config", "show", "--domain", "image"], ["train", "--domain", "image", "--help"])


def at_import(name: str) -> None:
    """A plugin whose card cannot be imported."""
    ready()
    with workplace() as folder:
        install(folder, AT_IMPORT[name])
        check_others(folder, OTHERS)
        for words in (["domains", "list"], ["doctor"]):
            ended = program(folder, *words)
            assert ended.result is not None, f"{words}: code {ended.code}: {ended.err[-300:]}"
            lines = [line for line in ended.out.splitlines() if "bad-plugin" in line]
            assert any("broken" in line for line in lines), f"{words}: the plugin is not called broken: {lines}"
            assert any("image" in line for line in ended.out.splitlines()), f"{words}: other domains are missing"
        check_refused(program(folder, "train", "--domain", "bda"))
        if not name.startswith(("os._exit", "crash", "abort")):  # these end the command that names them
            check_refused(program(folder, "train", "--domain", "bad"), "polydiff:", "bad-plugin", codes=(1, 2))


def in_use(name: str) -> None:
    """A plugin that fails when it builds its domain or while it trains."""
    ready()
    with workplace() as folder:
        install(folder, GOOD, IN_USE[name])
        check_others(folder, (*OTHERS, ["domains", "list"]))
        check_refused(program(folder, "train", "--domain", "bad", *FEW, "-o", "run"), "polydiff:", codes=(1, 2))


@kind("plugins")
def trials(tier: str) -> Iterator[Trial]:
    found = [("at import", name, at_import) for name in AT_IMPORT] + [("in use", name, in_use) for name in IN_USE]
    every = max(1, len(found) // TRIALS[tier])
    for seed, (when, name, act) in enumerate(found):
        if seed % every == 0:
            yield Trial("plugins", f"{when}: {name}", seed, partial(act, name))
