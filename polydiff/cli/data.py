"""The verb that looks at data: `data check`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polydiff.cli.parsing import Parser, read_words
from polydiff.cli.tables import table
from polydiff.support.errors import unknown
from polydiff.support.yaml_text import one_line_yaml

if TYPE_CHECKING:
    from polydiff.contract.abilities import Inspection


def data(words: Sequence[str]) -> int:
    """polydiff data."""
    parser = Parser("data", "Look at data before training on them; exit code 2 where they cannot be trained on.")
    parser.usage = "polydiff data check PATH [--domain NAME] [key=value ...] [--json]"
    parser.add_argument("action", metavar="check", help="what is there, what cannot be used and why, what to say")
    parser.add_argument("path", metavar="PATH", type=Path, help="a folder or a file, as in data.path")
    parser.add_argument("-d", "--domain", metavar="NAME", help="kind of data; default: what most files are")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    args, rest = parser.parse_known_args(words)
    if args.action != "check":
        raise unknown("word after `polydiff data`", args.action, ("check",))
    from polydiff.checkup.data import guess, inspect

    path = args.path.expanduser().absolute()
    domain = args.domain or guess(path)
    given = read_words(rest)
    found = inspect(domain, path, given)
    if args.json:
        print(json.dumps({"domain": domain, **found.as_json()}, indent=1, ensure_ascii=False))
    else:
        tell(found, domain, args.path, given)
    return 2 if found.problems else 0


def tell(found: Inspection, domain: str, path: Path, given: Mapping[str, str]) -> None:
    """Print what was found, what is put aside, and what to type next."""
    if found.facts:
        table(("what", "found"), [(name, in_words(value)) for name, value in found.facts.items()])
    if found.quarantine and found.quarantine.found:
        lines = found.quarantine.lines(most=len(found.quarantine.reasons))
        print("\n".join(["", found.quarantine.summary(), *lines]))
    if found.problems:
        print("\nIt cannot be trained on:\n  " + "\n  ".join(found.problems))
        return
    keys = {"data.path": str(path), **given, **found.advice}
    told = " ".join(shlex.quote(f"{key}={v if isinstance(v, str) else one_line_yaml(v)}") for key, v in keys.items())
    print(f"\nIt can be trained on:\n  polydiff train --domain {domain} {told}")


def in_words(value: Any) -> str:
    """Return a fact on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {in_words(part)}" for name, part in value.items()) or "none"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
