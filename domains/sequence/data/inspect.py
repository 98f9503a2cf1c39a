"""Inspection of files of texts, for `polydiff data check`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import numpy as np

from polydiff.contract.abilities import Inspection
from polydiff.contract.data.columns import FEW, is_number, other_columns
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.domain import Domain, conditions_of
from polydiff.domains.sequence.alphabet import Alphabet
from polydiff.domains.sequence.config import SequenceConfig, SequenceData
from polydiff.domains.sequence.data.files import files_of
from polydiff.domains.sequence.data.formats import holds_smiles
from polydiff.domains.sequence.data.source import Source, entropy
from polydiff.domains.sequence.data.texts import Listed, Texts
from polydiff.support.errors import UserError

NAMED = 100
"""Letters that are named."""


class Opened(Domain, Protocol):
    """A domain with its texts.

    Attributes:
        alphabet: Their letters.
        length: Letters of an example.
    """

    alphabet: Alphabet
    length: int

    @property
    def source(self) -> Source: ...


def inspect_texts(config: SequenceConfig, set_keys: Collection[str], opened: Callable[[], Opened]) -> Inspection:
    """Return a summary of the texts of a configuration.

    Arguments:
        config: The configuration.
        set_keys: Dotted keys that the user set; they get no advice.
        opened: Opens the data as training does. A `UserError` becomes a problem of the data.
    """
    found = Inspection()
    try:
        domain = opened()
        found.facts = facts_of(domain.source, config, domain.alphabet, domain.length)
        found.facts["conditions"] = {name: kind.words for name, kind in conditions_of(domain).items()}
        found.quarantine = domain.source.quarantine
        found.advice = advice_for(config.data, set_keys)
    except UserError as error:
        found.problems.append(str(error))
    return found


def facts_of(source: Source, config: SequenceConfig, alphabet: Alphabet, length: int) -> dict[str, Any]:
    """Return the facts on texts, name -> JSON value, in the order of printing.

    Arguments:
        source: The texts.
        config: The configuration with which they were read.
        alphabet: Their letters.
        length: Letters of an example.
    """
    train = source.splits["train"]
    letters = f"{len(alphabet.letters)} {config.data.tokens}"
    facts: dict[str, Any] = {
        **{f"{name} examples": len(split) for name, split in source.splits.items()},
        "letters": letters if alphabet.tokens == "bytes" else f"{letters}: {shown_letters(alphabet.letters)}",
        "read as": f"{length} letters an example (data.length)" + ", the end letters included" * alphabet.ends,
    }
    if not isinstance(train, Texts):
        return facts
    sizes = [len(text) for text in train.whole()]
    half, most = np.quantile(sizes, (0.5, 1))
    columns = {name for one in train.listed for name in one.columns} - source.fields.keys()
    further = dict(as_condition(name, train.listed) for name in sorted(columns))
    return {
        **facts,
        "letters of a training text": {"least": min(sizes), "half": float(half), "greatest": int(most)},
        "known by heart": f"{entropy(train.whole()):.2f} bits, the entropy of a random training text",
        **other_columns(further, (), config.data.conditions),
    }


def advice_for(data: SequenceData, set_keys: Collection[str]) -> dict[str, Any]:
    """Return data.judge=smiles for files of texts that are called SMILES, unless the user has set it; else {}."""
    if data.judged_as_smiles or data.crops or data.path is None or "data.judge" in set_keys:
        return {}
    files = files_of(data.path, Quarantine(str(data.path), "texts"))
    return {"data.judge": "smiles"} if all(holds_smiles(file, data.column) for file in files) else {}


def as_condition(name: str, listed: Sequence[Listed]) -> tuple[str, int]:
    """Return how `data.conditions` names a column, with the type text if its texts hardly repeat, and its values."""
    cells = [one.columns[name] for one in listed if name in one.columns]
    distinct = len(set(map(str, cells)))
    classes = all(map(is_number, cells)) or distinct <= max(FEW, len(cells) // 2)
    return name if classes else f"{name}:text", distinct


def shown_letters(letters: str) -> str:
    """Return letters as text, the first `NAMED` of many."""
    more = f" and {len(letters) - NAMED} more" if len(letters) > NAMED else ""
    return "".join(letters[:NAMED]).translate({10: "⏎", 9: "⇥", 32: "␣"}) + more
