"""Defaults that a domain measures on its data: they replace defaults and presets, never what the user set."""

from __future__ import annotations

from polydiff.config.merge import FOLLOWS, Settings, free_keys, replaced
from polydiff.contract.abilities import SuitsData
from polydiff.contract.domain import Domain
from polydiff.support.nested import get_dotted
from polydiff.support.protocols import provides
from polydiff.support.yaml_text import one_line_yaml

SOURCE = "data"
"""Provenance of a value that was measured on the data."""


def with_data_defaults(settings: Settings, domain: Domain) -> Settings:
    """Return the settings of a new run with the values that suit its data.

    They become part of the resolved configuration, so that a resumed or loaded run measures nothing.
    """
    if not provides(domain, SuitsData):
        return settings
    free = free_keys(settings.provenance)
    values = {key: value for key, value in domain.suited(free).items() if key in free}
    provenance = {**settings.provenance, **dict.fromkeys(values, SOURCE)}
    return settings._replace(config=replaced(settings.config, values), provenance=provenance)


def suited_in_words(settings: Settings) -> str:
    """Return the values that suit the data and their size as one line of text, "" if there are none."""
    values = settings.config.model_dump(mode="json")
    parts = []
    for source in dict.fromkeys(settings.provenance.values()):
        if source == SOURCE or source.startswith(FOLLOWS):
            keys = [key for key, own in settings.provenance.items() if own == source]
            shown = (f"{key}={one_line_yaml(get_dotted(values, key))}" for key in keys)
            parts.append(f"from {source.removeprefix(FOLLOWS)}: {' '.join(shown)}")
    return f"Defaults that suit the data, {'; '.join(parts)}" if parts else ""
