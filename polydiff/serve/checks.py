"""Checks of a request that need no model: whether the model can do it, and the limits of the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from polydiff.serve.answers import ModelCard
from polydiff.serve.limits import Limits
from polydiff.serve.schema import Request
from polydiff.support.errors import UserError, unknown


class WrongField(UserError):
    """A value of a request that the server or the model does not take.

    Arguments:
        where: Dotted key of the request's JSON.
        message: What is wrong with it.
    """

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where


def check(request: Request, card: ModelCard, limits: Limits) -> None:
    """Raise WrongField if a request exceeds a limit, or if the model cannot do it."""
    if request.kind not in card.actions:
        raise WrongField("kind", f"kind={request.kind}: the model {card.name} can {', '.join(card.actions)}.")
    values: dict[str, Any] = request.model_dump()
    stages: dict[str, dict[str, Any]] = values.get("stages", {})
    known = [stage.name for stage in card.stages]
    for name in stages:
        if name not in known:
            refuse_name("stages", "stage", name, known, f"The model {card.name} has no stages.")
    for where, how in {"sampling": values.get("sampling", values), **of_stages(stages)}.items():
        check_closed(f"{where}.negative", how.get("negative", {}), card)
        check_limit("steps" if "kind" in how else f"{where}.steps", how.get("steps"), limits.steps)
    check_closed("cond", values["cond"], card)
    check_limit("n", values.get("n"), limits.samples)
    if request.kind == "solve":
        measurement = request.given.partition("=")[0].strip()
        if measurement not in {text.partition("=")[0] for text in card.measurements}:
            refuse_name("given", "measurement", measurement, card.measurements)
        if request.how not in card.solvers:
            refuse_name("how", "method", request.how, card.solvers)


def of_stages(stages: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return dotted key -> how a stage draws."""
    return {f"stages.{name}": how for name, how in stages.items()}


def refuse_name(where: str, kind: str, name: str, known: Sequence[str], none: str = "") -> NoReturn:
    """Raise WrongField for a name that is not known; `none` is the message if there are no names."""
    raise WrongField(where, str(unknown(kind, name, known)) if known else none)


def check_closed(where: str, cond: Iterable[str], card: ModelCard) -> None:
    """Raise WrongField if a condition is none that requests can set."""
    for name in cond:
        if name in card.closed:
            raise WrongField(
                f"{where}.{name}",
                f"{name}: requests cannot set this condition, which is an array or computed from examples.",
            )


def check_limit(where: str, value: int | None, most: int) -> None:
    """Raise WrongField if a value is more than the server allows."""
    if value is not None and value > most:
        raise WrongField(where, f"{where}={value} is more than {most}, the limit of this server.")
