"""The verbs that show what is available: `domains`, `presets`, `config` and `doctor`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polydiff.cli.parsing import Parser, config_parser, read_words, settings
from polydiff.cli.printing.key_help import help_on_keys
from polydiff.cli.printing.tables import table
from polydiff.config.merge import resolve
from polydiff.config.saved import resolved_text
from polydiff.contract.discover import Plugin, discover, duplicates, load_domain_spec, tried
from polydiff.contract.sections.run import Config
from polydiff.contract.spec import DomainSpec
from polydiff.pipeline.file import pipeline_of
from polydiff.support.errors import unknown
from polydiff.support.files import quoted
from polydiff.support.nested import get_nested, nest
from polydiff.support.yaml_text import dump_yaml, one_line_yaml, plain


def domains(words: Sequence[str]) -> int:
    """Run `polydiff domains` and return its exit code."""
    parser = Parser(
        "domains", "List the kinds of data (domains), check that one fulfils its contract, or write the package of one."
    )
    parser.usage = "polydiff domains list [--json] | check NAME [key=value ...] [--json] | new NAME [-o DIR]"
    parser.add_argument("action", choices=["list", "check", "new"], nargs="?", default="list", help="default: list")
    parser.add_argument("name", metavar="NAME", nargs="?", help="domain to check, or to write")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="new: its folder; default: polydiff-NAME")
    args, rest = parser.parse_known_args(words)
    if args.action == "new":
        parser.read(words)
        if args.name is None:
            parser.error("the name of the new domain is missing: polydiff domains new NAME")
        return new_domain(args.name, args.output or Path(f"polydiff-{args.name}"))
    if args.action == "check":
        if args.name is None:
            parser.error("the domain to check is missing: polydiff domains check NAME")
        return check_domain(resolve(args.name, words=read_words(rest)).config, args.json)
    parser.read(words)
    if args.name is not None:
        parser.error(f"{args.name!r} is one argument too many: `polydiff domains list` lists all domains")
    plugins = [tried(plugin, "config") for plugin in discover(DomainSpec)]
    if args.json:
        print(json.dumps([spec_json(plugin) for plugin in plugins], indent=1))
        return 0
    table(("name", "status", "from", "summary"), ((p.name, p.status, p.distribution, summary(p)) for p in plugins))
    for name in sorted(duplicates(plugins)):
        print(f"\nMore than one package provides {name!r}. Uninstall one of them to use it.")
    return 0


def new_domain(name: str, folder: Path) -> int:
    """Write the package of a new domain, print what to do with it, and return the exit code."""
    from polydiff.scaffold.domain import write_domain

    paths = write_domain(name, folder)
    print(f"{folder} holds the domain {name!r}, windows of time series:\n")
    print("\n".join(f"  {path}" for path in paths))
    commands = (f"pip install -e {quoted(folder)}", f"polydiff domains check {name}", f"polydiff train --domain {name}")
    print("\nNext:\n" + "\n".join(f"  {command}" for command in commands))
    return 0


def summary(plugin: Plugin) -> str:
    """Return the summary of a plugin, or the reason why it cannot be used."""
    return plugin.reason or plugin.spec.summary


def spec_json(plugin: Plugin) -> dict[str, Any]:
    """Return a plugin's metadata as JSON values."""
    spec = plugin.spec
    details = (
        {"summary": spec.summary, "presets": list(spec.presets), "pipelines": list(spec.pipelines)} if spec else {}
    )
    return {
        "name": plugin.name,
        "status": plugin.status,
        "distribution": plugin.distribution,
        "reason": plugin.reason,
        **details,
    }


def check_domain(config: Config, as_json: bool) -> int:
    """Run the conformance checks on a domain; return 0 if all pass, else 1."""
    from polydiff.testing.domain import check_domain as check

    results = check(config)
    if as_json:
        print(json.dumps([result._asdict() for result in results], indent=1))
    else:
        table(("check", "", "result"), ((r.name, "ok" if r.passed else "FAILED", r.detail) for r in results))
    return 0 if all(result.passed for result in results) else 1


