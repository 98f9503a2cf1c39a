"""The verb that checks data before training, and that makes data sets: `data check`, `data prepare`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polydiff.cli.parsing import Parser, positive, read_words
from polydiff.cli.printing.tables import table
from polydiff.contract.data.splits import scarce
from polydiff.support.errors import check_file, unknown
from polydiff.support.files import check_free, folder_atomic, quoted, same_files
from polydiff.support.yaml_text import one_line_yaml

if TYPE_CHECKING:
    from polydiff.contract.abilities import Inspection


CHECK = "polydiff data check PATH [--domain NAME] [key=value ...] [--json]"
PREPARE = "polydiff data prepare NAME [FILE] -o DIR [--count N]"
CLASSES = 20
"""Classes whose numbers of examples are printed."""


def data(words: Sequence[str]) -> int:
    """Run `polydiff data` and return its exit code: 0, or 2 if the data cannot be trained on."""
    actions = {"check": check, "prepare": prepare}
    action = next((word for word in words if word in actions), None)
    if action is None and words and not words[0].startswith("-"):
        raise unknown("word after `polydiff data`", words[0], actions)
    if action is None:
        parser = Parser("data", "Check data before training, or prepare a data set.")
        parser.usage = f"{CHECK}\n       {PREPARE}"
        parser.add_argument("action", metavar="check|prepare", help="`polydiff data check --help` describes each")
        action = str(parser.parse_args(words).action)
    at = list(words).index(action)
    return actions[action]([*words[:at], *words[at + 1 :]])


def check(words: Sequence[str]) -> int:
    """Run `polydiff data check` and return its exit code."""
    parser = Parser("data check", "Check data before training. Exit code 2 if they cannot be trained on.")
    parser.usage = CHECK
    parser.add_argument("path", metavar="PATH", type=Path, help="folder or file, as in data.path")
    parser.add_argument("-d", "--domain", metavar="NAME", help="kind of data; default: that of most files")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    args, rest = parser.parse_known_args(words)
    from polydiff.checkup.data import guess, inspect

    path = args.path.expanduser().absolute()
    domain = args.domain or guess(path)
    given = read_words(rest)
    found = inspect(domain, path, given)
    if args.json:
        print(json.dumps({"domain": domain, **found.as_json()}, indent=1, ensure_ascii=False))
    else:
        print_inspection(found, domain, args.path, given)
    return 2 if found.problems else 0


def prepare(words: Sequence[str]) -> int:
    """Run `polydiff data prepare` and return its exit code."""
    from polydiff.contract.discover import discover, load, require
    from polydiff.contract.spec import DomainSpec

    specs = [plugin.spec for plugin in discover(DomainSpec) if plugin.spec]
    known = {name: spec for spec in specs for name in spec.prepares}
    parser = Parser("data prepare", "Make a data set of the file in which it is distributed.")
    parser.usage = PREPARE
    parser.add_argument("name", metavar="NAME", help=f"name of the data set: {', '.join(sorted(known))}")
    parser.add_argument(
        "file", metavar="FILE", type=Path, nargs="?", help="the file; default: that of an installed package"
    )
    parser.add_argument("-o", "--out", metavar="DIR", type=Path, required=True, help="new folder of the data set")
    parser.add_argument("--count", metavar="N", type=positive, help="largest number of examples of each split")
    args = parser.parse_args(words)
    if args.name not in known:
        raise unknown("data set", args.name, known, "`polydiff data check PATH` needs no preparation of other data.")
    spec = known[args.name]
    require(spec)
    file = args.file and args.file.expanduser().absolute()
    folder = args.out.expanduser().absolute()
    if file:
        check_file(file)
    with folder_atomic(folder) as draft:
        done = load(spec.prepares[args.name])(file, draft, args.count)
        if not same_files(draft, folder):  # the same data may be prepared again
            check_free(folder, "Choose another one with -o.")
    print(f"{done}\n\nThe data can be checked:\n  polydiff data check {quoted(folder)} --domain {spec.name}")
    return 0


def print_inspection(found: Inspection, domain: str, path: Path, given: Mapping[str, str]) -> None:
    """Print what the data hold, which examples are excluded, and the command that trains on them.

    Arguments:
        found: Result of the inspection.
        domain: Name of the domain.
        path: Path of the data, as in data.path.
        given: Dotted keys and values that the user set on the command line.
    """
    if found.facts:
        table(("what", "found"), [(name, one_line(value)) for name, value in found.facts.items()])
    if found.quarantine and found.quarantine.found:
        lines = found.quarantine.lines(most=len(found.quarantine.unusable))
        print("\n".join(["", found.quarantine.summary(), *lines]))
    if found.quarantine and found.quarantine.splits:
        print()
        print_splits(found.quarantine.splits)
    if found.problems:
        print("\nThe data cannot be trained on:\n  " + "\n  ".join(found.problems))
        return
    keys = {"data.path": str(path), **given, **found.advice}
    arguments = " ".join(
        shlex.quote(f"{key}={v if isinstance(v, str) else one_line_yaml(v)}") for key, v in keys.items()
    )
    print(f"\nThe data can be trained on:\n  polydiff train --domain {domain} {arguments}")


def print_splits(splits: Mapping[str, Mapping[str, int]]) -> None:
    """Print how many examples of each class are trained on and held out, and a warning where that is few.

    Of many classes, those with the fewest are printed.
    """
    few = sorted(splits, key=lambda name: (splits[name]["test"], splits[name]["train"], name))[:CLASSES]
    rows = [(name, splits[name]["train"], splits[name]["test"]) for name in splits if name in set(few)]
    if len(splits) > 1:
        train, test = (sum(n[side] for n in splits.values()) for side in ("train", "test"))
        rows.append(("all", train, test))
    table(("class", "train", "held out"), rows, right=("train", "held out"))
    if len(splits) > len(few):
        print(f"  The {len(few)} classes with the fewest held-out examples are listed; --json lists all.")
    if text := scarce(splits):
        print(f"\n{text}")


def one_line(value: Any) -> str:
    """Return a value or a mapping of values as one line of text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {one_line(part)}" for name, part in value.items()) or "none"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
