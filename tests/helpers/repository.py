"""The repository's root, and the commands and code blocks of its pages."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from polydiff.config.merge import resolve
from polydiff.contract.sections.run import Config

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
FEW = [
    "train.steps=4",
    "train.batch_size=8",
    "backbone.channels=16",
    "backbone.blocks=1",
    "sample.steps=3",
    "--judge",
    "20",
]
"""Words that shorten a `polydiff train` command of a page."""


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced code blocks of a page in one language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", (ROOT / page).read_text(), flags=re.M | re.S)


def commands(page: str) -> list[list[str]]:
    """Return the `polydiff` commands in the shell blocks of a page, each as a list of words without the program."""
    lines = "\n".join(blocks(page, "sh")).splitlines()
    return [words[1:] for line in lines if (words := shlex.split(line, comments=True)) and words[0] == "polydiff"]


def training_settings(page: str) -> list[Config]:
    """Return the settings of each command of a page; all must be `polydiff train --domain NAME KEY=VALUE...`."""
    found = []
    for verb, flag, domain, *words in commands(page):
        assert (verb, flag) == ("train", "--domain")
        found.append(resolve(domain, words=dict(word.split("=", 1) for word in words)).config)
    return found
