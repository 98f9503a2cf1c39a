"""Checks of a configuration of process=joint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polydiff.contract.names import check_chosen, check_options
from polydiff.contract.sections.parts import parts_in
from polydiff.gaussian.objective.base import build_objective
from polydiff.gaussian.process.checks import check_names, registries, sampling_registries
from polydiff.parts.checks import check_absent, check_schedule
from polydiff.parts.joint.part_sampling import divided, sampling_of, with_lead_options
from polydiff.parts.kernel import KERNELS, is_by_size
from polydiff.parts.schedule import LEVEL_SCHEDULES
from polydiff.support.errors import UserError, unknown

if TYPE_CHECKING:
    from polydiff.contract.sections.parts import PartConfig
    from polydiff.contract.sections.run import Config

GAUSSIAN = "gaussian"
"""Kernel of parts of real numbers."""


def values_of_keys() -> dict[str, list[str]]:
    """Return the names that keys can have (`core.process.abilities.NamesValues`), of the first part and of each."""
    entries = [KERNELS[name] for name in KERNELS]
    own = {
        "process": [GAUSSIAN, *KERNELS],
        "schedule": [*LEVEL_SCHEDULES],
        "weighting": sorted({name for entry in entries for name in entry.weightings}),
        "sampler": sorted({name for entry in entries for name in entry.samplers}),
    }
    lead = {key: [*names] for key, names in (registries() | sampling_registries()).items()}
    return lead | {f"parts.*.{key}": names for key, names in own.items()}


def check_joint(config: Config) -> None:
    """Raise UserError unless the parts of a configuration, their names and options exist and are compatible."""
    if not config.parts:
        raise UserError(
            "process=joint needs the key parts: name of a part -> its kernel, such as parts.bonds.process=masked."
        )
    first, *others = config.parts
    for name in others:
        if config.parts[name].process == GAUSSIAN:
            raise UserError(f"parts.{name}.process=gaussian: only the first part, {first}, may be gaussian.")
    check_absent(config)
    own, changed = divided(config)
    for name, part in config.parts.items():
        if part.process != GAUSSIAN:
            check_part(name, part, config)
        elif name in changed:
            option = next(iter(changed[name]))
            raise UserError(f"sample.options.{name}.{option}: {name} is gaussian. Leave out {name} before the option.")
    if config.parts[first].process == GAUSSIAN:
        check_gaussian(with_lead_options(config))
    elif own:
        raise UserError(
            f"sample.options.{next(iter(own))}: name the part that it is for, such as {first}.{next(iter(own))}."
        )
    check_coupling(config)


def check_part(name: str, part: PartConfig, config: Config) -> None:
    """Raise UserError unless the names and options of one part exist."""
    if part.process not in KERNELS:
        raise unknown(f"parts.{name}.process", part.process, [GAUSSIAN, *KERNELS])
    entry = KERNELS[part.process]
    check_chosen({"schedule": part.schedule, "schedule_options": part.schedule_options}, {"schedule": LEVEL_SCHEDULES})
    if part.weighting is not None and part.weighting not in entry.weightings:
        raise unknown(f"parts.{name}.weighting", part.weighting, entry.weightings)
    sampler, options = sampling_of(config, name)
    if sampler not in entry.samplers:
        raise UserError(f"parts.{name}.sampler: {entry.samplers.unknown(sampler)}")
    if is_by_size(entry.samplers[sampler]):
        raise UserError(f"parts.{name}.sampler={sampler} takes a call a site; parts follow one clock.")
    check_schedule(f"parts.{name}.schedule", part.schedule, part.schedule_options)
    check_options(f"parts.{name}.options", options, sampler, entry.samplers)


def check_gaussian(config: Config) -> None:
    """Raise UserError unless the keys of the Gaussian part suit it."""
    check_names(config)
    loss = config.loss
    objective = build_objective(config)
    if objective.trains_schedule or objective.loss.state():
        raise UserError(
            f"loss.times={loss.times}, loss.weighting={loss.weighting}: process=joint has none that are learned. "
            "Use loss.times=uniform and loss.weighting=simple, or others without a state."
        )


def check_coupling(config: Config) -> None:
    """Raise UserError unless the coupling names parts that exist, and weightings that it allows."""
    for group in config.coupling.parts:
        for name in parts_in(group):
            if name not in config.parts:
                raise unknown("part in coupling.parts", name, config.parts)
        if set(parts_in(group)) == config.parts.keys():
            raise UserError(f"coupling.parts={group}: these are all parts, which leaves nothing to learn.")
    if config.coupling.same < 1:
        for name, part in config.parts.items():
            if part.weighting == "elbo":
                raise UserError(
                    f"parts.{name}.weighting=elbo is the bound of parts at the levels of one time. Use "
                    "coupling.same=1, or weighting simple."
                )
