"""Whether a configuration can be trained: what every process asks of it, and what its own process does."""

from __future__ import annotations

from collections.abc import Iterable

from polydiff.config import Config, SampleConfig
from polydiff.errors import UserError
from polydiff.parents import parents_of
from polydiff.processes import process_of

GUIDED = {
    "guide": "A guide",
    "negative": "A condition to guide away from",
    "guidance_method": "A method of guidance",
    "guidance_options": "An option of guidance",
    "guidance_interval": "An interval of guidance",
}
"""Key of the section `sample` that only matters where there is guidance -> what it is."""


def check_config(config: Config) -> None:
    """Raise a `UserError` unless everything that a configuration names exists, works and fits together."""
    process_of(config).check(config)
    check_guided(config.sample, ("guide", "negative"))
    check_parents(config)


def check_parents(config: Config) -> None:
    """Raise `UserError` if a run that the configuration names does not exist."""
    for key, path in parents_of(config).items():
        if not path.is_dir():
            raise UserError(f"{key}={path}: there is no such run or checkpoint.")


def check_guided(how: SampleConfig, said: Iterable[str]) -> None:
    """Raise a `UserError` if keys of guidance are set and the scale is 1, which is no guidance.

    Arguments:
        how: The section.
        said: Keys to look at.
    """
    plain = SampleConfig()
    idle = [what for key, what in GUIDED.items() if key in said and getattr(how, key) != getattr(plain, key)]
    if how.guidance == 1 and idle:
        raise UserError(f"{idle[0]} does nothing at guidance 1. Say guidance=2, for instance.")
