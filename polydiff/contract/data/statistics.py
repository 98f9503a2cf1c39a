"""Check of a domain's statistics: a number that is not finite is an error where it is measured or loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from polydiff.support.errors import UserError


def check_finite(statistics: Mapping[str, Any], saved: bool = False) -> None:
    """Raise UserError if statistics contain NaN or an infinite number.

    Arguments:
        statistics: What a domain measured, as JSON values.
        saved: Whether they come from a checkpoint; the message then advises another one.
    """
    for name, value in numbers("", statistics):
        if not math.isfinite(value):
            if saved:
                raise UserError(f"The checkpoint's statistic {name} is {value}. The run is damaged; use another.")
            raise UserError(
                f"The statistic {name} of the training data is {value}, so nothing can be trained. Some examples are "
                "broken, or all are constant; `polydiff data check` with the same settings examines the data."
            )


def numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Yield (name, number) for each floating-point number in nested JSON values, such as ("missing.gains[2]", 0.5)."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from numbers(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from numbers(f"{name}[{i}]", part)
    elif isinstance(value, float):
        yield name, value
