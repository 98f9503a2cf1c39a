"""Linear measurements of states (B, C, ...) by name: what domains share when they read and make them.

A domain with measurements has the ability `polydiff.contract.abilities.HasMeasurements`, and `ReadsMeasured` if it
reads files that hold what a measurement gave.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from polydiff.contract.tasks.enlarge import block_means, enlarged, spread_blocks
from polydiff.core.space import Batch, Euclidean, Measurement, State
from polydiff.support.errors import UserError, unknown


class ReadsMeasured(Protocol):
    """A domain that reads files of measurements, for `polydiff solve RUN FILE --given TEXT --measured`."""

    def read_measured(self, text: str, paths: Sequence[Path]) -> tuple[Batch, Tensor]:
        """Return what files hold as measurements y (B, ...), in the scale of `HasMeasurements.measurement`.

        Arguments:
            text: Name of the measurement, with its value if it has one.
            paths: Files of one size.

        Returns:
            States of the sizes that are measured, all 0, and y.

        Raises:
            UserError: A file cannot be read, or has not the size that the measurement gives.
        """


def name_and_value(text: str, forms: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of a measurement and its value, "" if it has none.

    Arguments:
        text: Such as "grey" or "blur=1.5".
        forms: Name -> an example with a value, or the name itself if it takes none.

    Raises:
        UserError: There is no such measurement, its value is missing, or it takes none.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if name not in forms:
        raise unknown("measurement", name, forms, f"Examples: {', '.join(forms.values())}.")
    if "=" in forms[name] and not value:
        raise UserError(f"The measurement {name} needs a value, such as {forms[name]}.")
    if "=" not in forms[name] and equals:
        raise UserError(f"The measurement {name} takes no value: write {name}, not {text!r}.")
    return name, value


def number(text: str, value: str, low: float, high: float, what: str, whole: bool = False) -> float:
    """Return the number in a value.

    Arguments:
        text: The measurement, for the message.
        value: The number as text.
        low: Least possible number.
        high: Greatest possible number, which may depend on the size of the examples.
        what: What the number means.
        whole: Whether it must be a whole number.

    Raises:
        UserError: The value is no such number.
    """
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not low <= found <= high or (whole and found != int(found)):
        kind = "a whole number" if whole else "a number"
        span = f"{kind} from {low:.4g} to {high:.4g}" if low <= high else "impossible for examples of this size"
        raise UserError(f"{text}: {what} is {span}.")
    return found


def mean_blocks(x: State, factor: int, unit: float) -> Measurement:
    """Return the means over blocks of `factor` places along each axis; the last block of an axis may be smaller.

    Arguments:
        x: States (B, C, ...), for their sizes.
        factor: Places of a block's side.
        unit: As in `polydiff.core.space.Measurement`.
    """
    batch, channels, *sizes = x.shape
    low = [-(-size // factor) for size in sizes]
    count = block_counts(sizes, factor)

    def adjoint(y: Tensor) -> State:
        return spread_blocks(y / count.to(y), factor, sizes)

    return Measurement(
        lambda x: block_means(x, factor),
        adjoint,
        Euclidean(batch, (channels, *low)),
        unit,
        lambda y: enlarged(y, factor, sizes),
        "interpolation between the blocks, linear along each axis",
    )


def block_counts(sizes: Sequence[int], factor: int) -> Tensor:
    """Return the number of places in each block, shape (ceil(sizes / factor))."""
    count = torch.ones(())
    for size in sizes:
        along = torch.tensor([float(min(factor, size - i)) for i in range(0, size, factor)])
        count = count[..., None] * along
    return count


def kept_places(x: State, mask: Tensor, unit: float, text: str) -> Measurement:
    """Return the measurement of the places of a mask; the others are estimated by the mean of the data, 0.

    Arguments:
        x: States (B, C, ...), for their sizes.
        mask: True where measured, booleans of the sizes of one channel.
        unit: As in `polydiff.core.space.Measurement`.
        text: The measurement, for the message.

    Raises:
        UserError: No place is measured.
    """
    batch, channels, *sizes = x.shape
    places = mask.expand(*sizes).flatten().nonzero()[:, 0]
    if not len(places):
        raise UserError(f"{text}: nothing would be left to measure, since this is the whole example.")

    def forward(x: State) -> Tensor:
        return x.flatten(2)[..., places.to(x.device)]

    def adjoint(y: Tensor) -> State:
        whole = y.new_zeros(len(y), channels, math.prod(sizes))
        return whole.index_copy(2, places.to(y.device), y).reshape(len(y), channels, *sizes)

    space = Euclidean(batch, (channels, len(places)))
    return Measurement(forward, adjoint, space, unit, adjoint, "the mean of the data where nothing is measured")