def presets(words: Sequence[str]) -> int:
    """Run `polydiff presets` and return its exit code."""
    parser = Parser(
        "presets", "List presets, or show one as a config file: polydiff presets show audio/small > my.yaml"
    )
    parser.add_argument("action", choices=["list", "show"], nargs="?", default="list", help="default: list")
    parser.add_argument(
        "name", metavar="DOMAIN[/PRESET]", nargs="?", help="domain whose presets to list, or preset to show"
    )
    args = parser.read(words)
    if args.action == "show":
        if args.name is None:
            parser.error("the preset to show is missing: polydiff presets show DOMAIN/PRESET")
        print(preset_text(args.name), end="")
        return 0
    specs = [load_domain_spec(args.name)] if args.name else [p.spec for p in discover(DomainSpec) if p.spec]
    rows = [(f"{spec.name}/{name}", overrides(values)) for spec in specs for name, values in spec.presets.items()]
    rows += [
        (f"{spec.name}/{name}", f"a pipeline: {', '.join(values['stages'])}")
        for spec in specs
        for name, values in spec.pipelines.items()
    ]
    table(("preset", "overrides of the domain's defaults"), rows)
    return 0


def overrides(values: Mapping[str, Any]) -> str:
    """Return a preset's overrides as command-line arguments."""
    return " ".join(f"{key}={one_line_yaml(plain(value, key))}" for key, value in values.items()) or "nothing"


def preset_text(name: str) -> str:
    """Return a preset as the text of a config file.

    Raises:
        UserError: The domain or the preset is unknown.
    """
    domain, _, preset = name.partition("/")
    spec = load_domain_spec(domain)
    preset = preset or next(iter(spec.presets))
    if preset in spec.pipelines:
        return pipeline_of(spec.pipelines[preset], f"preset {preset}", Path.cwd(), domain).text(Path.cwd())
    if preset not in spec.presets:
        raise unknown(f"preset of {domain}", preset, (*spec.presets, *spec.pipelines))
    values = {key: plain(value, key) for key, value in spec.presets[preset].items()}
    flat = {"domain": domain, "preset": preset, **values}
    return dump_yaml(nest(flat), dict.fromkeys(flat, ""))


def configuration(words: Sequence[str]) -> int:
    """Run `polydiff config` and return its exit code."""
    parser = config_parser(
        "config show|diff|schema", "Show a configuration, its differences from its preset, or its schema."
    )
    args, rest = parser.parse_known_args(words)
    action, *rest = rest or ["show"]
    if args.help:
        parser.print_help()
        if args.domain or args.config:
            help_on_keys(settings(args, rest))
        return 0
    if action not in ("show", "diff", "schema"):
        raise unknown("word after `polydiff config`", action, ("show", "diff", "schema"))
    chosen = settings(args, rest)
    if action == "schema":
        print(json.dumps(type(chosen.config).model_json_schema(), indent=1))
    elif action == "show":
        print(resolved_text(chosen.config, chosen.provenance), end="")
    else:
        difference(chosen)
    return 0


def difference(chosen: Any) -> None:
    """Print the keys whose values differ from those of the preset."""
    base = resolve(chosen.config.domain, chosen.config.preset).config.model_dump(mode="json")
    values = chosen.config.model_dump(mode="json")
    rows = []
    for key, source in chosen.provenance.items():
        value, before = one_line_yaml(get_nested(values, key)), value_in(base, key)
        if value != before:
            rows.append((key, before, value, source))
    if rows:
        table(("key", f"preset {chosen.config.preset}", "value", "from"), rows)
    else:
        print(f"No difference from preset {chosen.config.preset}.")


def value_in(values: Mapping[str, Any], key: str) -> str:
    """Return the value of a dotted key as YAML, or "-" if the backbone of the preset has no such key."""
    try:
        return one_line_yaml(get_nested(values, key))
    except KeyError:
        return "-"


def doctor(words: Sequence[str]) -> int:
    """Run `polydiff doctor` and return its exit code."""
    parser = Parser("doctor", "Check the installation and report problems. Exit code 1 if something is broken.")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    args = parser.read(words)
    from polydiff.checkup.doctor import examine

    findings = examine()
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=1))
    else:
        table(("what", "", "found"), ((f.name, f.status, f.text) for f in findings))
    return 1 if any(finding.status == "broken" for finding in findings) else 0
