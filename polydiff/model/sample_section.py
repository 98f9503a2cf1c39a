"""The section `sample` of one request: that of the configuration with the changes of a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from polydiff.config.keys import checked
from polydiff.config.processes import check_used
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.support.errors import UserError, unknown

if TYPE_CHECKING:
    from polydiff.contract.sections.run import Config

GUIDED = {
    "guide": "A guide",
    "negative": "A negative condition",
    "guidance_method": "A method of guidance",
    "guidance_options": "An option of guidance",
    "guidance_interval": "An interval of guidance",
}
"""Key of the section `sample` that only matters with guidance -> its name in messages."""


ARGUMENTS = ("seed", "cond", "progress")
"""Arguments of `Model.sample` that are no keys of the section."""


def section(config: Config, changes: Mapping[str, Any]) -> SampleConfig:
    """Return the configuration's section `sample` with changes (None: no change), of the right keys and types.

    Arguments:
        config: The configuration of a trained model.
        changes: Key -> value.

    Raises:
        UserError: A key does not exist, or its value is of another type.
    """
    for name in changes:
        if name not in SampleConfig.model_fields:
            raise unknown("option", name, (*SampleConfig.model_fields, *ARGUMENTS))
    given = {name: value for name, value in changes.items() if value is not None}
    configured = config.sample
    values = configured.model_dump()
    for name, fresh in (("sampler", {"options": {}, "spacing": None}), ("spacing", {"spacing_options": {}})):
        if given.get(name, values[name]) != values[name]:
            given = fresh | given  # what suited another method means nothing to this one
    if given.get("guidance_method", configured.guidance_method) != configured.guidance_method:
        given.setdefault("guidance_options", {})
    if given.get("guidance") == 1:
        values |= {"guide": None, "negative": {}}  # they were for the scale that was configured
    how = checked(SampleConfig, values | given)
    check_guided(how, given)
    changed = [name for name in given if getattr(how, name) != getattr(configured, name)]
    check_used(config, [f"sample.{name}" for name in changed])
    return how


def check_guided(how: SampleConfig, keys: Iterable[str]) -> None:
    """Raise a `UserError` if keys of guidance are set and the scale is 1, which is no guidance.

    Arguments:
        how: The section.
        keys: Keys to check.
    """
    plain = SampleConfig()
    idle = [what for key, what in GUIDED.items() if key in keys and getattr(how, key) != getattr(plain, key)]
    if how.guidance == 1 and idle:
        raise UserError(f"{idle[0]} has no effect at guidance 1. Set guidance=2, for instance.")
