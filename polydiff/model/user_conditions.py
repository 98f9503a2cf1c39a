"""Conditions of samples as a user gives them, and as a network takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polydiff.contract.abilities import TellsTogether, task_conditions
from polydiff.contract.domain import Domain, conditions_of
from polydiff.core.conditions import Condition, as_words
from polydiff.core.streams import streams
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


def parse_conditions(domain: Domain, cond: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return conditions as the domain reads them: words, and arrays for the conditions that are sequences."""
    if cond is not None and not isinstance(cond, Mapping):
        raise UserError(f"Conditions are names with values, such as {{'label': 7}}, not {cond!r}.")
    for name in (cond or {}).keys() & task_conditions(domain) & domain.conditions.keys():
        raise UserError(
            f"{name} is what this model's task tells of a file or a held-out example, by the verbs inpaint, "
            "upsample and vocode, and in Python by polydiff.inpaint and polydiff.model.restore.restore."
        )
    return as_words(cond or {}, conditions_of(domain))


def conditions(domain: Domain, cond: Mapping[str, Any], seed: int, indices: Sequence[int]) -> Condition:
    """Return the conditions of samples that are asked to be this; a name that is no condition is a `UserError`."""
    words = parse_conditions(domain, cond)
    named = domain.blank(streams(seed, "blank", indices), words)[1] or {}
    for name in words:
        if name not in named:
            raise UserError(
                f"{name}={words[name]}: this says the size of samples, for which new ones can be asked (cond). It "
                "can be neither changed in a given example nor avoided."
            )
    group = domain.together if provides(domain, TellsTogether) else ()
    if words.keys() & set(group) and (lacking := [name for name in group if name not in words]):
        raise UserError(
            f"{', '.join(group)} are told all together, and none is drawn of what is given or avoided. Say "
            f"{', '.join(f'{name}=N' for name in lacking)} as well."
        )
    return named
