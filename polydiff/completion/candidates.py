"""The words that may follow a command line: verbs, options, names, keys and their values."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

from polydiff.completion.table import KEYED, Table

RESUMED = ("train.steps", "launch.", "track")
"""Keys that `polydiff resume` takes, or their beginnings."""


class Candidate(NamedTuple):
    """A word that may follow, and what it means."""

    word: str
    text: str = ""


def candidates(line: str, table: Table) -> list[Candidate]:
    """Return the words that may take the place of the last word of a line, which is "" after a blank.

    Arguments:
        line: The line up to the cursor, with the program's name.
        table: All that there is (`polydiff.completion.table`).
    """
    *before, current = split(line)[1:] or [""]
    if not before:
        words = [Candidate(verb, entry["help"]) for verb, entry in table["verbs"].items()]
        words += [Candidate("--help", "list the verbs"), Candidate("--version", "print the version")]
    else:
        entry = table["verbs"].get(before[0])
        words = following(before, current, entry, table) if entry else []
    return [candidate for candidate in words if candidate.word.startswith(current) and candidate.word != current]


def split(line: str) -> list[str]:
    """Return the words of a line; the last is "" if the line ends with a blank."""
    try:
        words = shlex.split(line)
    except ValueError:  # an open quotation mark
        words = line.split()
    return [*words, ""] if not line or line[-1].isspace() else words


def following(before: Sequence[str], current: str, entry: Table, table: Table) -> list[Candidate]:
    """Return the words that may follow a verb and others.

    Arguments:
        before: The verb, and the words between it and the last one.
        current: The last word.
        entry: The verb's entry in the table.
        table: The table.
    """
    options = entry["options"]
    last = options.get(before[-1], {"takes": ""})
    if last["takes"]:
        return values_of(last, before, table)
    if current.startswith("-"):
        return [Candidate(option, one["help"]) for option, one in options.items()]
    keys = keys_of(before, table)
    key, equals, _ = current.partition("=")
    if equals:
        return [Candidate(f"{key}={value}") for value in values_of_key(key, keys, table)]
    words = [Candidate(word) for word in entry["words"]] if len(before) == 1 else names_after(before, table)
    words += [Candidate(f"{name}=", one["help"]) for name, one in keys.items()]
    return words or [Candidate(option, one["help"]) for option, one in options.items()]


def values_of(option: Table, before: Sequence[str], table: Table) -> list[Candidate]:
    """Return the values of an option."""
    if option["takes"] == "domain":
        return [Candidate(name, one["help"]) for name, one in table["domains"].items()]
    if option["takes"] == "preset":
        domain = table["domains"].get(domain_of(before), {"presets": []})
        return [Candidate(name) for name in domain["presets"]]
    return [Candidate(choice) for choice in option["choices"]]


def names_after(before: Sequence[str], table: Table) -> list[Candidate]:
    """Return the names of domains or presets that may follow the words of a verb such as `domains check`."""
    if list(before) in (["domains", "check"], ["presets", "list"]):
        return [Candidate(name, one["help"]) for name, one in table["domains"].items()]
    if list(before) == ["presets", "show"]:
        return [Candidate(f"{name}/{preset}") for name, one in table["domains"].items() for preset in one["presets"]]
    return []


def domain_of(before: Sequence[str]) -> str:
    """Return the domain that a line names; "" for none."""
    for i, word in enumerate(before):
        if word in ("-d", "--domain") and i + 1 < len(before):
            return before[i + 1]
        for start in ("domain=", "--domain="):
            if word.startswith(start):
                return word.removeprefix(start)
    return before[2] if len(before) > 2 and list(before[:2]) == ["domains", "check"] else ""


def keys_of(before: Sequence[str], table: Table) -> Table:
    """Return the keys that a line may set: those of its domain, with those of the network that it chooses."""
    if before[0] == "resume":
        every: Table = next(iter(table["domains"].values()), {"keys": {}})["keys"]
        return {key: one for key, one in every.items() if key.startswith(RESUMED)}
    domain = table["domains"].get(domain_of(before)) if before[0] in KEYED else None
    if domain is None:
        return {}
    chosen = [word.partition("=")[2] for word in before if word.startswith("backbone.name=")]
    own = table["backbones"].get(chosen[-1]) if chosen else None
    if own is None:
        return dict(domain["keys"])
    return {key: one for key, one in domain["keys"].items() if not key.startswith("backbone.")} | dict(own)


def values_of_key(key: str, keys: Table, table: Table) -> list[str]:
    """Return the values that a key may have, if they are few."""
    named: dict[str, Any] = {
        "backbone.name": list(table["backbones"]),
        "track": table["trackers"],
        "domain": list(table["domains"]),
    }
    return list(named.get(key) or keys.get(key, {"values": []})["values"])
