"""How each part of a state of several parts is sampled: by the key `parts`, and by what a request changes.

In `sample.options`, a name with the name of a part before it belongs to that part: bonds.eta=5 is the option eta of the
sampler of the part bonds, and bonds.sampler=ancestral is its sampler. All other names are options of `sample.sampler`,
the sampler of a Gaussian lead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from polydiff.parts.kernel import KERNELS
from polydiff.support.errors import UserError

if TYPE_CHECKING:
    from polydiff.contract.sections.run import Config

SAMPLER = "sampler"
"""Name of the option of a part that is its sampler."""


class PartSampling(NamedTuple):
    """Sampler of a part that is not Gaussian, and its options."""

    sampler: str
    options: Mapping[str, Any]


def sampling_of(config: Config, name: str) -> PartSampling:
    """Return how a part that is not Gaussian is sampled.

    Options that are configured for another sampler than that of `sample.options` mean nothing to it, and are left out.
    """
    part, (_, changes) = config.parts[name], divided(config)
    usual = part.sampler or KERNELS[part.process].sampler
    changed = dict(changes.get(name, {}))
    sampler = str(changed.pop(SAMPLER, usual))
    return PartSampling(sampler, {**(part.options if sampler == usual else {}), **changed})


def with_lead_options(config: Config) -> Config:
    """Return a configuration whose `sample.options` are those of `sample.sampler` alone."""
    own, _ = divided(config)
    return config.model_copy(update={"sample": config.sample.model_copy(update={"options": own})})


def divided(config: Config) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the options of `sample.sampler`, and for each part, name -> its options in `sample.options`."""
    own: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for key, value in config.sample.options.items():
        name, dot, option = key.partition(".")
        if name not in config.parts:
            own[key] = value
        elif dot:
            parts.setdefault(name, {})[option] = value
        elif isinstance(value, Mapping):
            parts.setdefault(name, {}).update(value)
        else:
            raise UserError(f"sample.options.{name}={value!r}: name an option of the part, such as {name}.eta=5.")
    return own, parts
