"""The process that a configuration names, and the network that this process builds."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from polydiff.core.process.abilities import LeavesUnused, NamesKeys
from polydiff.core.process.process import LEARNERS, PARTS_KEYS, PROCESS_KEYS, PROCESSES, Process, written
from polydiff.support.errors import UserError, unknown
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    import torch

    from polydiff.contract.domain import Domain
    from polydiff.contract.sections.run import Config


LETTERS = "letters"
"""States of processes of letters (`states_of`)."""
DENOISE = "denoise"
"""Value of `learn` with which a run trains the process that `process` names."""
LEARNED = ("encode",)
"""Sections of the configuration that only a value of `learn` other than denoise reads."""
GENERATING = (
    *("process", "sample", "tell_noise", "train.codes", "train.compile", "train.condition_dropout"),
    *("backbone.step_size", "backbone.self_condition", "backbone.text"),
)
"""Keys, or whole sections, that only generating needs. Another value of `learn` than denoise that says which keys it
reads (`NamesKeys`) names those of them that it reads too."""


def register_built_in() -> None:
    """Register the built-in process and the built-in values of `learn`."""
    import polydiff.encode.process
    import polydiff.gaussian.process.process
    import polydiff.match.process
    import polydiff.parts.geodesic
    import polydiff.parts.joint.process
    import polydiff.parts.letters.kernel  # noqa: F401 - they register themselves


def process_of(config: Config) -> Process:
    """Return the process that a configuration names: that of `learn`, or with learn=denoise that of `process`.

    Raises:
        UserError: No process is registered under the value of `process`, or what is registered is no process.
    """
    register_built_in()
    if config.learn != DENOISE:
        if config.learn not in LEARNERS:
            raise unknown("value of learn", config.learn, [DENOISE, *LEARNERS])
        return LEARNERS[config.learn]
    process = PROCESSES[config.process]
    if isinstance(process, type) or not provides(process, Process):
        found = f"the class {process.__name__}" if isinstance(process, type) else f"a {type(process).__name__}"
        raise UserError(
            f"process={config.process}: {found} is registered, not an object with the members of "
            "polydiff.core.process.process.Process: check, name, network and objective."
        )
    return process


def states_of(config: Config) -> str:
    """Return what the states of a configuration's process are: "real" numbers, "letters" (`core.parts.letters`), ...

    "parts" for a process of several parts, whose kernels `config.parts` names.
    """
    process = process_of(config)
    return "parts" if process.name == "joint" else str(getattr(process, "states", "real"))


def has_noise_levels(config: Config) -> bool:
    """Return whether levels are those of noise: whether states, or the first of their parts, are real numbers."""
    states = states_of(config)
    if states == "parts":
        return next(iter(config.parts.values())).process == "gaussian"
    return states == "real"


def check_used(config: Config, keys: Iterable[str]) -> None:
    """Raise UserError, or warn, if a process ignores keys that the user has set, whose values nothing then checks.

    Arguments:
        config: The configuration, which names the process; the built-in one uses all keys.
        keys: Dotted keys that the user has set.

    Raises:
        UserError: The process says which keys it reads (`polydiff.core.process.abilities.NamesKeys`), and one is not
            among them.
    """
    from polydiff.gaussian.process.process import GaussianProcess

    process, keys = process_of(config), list(keys)
    if process.name in LEARNERS.loaded():
        own: Collection[str] = ()
        unread: Collection[str] = ("process", "train.compile", *LEARNED)
        if provides(process, NamesKeys):
            own, unread = process.keys, (*PROCESS_KEYS, *GENERATING, *LEARNED)
        foreign = [key for key in keys if within(key, unread) and not within(key, own)]
    else:
        foreign = [key for key in keys if within(key, LEARNED)]
    if foreign:
        advice = "it" if len(foreign) == 1 else "them"
        raise UserError(f"{learned_by(process)} does not use {', '.join(sorted(foreign))}. Leave {advice} out.")
    if isinstance(process, GaussianProcess):
        keys = [key for key in keys if within(key, PARTS_KEYS)]
    read = process.keys if provides(process, NamesKeys) else ()
    ignored = [key for key in keys if within(key, PROCESS_KEYS) and not within(key, read)]
    if not ignored:
        check_effective(process, config, keys)
        return
    names = ", ".join(sorted(ignored))
    if isinstance(process, GaussianProcess) or provides(process, NamesKeys):
        raise UserError(f"{written(process)} does not use {names}. Leave it out.")
    warnings.warn(
        f"{written(process)} may ignore {names}: it does not say which keys it reads (attribute `keys`).",
        stacklevel=2,
    )


def check_effective(process: Process, config: Config, keys: Iterable[str]) -> None:
    """Raise UserError if a key that the process reads has no effect in this configuration (`LeavesUnused`)."""
    found = process.unused(config) if provides(process, LeavesUnused) else {}
    for key in keys:
        for unused, advice in found.items():
            if within(key, [unused]):
                raise UserError(f"{key} has no effect: {advice}")


def learned_by(process: Process) -> str:
    """Return how a configuration says what a run learns, such as "learn=encode"."""
    return written(process) if process.name in LEARNERS.loaded() else f"learn={DENOISE}"


def within(key: str, names: Iterable[str]) -> bool:
    """Return whether a dotted key is one of these names, or lies in a section or mapping of such a name."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def build_denoiser(config: Config, domain: Domain, device: torch.device) -> Any:
    """Return the untrained network of a configuration, built by its process.

    Arguments:
        config: The configuration; its seed determines the initial weights.
        domain: The domain whose states the network receives.
        device: Where the network computes.
    """
    return process_of(config).network(config, domain, device)
