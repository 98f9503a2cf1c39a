"""The tables of all that a shell completes: verbs with their options, domains with presets and keys; names of values.

The first takes about a second to collect, since configurations of all domains are imported. The second, of samplers,
schedules and other names of registries, takes as long as torch takes to load, so it is collected when a line first
needs one of them. Both are kept in the cache, and collected again when packages have changed. Reading them imports
nothing that takes time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from polydiff import __version__
from polydiff.support.disk import cache_dir

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from polydiff.cli.parsing import Parser

KINDS = {"domain": "domain", "preset": "preset", "format": "format"}
"""Option, without dashes, whose values are names of something."""
NAMED = {"how": "how", **{name: f"sample.{name}" for name in ("sampler", "spacing", "guidance_method")}}
"""Option whose values are names of a registry -> the key with the same values, or itself."""
KEYED = ("train", "config", "domains", "data")
"""Verbs that take keys of a configuration."""
FORM = 2
"""Version of the tables' form."""

Table = dict[str, Any]


def table() -> Table:
    """Return the table of verbs, domains and keys."""
    return kept("completion.json", collected)


def names() -> Table:
    """Return the table of names that keys can have."""
    return kept("completion-names.json", collected_names)


def kept(file: str, collect: Callable[[], Table]) -> Table:
    """Return a table from a file of the cache, or collected anew."""
    path, state = cache_dir() / file, state_of_packages()
    try:
        found: Table = json.loads(path.read_text(encoding="utf-8"))
        if found["state"] == state:
            return found
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged: it is collected again
        pass
    from polydiff.support.files import write_cache

    found = {"state": state, **collect()}
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
    from polydiff.export.formats import FOLDER, FORMATS
    from polydiff.tracking.spec import TrackerSpec

    verbs = {verb: verb_entry(parser_of(load(place)), text) for verb, (place, text) in VERBS.items()}
    domains = {plugin.name: domain_entry(plugin.spec) for plugin in discover(DomainSpec) if plugin.status == "ready"}
    backbones = {
        plugin.name: backbone_keys(plugin.spec) for plugin in discover(BackboneSpec) if plugin.status == "ready"
    }
    trackers = [plugin.name for plugin in discover(TrackerSpec) if plugin.status != "broken"]
    found = {"verbs": verbs, "domains": domains, "backbones": backbones, "trackers": trackers}
    return {**found, "formats": [FOLDER, *FORMATS]}


def collected_names() -> Table:
    """Collect the names that keys can have, those of extensions included.

    Returns:
        "shared": keys with the same names for all processes -> names; "how" stands for `polydiff solve --how`;
        "processes": process -> key -> names.
    """
    from polydiff.config.processes import DENOISE, register_built_in
    from polydiff.core.process.abilities import NamesValues, Solves
    from polydiff.core.process.process import LEARNERS, PROCESSES
    from polydiff.support.protocols import provides
    from polydiff.training.optimizers import OPTIMIZERS

    register_built_in()
    processes = {name: PROCESSES[name] for name in PROCESSES}
    solvers = {name for process in processes.values() if provides(process, Solves) for name in process.solvers}
    own = {
        name: {key: [*values] for key, values in process.values().items()}
        for name, process in processes.items()
        if provides(process, NamesValues)
    }
    shared = {"process": [*processes], "learn": [DENOISE, *LEARNERS], "optim.name": [*OPTIMIZERS]}
    return {"shared": {**shared, "how": sorted(solvers)}, "processes": own}


def verb_entry(parser: Parser, summary: str) -> Table:
    """Return the summary of a verb, its options, the words that it takes in a place, and how many paths.

    "paths" counts the arguments without a dash that are paths or names of the user's; -1: any number.
    """
    from argparse import SUPPRESS

    options: Table = {}
    words: list[str] = []
    paths = 0
    for action in parser._actions:
        choices = [str(choice) for choice in action.choices or ()]
        if not action.option_strings:
            own = choices or [
                part for part in str(action.metavar or "").split("|") if part.isalpha() and part.islower()
            ]
            words += own
            if not own and "=" not in str(action.metavar):
                paths = -1 if paths < 0 or action.nargs in ("*", "+") else paths + 1
            continue
        takes = action.nargs != 0
        kind = KINDS.get(action.dest, "choice" if choices else "value") if takes else ""
        kind = "name" if takes and not choices and action.dest in NAMED else kind
        text = "" if action.help in (None, SUPPRESS) else str(action.help).split(";")[0]
        for option in action.option_strings:
            options[option] = {"takes": kind, "choices": choices, "help": text, "of": NAMED.get(action.dest, "")}
    words += [part for part in parser.prog.split()[-1].split("|") if "|" in parser.prog]
    return {"help": summary, "options": options, "words": words, "paths": paths}


def domain_entry(spec: Any) -> Table:
    """Return the summary, the presets with the process of each, and the keys of a domain."""
    from polydiff.config.keys import leaves
    from polydiff.config.merge import concrete, default_sections
    from polydiff.contract.discover import domain_config_class

    cls = domain_config_class(spec)
    sections = default_sections(cls)
    preset, process = (cls.model_fields[name].default for name in ("preset", "process"))
    fields = leaves(concrete(cls, sections["backbone"].name))
    return {
        "help": spec.summary,
        "process": {name: values.get("process", process) for name, values in {preset: {}, **spec.presets}.items()},
        "preset": preset,
        "presets": [*spec.presets, *spec.pipelines],
        "keys": {key: key_entry(field) for key, field in fields.items()},
    }


def backbone_keys(spec: Any) -> Table:
    """Return the keys of a backbone."""
    from polydiff.config.keys import leaves
    from polydiff.contract.backbone import backbone_config_class

    return {key: key_entry(field) for key, field in leaves(backbone_config_class(spec), "backbone.").items()}


def key_entry(field: FieldInfo) -> Table:
    """Return the first sentence of a key's help, its values if they are few, and whether it is a list, or names one.

    "names": whether its values are text, which may be names of a registry.
    """
    types = [*members(field.annotation)]
    values = [str(value) for one in types if get_origin(one) is Literal for value in get_args(one)]
    values = ["true", "false"] if bool in types else values
    listed = any(get_origin(one) in (tuple, list) for one in types)
    text = " ".join((field.description or "").split())
    return {
        "help": text.split(". ")[0].split("; ")[0].removesuffix("."),
        "values": values,
        "list": listed,
        "names": str in types,
    }


def members(annotation: Any) -> Iterator[Any]:
    """Yield the types of a union, or the type itself."""
    if get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from members(one)
    else:
        yield annotation
