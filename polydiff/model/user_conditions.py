"""Requested conditions: from the user's values to a network's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from polydiff.contract.abilities import TellsTogether, task_conditions
from polydiff.contract.domain import Domain, conditions_of
from polydiff.contract.editing import Restores
from polydiff.core.condition_batch import withhold
from polydiff.core.conditions import KNOWN, Condition, Conditions
from polydiff.core.streams import streams
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    from polydiff.core.space import Batch
    from polydiff.model.model import Model


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


def as_words(values: Mapping[str, Any], conditions: Conditions) -> dict[str, Any]:
    """Return the user's conditions in the form that a domain reads: name -> text or array.

    Arguments:
        values: Name -> text, number or array.
        conditions: Name -> kind.

    Raises:
        UserError: An array is given for a condition whose kind does not take arrays.
    """
    arrays = {name: value for name, value in values.items() if np.ndim(value)}
    for name, value in arrays.items():
        if name not in conditions or conditions[name].source != "array":
            raise UserError(f"{name} must be text or a number, not an array of shape {np.shape(value)}.")
    return {name: str(value) for name, value in values.items()} | arrays


def edited_conditions(
    model: Model, given: Batch, cond: Mapping[str, Any] | None, seed: int, indices: range
) -> Condition | None:
    """Return the conditions of given examples, with the requested ones replaced.

    A task's conditions, such as a mel spectrogram, are withheld, because they would reproduce the examples unchanged.
    If states are residuals, only the known values are withheld.

    Arguments:
        model: The model.
        given: Clean states of the examples and their conditions.
        cond: Requested conditions, as in `Model.sample`; None: none.
        seed: Random seed of what the request leaves open.
        indices: Numbers of the B examples.
    """
    gone = {KNOWN} if has_residual_states(model) else task_conditions(model.domain)
    own = withhold(given.cond, gone)
    named = model.conditions(cond, seed, indices) if cond else {}
    return {**own, **{name: named[name] for name in cond or {}}} or None


def requested_conditions(
    model: Model, given: Batch, cond: Mapping[str, Any] | None, seed: int, indices: range
) -> Condition | None:
    """Return the requested conditions of given examples, with their own withheld; arguments as `edited_conditions`."""
    named = model.conditions(cond, seed, indices) if cond else {}
    own = withhold(given.cond, (given.cond or {}).keys())
    return {**own, **{name: named[name] for name in cond or {}}} or None


def has_residual_states(model: Model) -> bool:
    """Return whether a model's states are what another form of examples lacks, and mean nothing without it."""
    return provides(model.domain, Restores) and model.domain.task.residual
