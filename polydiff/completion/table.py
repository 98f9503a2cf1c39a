"""The table of all that a shell completes: verbs with their options, domains with presets and keys.

It takes about a second to collect, since configurations of all domains are imported. So it is kept in the cache, and
collected again when packages have changed. Reading it imports nothing that takes time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polydiff import __version__
from polydiff.support.disk import cache_dir

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from polydiff.cli.parsing import Parser

KINDS = {"domain": "domain", "preset": "preset"}
"""Option, without dashes, whose values are names of something."""
KEYED = ("train", "config", "domains", "data")
"""Verbs that take keys of a configuration."""
FORM = 1
"""Version of the table's form."""

Table = dict[str, Any]


def table() -> Table:
    """Return the table, from the cache or collected anew."""
    path, state = cache_dir() / "completion.json", state_of_packages()
    try:
        found: Table = json.loads(path.read_text(encoding="utf-8"))
        if found["state"] == state:
            return found
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged: it is collected again
        pass
    from polydiff.support.files import write_cache

    found = {"state": state, **collected()}
    write_cache(path, json.dumps(found))
    return found


def state_of_packages() -> list[Any]:
    """Return what changes when a package is installed or removed: the times of the folders on Python's path."""
    folders = sorted(folder for folder in {*sys.path} if folder and Path(folder).is_dir())
    return [FORM, __version__, *([folder, Path(folder).stat().st_mtime_ns] for folder in folders)]


def collected() -> Table:
    """Collect the table: no domain is built, and a broken plugin is left out."""
    from polydiff.cli import VERBS
    from polydiff.cli.parsing import parser_of
    from polydiff.contract.backbone import BackboneSpec
    from polydiff.contract.discover import discover, load
    from polydiff.contract.spec import DomainSpec
    from polydiff.tracking.spec import TrackerSpec

    verbs = {verb: verb_entry(parser_of(load(place)), text) for verb, (place, text) in VERBS.items()}
    domains = {plugin.name: domain_entry(plugin.spec) for plugin in discover(DomainSpec) if plugin.status == "ready"}
    backbones = {
        plugin.name: backbone_keys(plugin.spec) for plugin in discover(BackboneSpec) if plugin.status == "ready"
    }
    trackers = [plugin.name for plugin in discover(TrackerSpec) if plugin.status != "broken"]
    return {"verbs": verbs, "domains": domains, "backbones": backbones, "trackers": trackers}


def verb_entry(parser: Parser, summary: str) -> Table:
    """Return the summary of a verb, its options, and the words that it takes in a place."""
    from argparse import SUPPRESS

    options: Table = {}
    words: list[str] = []
    for action in parser._actions:
        choices = [str(choice) for choice in action.choices or ()]
        if not action.option_strings:
            words += choices or [part for part in str(action.metavar or "").split("|") if part.islower()]
            continue
        takes = action.nargs != 0
        kind = KINDS.get(action.dest, "choice" if choices else "value") if takes else ""
        text = "" if action.help in (None, SUPPRESS) else str(action.help).split(";")[0]
        for option in action.option_strings:
            options[option] = {"takes": kind, "choices": choices, "help": text}
    words += [part for part in parser.prog.split()[-1].split("|") if "|" in parser.prog]
    return {"help": summary, "options": options, "words": words}


def domain_entry(spec: Any) -> Table:
    """Return the summary, the presets and the keys of a domain."""
    from polydiff.config.keys import leaves
    from polydiff.config.merge import concrete, default_sections
    from polydiff.contract.discover import domain_config_class

    cls = domain_config_class(spec)
    fields = leaves(concrete(cls, default_sections(cls)["backbone"].name))
    return {
        "help": spec.summary,
        "presets": [*spec.presets, *spec.pipelines],
        "keys": {key: key_entry(field) for key, field in fields.items()},
    }


def backbone_keys(spec: Any) -> Table:
    """Return the keys of a backbone."""
    from polydiff.config.keys import leaves
    from polydiff.contract.backbone import backbone_config_class

    return {key: key_entry(field) for key, field in leaves(backbone_config_class(spec), "backbone.").items()}


def key_entry(field: FieldInfo) -> Table:
    """Return the first sentence of a key's help, and its values if they are few."""
    from typing import Literal, get_args, get_origin

    values = [str(value) for value in get_args(field.annotation)] if get_origin(field.annotation) is Literal else []
    values = ["true", "false"] if field.annotation is bool else values
    text = " ".join((field.description or "").split())
    return {"help": text.split(". ")[0].split("; ")[0].removesuffix("."), "values": values}
