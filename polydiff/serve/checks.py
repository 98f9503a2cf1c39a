"""Checks of a request that need no model: whether the model can do it, and the limits of the server."""

from __future__ import annotations

from typing import Any

from polydiff.serve.answers import ModelCard
from polydiff.serve.limits import Limits
from polydiff.serve.schema import Film, Inpaint, Interpolate, Sample, Vary
from polydiff.support.errors import UserError

Request = Sample | Vary | Inpaint | Interpolate | Film


def check(request: Request, card: ModelCard, limits: Limits) -> None:
    """Raise UserError if a request exceeds a limit, or if the model cannot do it."""
    if request.kind not in card.actions:
        raise UserError(f"kind={request.kind}: the model {card.name} can {', '.join(card.actions)}.")
    values: dict[str, Any] = request.model_dump()
    for name in (*values["cond"], *values.get("sampling", {}).get("negative", {})):
        if name in card.closed:
            raise UserError(f"{name}: requests cannot set this condition, which is an array or computed from examples.")
    steps = values.get("sampling", values).get("steps")
    for key, value, most in (("n", values.get("n"), limits.samples), ("steps", steps, limits.steps)):
        if value is not None and value > most:
            raise UserError(f"{key}={value} is more than {most}, the limit of this server.")
