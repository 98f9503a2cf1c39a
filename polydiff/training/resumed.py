"""Checks when a run is resumed: its data, its versions and its configuration file are those of before."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

from polydiff.config.keys import leaves
from polydiff.contract.data.identity import changes, identity_of
from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.machine.environment import version
from polydiff.run.folder import Run
from polydiff.run.parents import parents_of
from polydiff.run.reading import read_text
from polydiff.support.errors import UserError, amount
from polydiff.support.nested import get_dotted
from polydiff.support.yaml_text import yaml_mapping

ADVICE = "Restore the data, start a new run, or add --allow-changed-data (allow_changed_data=True in Python)."


def check_data(domain: Domain, state: Mapping[str, Any], config: Config, allowed: bool) -> dict[str, Any] | None:
    """Return the identity of the training data; raise UserError if they have changed since the checkpoint.

    Arguments:
        domain: The domain, with its data.
        state: State of the checkpoint.
        config: The run's configuration.
        allowed: Whether changed data are a warning instead of an error.
    """
    found, before, count = identity_of(domain), state.get("data"), domain.size("train")
    where = f"in {config.data.path}" if config.data.path else f"of {config.data.name}"
    problem = ""
    if count != state["examples"]:
        problem = f"The run was trained on {amount(state['examples'], 'example')}, but there are {count} {where} now."
    elif before is not None and found is not None and (different := changes(before, found)):
        problem = f"The examples {where} are not those of the run's training: {' and '.join(different)} differ."
    if problem and not allowed:
        raise UserError(f"{problem} {ADVICE}")
    if problem:
        warnings.warn(f"{problem} Training goes on with the data as they are.", stacklevel=2)
    elif before is None and found is not None:
        warnings.warn(
            "The checkpoint has no digest of its training data, so only their number is checked.", stacklevel=2
        )
    return found


def warn_of_versions(state: Mapping[str, Any]) -> None:
    """Warn if the checkpoint is from another version of polydiff or torch: the bits of the result may differ."""
    before = state.get("environment", {}).get("versions", {})
    pairs = {name: (before[name], version(name)) for name in ("polydiff", "torch") if name in before}
    other = [
        f"{name} {old}, which is {age(old, new)} the installed {new}"
        for name, (old, new) in pairs.items()
        if old != new
    ]
    if other:
        warnings.warn(
            f"The checkpoint was written by {'; by '.join(other)}. The resumed run may differ in rounding from one "
            "that was never stopped.",
            stacklevel=2,
        )


def age(version: str, other: str) -> str:
    """Return what a version is, compared with another one: "older than", "newer than" or "another build than"."""
    ours, theirs = ([int(number) for number in re.findall(r"\d+", text.partition("+")[0])] for text in (version, other))
    return "another build than" if ours == theirs else "older than" if ours < theirs else "newer than"


def warn_of_edits(run: Run, config: Config, saved: Mapping[str, Any]) -> None:
    """Warn if config.resolved.yaml has other values than the checkpoint, whose values are used.

    Arguments:
        run: The run.
        config: The configuration that is used.
        saved: The configuration in the checkpoint.
    """
    try:
        written = yaml_mapping(read_text(run.resolved), str(run.resolved))
    except UserError as error:
        warnings.warn(f"{error} The values of the checkpoint are used.", stacklevel=2)
        return
    # a resume may change the number of steps, as a budget of time does, trackers and launch; parents may have moved
    moved = {"train.steps", "train.minutes", "track", "track_options", *parents_of(config)}
    own = [key for key in leaves(type(config)) if key not in moved and not key.startswith("launch.")]
    keys = [key for key in own if has(written, key)]
    different = [key for key in keys if has(saved, key) and get_dotted(written, key) != get_dotted(saved, key)]
    if different:
        warnings.warn(
            f"{run.resolved} was changed after the run began: {', '.join(different)}. A resumed run uses the values of "
            "its checkpoint. To train with the new ones, start a new run with -c.",
            stacklevel=2,
        )


def has(values: Mapping[str, Any], key: str) -> bool:
    """Return whether nested mappings have a dotted key."""
    for name in key.split("."):
        if not isinstance(values, Mapping) or name not in values:
            return False
        values = values[name]
    return True
