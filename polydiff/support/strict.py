"""Parts of JSON files as pydantic models that convert no values. Importing this module imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Strict(BaseModel):
    """A part of a JSON file: values are not converted; keys that are not declared are allowed."""

    model_config = ConfigDict(extra="allow", strict=True)


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a validation as text: the key, and what is wrong."""
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), f"{message[:1].lower()}{message[1:]}")))
