"""Defaults that a domain measures on its data: they replace defaults and presets, never what the user set."""

from __future__ import annotations

from polydiff.config.merge import Settings
from polydiff.contract.abilities import SuitsData
from polydiff.contract.domain import Domain
from polydiff.support.protocols import provides

SOURCE = "data"
"""Provenance of a value that was measured on the data."""


def with_data_defaults(settings: Settings, domain: Domain) -> Settings:
    """Return the settings of a new run with the values that suit its data.

    They become part of the resolved configuration, so that a resumed or loaded run measures nothing.
    """
    if not provides(domain, SuitsData):
        return settings
    free = {key for key, source in settings.provenance.items() if source == "default" or source.startswith("preset ")}
    values = {key: value for key, value in domain.suited(free).items() if key in free}
    if not values:
        return settings
    config = settings.config
    state = config.model_dump()
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (state[section] if section else state)[name] = value
    config = type(config).model_validate(state)
    return settings._replace(config=config, provenance={**settings.provenance, **dict.fromkeys(values, SOURCE)})
