"""The words that may follow a command line: verbs, options, names, keys and their values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from polydiff.completion.table import KEYED, Table

RESUMED = ("train.steps", "launch.", "track")
"""Keys that `polydiff resume` takes, or their beginnings."""


class Candidate(NamedTuple):
    """A word that may follow, and what it means."""

    word: str
    text: str = ""


def candidates(line: str, table: Table, names: Callable[[], Table]) -> list[Candidate]:
    """Return the words that may take the place of the last word of a line, which is "" after a blank.

    Arguments:
        line: The line up to the cursor, with the program's name.
        table: All that there is (`polydiff.completion.table`).
        names: Returns the names of values; called if the line needs some.
    """
    *before, current = split(line)[1:] or [""]
    if not before:
        words = [Candidate(verb, entry["help"]) for verb, entry in table["verbs"].items()]
        words += [Candidate("--help", "list the verbs"), Candidate("--version", "print the version")]
    else:
        entry = table["verbs"].get(before[0])
        words = following(before, current, entry, table, names) if entry else []
    return [candidate for candidate in words if candidate.word.startswith(current) and candidate.word != current]


def split(line: str) -> list[str]:
    """Return the words of a line; the last is "" if the line ends with a blank."""
    try:
        words = shlex.split(line)
    except ValueError:  # an open quotation mark
        words = line.split()
    return [*words, ""] if not line or line[-1].isspace() else words


def following(
    before: Sequence[str], current: str, entry: Table, table: Table, names: Callable[[], Table]
) -> list[Candidate]:
    """Return the words that may follow a verb and others; none where a path is expected, which the shell completes.

    Arguments:
        before: The verb, and the words between it and the last one.
        current: The last word.
        entry: The verb's entry in the table.
        table: The table.
        names: Returns the names of values.
    """
    options = entry["options"]
    last = options.get(before[-1], {"takes": ""})
    if last["takes"]:
        return values_of(last, before, table, names)
    if current.startswith("-"):
        return [Candidate(option, one["help"]) for option, one in options.items()]
    keys = keys_of(before, table)
    key, equals, value = current.partition("=")
    if equals:
        return [Candidate(f"{key}={one}") for one in values_of_key(key, value, keys, before, table, names)]
    words = [Candidate(word) for word in entry["words"]] if len(before) == 1 else names_after(before, table)
    words += [Candidate(f"{name}=", one["help"]) for name, one in keys.items()]
    if words or expects_path(before, entry):
        return words
    return [Candidate(option, one["help"]) for option, one in options.items()]


def expects_path(before: Sequence[str], entry: Table) -> bool:
    """Return whether the next word of a line can be a path, or another name of the user's."""
    options, taken = entry["options"], 0
    for earlier, word in pairwise(before):
        is_value = options.get(earlier, {"takes": ""})["takes"]
        taken += not (is_value or word.startswith("-"))
    return bool(entry["paths"] < 0 or taken < entry["paths"])


def values_of(option: Table, before: Sequence[str], table: Table, names: Callable[[], Table]) -> list[Candidate]:
    """Return the values of an option."""
    match option["takes"]:
        case "domain":
            return [Candidate(name, one["help"]) for name, one in table["domains"].items()]
        case "preset":
            domain = table["domains"].get(domain_of(before), {"presets": []})
            return [Candidate(name) for name in domain["presets"]]
        case "format":
            return [Candidate(name) for name in table["formats"]]
        case "name":
            return [Candidate(name) for name in of_registries(option["of"], "", names())]
        case _:
            return [Candidate(choice) for choice in option["choices"]]


def of_registries(key: str, process: str, names: Table) -> list[str]:
    """Return the names that a key can have with a process; "" as the process: with any."""
    pattern = re.sub(r"^(parts)\.[^.]+\.", r"\1.*.", key)
    if pattern in names["shared"]:
        return list(names["shared"][pattern])
    chosen = [names["processes"][process]] if process in names["processes"] else names["processes"].values()
    return list(dict.fromkeys(name for one in chosen for name in one.get(pattern, [])))


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


def values_of_key(
    key: str, value: str, keys: Table, before: Sequence[str], table: Table, names: Callable[[], Table]
) -> list[str]:
    """Return the values that a key may have, if they are few; of a list, those that begin with its earlier elements.

    Arguments:
        key: The key.
        value: The value so far.
        keys: Keys that the line may set.
        before: The words of the line before.
        table: The table.
        names: Returns the names of values.
    """
    known: dict[str, Any] = {
        "backbone.name": list(table["backbones"]),
        "track": table["trackers"],
        "domain": list(table["domains"]),
        "preset": table["domains"].get(domain_of(before), {"presets": []})["presets"],
    }
    entry = keys.get(key, {"values": [], "list": False, "names": key.startswith("parts.") and "parts" in keys})
    found = list(known.get(key) or entry["values"])
    if not found and entry["names"]:
        found = of_registries(key, process_of(before, table), names())
    head, comma, _ = value.rpartition(",")
    if not entry["list"]:
        return found
    return [f"{head}{comma}{one}" for one in found if one not in head.split(",")]


def process_of(before: Sequence[str], table: Table) -> str:
    """Return the process that a line chooses, or that the preset of its domain has; "" for none."""
    chosen = [word.removeprefix("process=") for word in before if word.startswith("process=")]
    domain = table["domains"].get(domain_of(before))
    if chosen or domain is None:
        return chosen[-1] if chosen else ""
    named = [word for option, word in pairwise(before) if option in ("-p", "--preset")]
    return str(domain["process"].get([domain["preset"], *named][-1], ""))
