"""Some parts of examples, such as their bonds, sampled given the others: states of several parts (process=joint)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from polydiff.contract.domain import Samples
from polydiff.core.entry import check_batch
from polydiff.core.process.abilities import Gives
from polydiff.core.process.process import lacks
from polydiff.core.process.sampling import Known
from polydiff.core.space import Batch
from polydiff.model.edit import numbers_from
from polydiff.model.model import Model, check_model
from polydiff.model.origin import drawn
from polydiff.model.request import Request
from polydiff.model.restore import to_samples
from polydiff.model.user_conditions import edited_conditions
from polydiff.support.errors import check_type
from polydiff.support.protocols import provides


def sample_given(
    model: Model,
    given: Batch,
    parts: Sequence[str],
    *,
    seed: int = 0,
    first: int = 0,
    cond: Mapping[str, Any] | None = None,
    **sampling: Any,
) -> Samples:
    """Return examples whose parts of these names are those of given examples, and whose other parts are new.

    Arguments:
        model: The model; it must have been trained with these parts given (`coupling.given`, `coupling.apart`).
        given: Clean states of whole examples, of which only these parts are used, and the sizes.
        parts: Names of parts, such as ["atoms", "bonds"].
        seed: Of everything random.
        first: Number of the first example; its noise follows from the seed and this, not from the batch.
        cond: Requested conditions, as in `Model.sample`; other conditions are those of the examples.
        sampling: Keys of the configuration's section `sample`, as in `Model.sample`.
    """
    check_model(model)
    check_batch(given, name="given")
    check_type("parts", parts, Sequence, "a list of names of parts")
    parts = [parts] if isinstance(parts, str) else list(parts)
    request = request_given(model, parts, sampling)
    indices = numbers_from(first, given)
    cond_given = edited_conditions(model, given, cond, seed, indices)
    states: Any = given.x
    masks: Any = {name: torch.full((1,), name in parts) for name in states}
    x = request.states(given.space, cond_given, seed, indices, known=Known(given.x, masks))
    return to_samples(model, x, given, cond_given, drawn(model, request.how, seed, cond, given=parts))


def request_given(model: Model, parts: Sequence[str], sampling: Mapping[str, Any]) -> Request:
    """Return the request of `sample_given`.

    Raises:
        UserError: A part is unknown, or the network has not learnt to sample the others given these.
    """
    process = model.process
    if not provides(process, Gives):
        raise lacks(process, "sample some parts of examples given others; process=joint can")
    return Request.of(model, sampling, plan=lambda how: process.giving(model, how, parts))
