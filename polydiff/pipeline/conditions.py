"""Conditions that the stages of one sample share: what is drawn for the first holds for the later ones.

Stages may be trained on other data, so a tensor of one can mean something else to another: class 3 of one vocabulary
is class 5 of the next. A value is handed on as it is only if both domains describe it in the same words; otherwise
the other domain reads these words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import Domain, conditions_of
from polydiff.core.condition_batch import padded
from polydiff.support.errors import UserError


@dataclass(frozen=True)
class Shared:
    """A condition of samples, with the stage that drew it.

    Arguments:
        stage: Name of the stage.
        domain: Its domain, which describes the value.
        value: Tensor (B, ...).
    """

    stage: str
    domain: Domain
    value: Tensor


def shareable(domain: Domain) -> set[str]:
    """Return the names of the conditions that users may set, which stages can share."""
    kinds, task = conditions_of(domain), task_conditions(domain)
    return {name for name, kind in kinds.items() if kind.source == "words" and name not in task}


def passed(name: str, shared: Shared, stage: str, domain: Domain) -> Tensor:
    """Return the value of a shared condition as another stage's network reads it, (B, ...).

    Arguments:
        name: Name of the condition.
        shared: Its value at an earlier stage.
        stage: Name of the other stage.
        domain: Its domain.

    Raises:
        UserError: The other stage does not know a value.
    """
    described = words(name, shared.value, shared.domain)
    if domain is shared.domain:
        return shared.value
    kind = conditions_of(domain)[name]
    if kind.mismatch(shared.value, len(described)) is None and words(name, shared.value, domain) == described:
        return shared.value
    known = {repr(None): kind.blank(1)}
    for value in described:
        if repr(value) not in known:
            known[repr(value)] = read(name, value, shared.stage, stage, domain)
    return torch.cat(padded([known[repr(value)] for value in described]))


def words(name: str, value: Tensor, domain: Domain) -> list[Any]:
    """Return a condition of samples in the user's words, None where it is not given."""
    return [one.get(name) for one in domain.describe({name: value})]


def read(name: str, value: Any, earlier: str, stage: str, domain: Domain) -> Tensor:
    """Return a condition (1, ...) that a domain reads from the user's words; arguments as of `passed`."""
    try:
        cond = domain.blank([torch.Generator().manual_seed(0)], {name: str(value)})[1]
    except UserError as error:
        raise UserError(f"Stage {stage} does not know {name}={value}, which stage {earlier} drew: {error}") from error
    assert cond is not None
    return cond[name]


def conditions_for(stage: str, domain: Domain, shared: Mapping[str, Shared]) -> dict[str, Tensor]:
    """Return the shared conditions that a stage has, as its network reads them."""
    names = shareable(domain) & shared.keys()
    return {name: passed(name, shared[name], stage, domain) for name in sorted(names)}
