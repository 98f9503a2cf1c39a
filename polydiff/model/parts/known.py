"""Which parts of given examples are known, as a user writes it: gaps, kept parts, masks in files, added places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.editing import Grows, HasBlanks, HasRegions, ReadsMasks
from polydiff.core.parts.product import as_parts, as_product, unknown_in
from polydiff.core.space import Batch
from polydiff.model.edit import masks_of
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


def kept(
    model: Model,
    given: Batch,
    gaps: Sequence[str],
    keeps: Sequence[str],
    add: str,
    generators: Sequence[torch.Generator],
    white: Tensor | None = None,
) -> tuple[Batch, Any]:
    """Return the examples, with added places if requested, and the mask of their known values, or of each part's.

    Arguments:
        model: Its domain reads the parts.
        given: Clean states of the examples.
        gaps: Parts to generate, in the domain's notation.
        keeps: Parts to keep, in the domain's notation; used if there are no gaps.
        add: Places to add, as a number or a formula; "": none.
        generators: One random stream for each example, for the added places.
        white: Mask of what to generate, booleans that broadcast against a state; None: gaps and keeps say it.

    Raises:
        UserError: The domain cannot add places or has no notation for parts, or there is nothing to generate.
    """
    domain = model.domain
    if add and not provides(domain, Grows):
        raise UserError(f"add {add}: the domain {model.config.domain} cannot add places to its examples.")
    mask = torch.ones(1, dtype=torch.bool) if white is None else ~white
    mask = known_in(model, given, gaps, keeps) if gaps or keeps else mask
    if provides(domain, HasBlanks):
        given, known = domain.blanks(given)
        mask = mask & known
    if provides(domain, Grows) and add:
        return domain.grown(given, mask, add, generators)
    masks = masks_of(model, given, mask)
    x, space, each = as_parts(given.x), as_product(given.space), as_parts(masks)
    if not any(bool((unknown_in(x[name], each[name], space.parts[name]) > 0).any()) for name in x):
        blanks = " or write _ for letters to generate" if provides(domain, HasBlanks) else ""
        raise UserError(f"All parts are kept, so there is nothing to generate. Change gap, keep or mask{blanks}.")
    return given, masks


def white_in(model: Model, path: Path, files: Sequence[Path]) -> Tensor:
    """Return where a mask's file says that values are generated, booleans that broadcast against a state.

    Raises:
        UserError: The domain reads no masks, or this one does not fit.
    """
    if not provides(model.domain, ReadsMasks):
        raise UserError(f"mask {path}: the domain {model.config.domain} reads no masks from files. Use gap.")
    return model.domain.read_mask(path, files)


def known_in(model: Model, given: Batch, gaps: Sequence[str], keeps: Sequence[str]) -> Tensor:
    """Return the mask of known values, booleans that broadcast against a state: outside the gaps, or in the kept parts.

    Arguments:
        model: Its domain reads the parts.
        given: Clean states of the examples.
        gaps: Parts to generate, in the domain's notation.
        keeps: Parts to keep, in the domain's notation; used if there are no gaps.

    Raises:
        UserError: The domain has no notation for parts.
    """
    domain = model.domain
    if not provides(domain, HasRegions):
        raise UserError(
            f"The domain {model.config.domain} has no notation for parts of its examples. "
            "Use `polydiff.inpaint` in Python, which takes a mask."
        )
    inside = torch.stack([domain.region(text, given) for text in gaps or keeps]).any(0)
    return ~inside if gaps else inside
