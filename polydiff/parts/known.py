"""Known values in the conditions of a batch (`polydiff.core.parts.known`), as the kernels of parts take them.

A masked letter that is known is open in the state from the beginning, in training as in sampling, so the network sees
it there. A part of real numbers is noisy in the state; the network gets its known values as a condition, and its output
is exact there (`polydiff.parts.kernel.Imposes`). Other kernels take no known values in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from polydiff.core.conditions import Condition, given
from polydiff.core.parts.known import known_name
from polydiff.core.parts.product import Parts
from polydiff.parts.kernel import Hides, Imposes, Kernel
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

OPENS = "masked"
"""Name of the kernel whose letters can be known in training."""


def check_open_letters(process: str, key: str = "process") -> None:
    """Raise UserError unless letters of a kernel can be known in training; `key` is the one that names it."""
    if process != OPENS:
        raise UserError(
            f"task=inpaint: known letters stay open in the state, which {key}={process} does not show. Use masked."
        )


def open_letters(kernels: Mapping[str, Kernel], cond: Condition | None) -> dict[str, Tensor]:
    """Return the known letters of a batch by name of a part, -1 where unknown: those of parts that are masked."""
    return {
        name: cond[known_name(name)]
        for name, kernel in kernels.items()
        if cond and known_name(name) in cond and provides(kernel, Hides) and kernel.mask is not None
    }


def with_open_letters(kernels: Mapping[str, Kernel], x: Parts, cond: Condition | None) -> dict[str, Any]:
    """Return corrupted parts in which the known letters of the conditions are as in the data."""
    known = open_letters(kernels, cond)
    return {**x, **{name: torch.where(given(letters), letters, x[name]) for name, letters in known.items()}}


def imposed(
    kernels: Mapping[str, Kernel],
    f: Mapping[str, Tensor],
    x: Parts,
    levels: Mapping[str, Tensor],
    space: Any,
    cond: Condition | None,
) -> dict[str, Tensor]:
    """Return the outputs of all parts, exact where the conditions hold known values.

    Arguments:
        kernels: Name of a part -> its kernel.
        f: Outputs of the network.
        x: Corrupted parts.
        levels: Level of each part.
        space: `Product` in which the parts live.
        cond: Conditions; None: none.
    """
    found = dict(f)
    for name, kernel in kernels.items():
        known = (cond or {}).get(known_name(name))
        if known is not None and provides(kernel, Imposes):
            found[name] = kernel.impose(f[name], known, x[name], levels[name], space.parts[name])
    return found
