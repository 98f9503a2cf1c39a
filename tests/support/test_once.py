"""Warnings of a command: each is printed once, whatever else changes the filters of warnings."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import warnings
from polydiff.support.once import each_warning_once, printed

def warn():
    warnings.warn("the file a.txt is ignored", stacklevel=1)
    with warnings.catch_warnings():  # makes Python forget which warnings it has shown
        warnings.simplefilter("ignore")

for command in range(2):
    with each_warning_once():
        warn(), warn()
        warnings.warn("another")
        warn()
        assert printed().splitlines() == ["the file a.txt is ignored", "another"]
assert printed() == ""
"""


def test_a_warning_is_printed_once_a_command() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == 2 * ["polydiff: the file a.txt is ignored", "polydiff: another"]
