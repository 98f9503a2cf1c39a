"""The process of a configuration, by its name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from polydiff.process import PROCESSES, Process

if TYPE_CHECKING:
    from polydiff.config import Config

BUILT_IN = ("polydiff.gaussian_process",)
"""Modules that register polydiff's own processes when they are imported."""


def process_of(config: Config) -> Process:
    """Return the process that a configuration names; a name that nothing is registered under is a `UserError`."""
    for module in BUILT_IN:
        import_module(module)
    return PROCESSES[config.process]
