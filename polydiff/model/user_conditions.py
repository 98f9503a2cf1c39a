"""Requested conditions: from the user's values to a network's tensors."""

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
    """Return requested conditions as the domain reads them: text, and arrays for conditions that are sequences.

    Raises:
        UserError: `cond` is not a mapping, or names a condition that a task computes from an example.
    """
    if cond is not None and not isinstance(cond, Mapping):
        raise UserError(f"Conditions are names with values, such as {{'label': 7}}, not {cond!r}.")
    for name in (cond or {}).keys() & task_conditions(domain) & domain.conditions.keys():
        raise UserError(
            f"{name} is computed from a file or a held-out example and cannot be set. Use the verbs inpaint, "
            "upsample and vocode, or in Python polydiff.inpaint and polydiff.model.restore.restore."
        )
    return as_words(cond or {}, conditions_of(domain))


def conditions(domain: Domain, cond: Mapping[str, Any], seed: int, indices: Sequence[int]) -> Condition:
    """Return requested conditions as tensors (B, ...) by name.

    Arguments:
        domain: Defines the conditions.
        cond: Name -> the user's value.
        seed: Random seed of what the request leaves open.
        indices: Numbers of the B samples.

    Raises:
        UserError: A name is not a condition, or a group of conditions is incomplete.
    """
    words = parse_conditions(domain, cond)
    named = domain.blank(streams(seed, "blank", indices), words)[1] or {}
    for name in words:
        if name not in named:
            raise UserError(
                f"{name}={words[name]}: this sets the size of new samples (cond). It can neither be changed in a "
                "given example nor be used as a negative condition."
            )
    group = domain.together if provides(domain, TellsTogether) else ()
    if words.keys() & set(group) and (missing := [name for name in group if name not in words]):
        raise UserError(
            f"{', '.join(group)} must be set together, for given examples and as negative conditions. Set "
            f"{', '.join(f'{name}=N' for name in missing)} as well."
        )
    return named
