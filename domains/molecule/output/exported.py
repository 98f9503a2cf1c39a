"""What an exported network of molecules needs: tensors of its space, and values of the program that samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.fields import to_json
from polydiff.core.space import Space
from polydiff.domains.molecule.chemistry.composition import symbols
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.conditions import ConditionSet
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules

PROGRAM = Path(__file__).with_name("program.py")


def program_values(
    codec: Codec, condition_set: ConditionSet, statistics: Mapping[str, Any], described: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what program.py reads, as JSON.

    Arguments:
        codec: Undoes the encoding of states.
        condition_set: Conditions that are numbers.
        statistics: The domain's statistics, whose profiles give sizes and numbers.
        described: Fields of conditions that are text or classes.
    """
    return {
        "elements": list(codec.elements),
        "symbols": list(symbols(codec.elements)),
        "offset": codec.offset.tolist(),
        "scale": codec.scale,
        "names": list(condition_set.names),
        "counted": list(condition_set.symbols),
        **{name: statistics[name] for name in ("means", "stds", "profiles")},
        "conditions": to_json(described),
    }


def space_tensors(space: Space) -> dict[str, Tensor]:
    """Return the mask of atoms (B, N), and their elements (B, N) if the space holds them, in either layout."""
    if isinstance(space, DenseMolecules):
        return {"mask": space.mask} | ({} if space.elements is None else {"elements": space.elements})
    assert isinstance(space, PackedMolecules)
    dense = DenseMolecules.of_sizes(space.sizes, space.features)
    if space.elements is None:
        return {"mask": dense.mask}
    elements = torch.zeros(dense.mask.shape, dtype=space.elements.dtype)
    elements[dense.mask] = space.elements
    return {"mask": dense.mask, "elements": elements}


def space_of(tensors: Mapping[str, Tensor], features: int) -> Space:
    """Return the space with these tensors, whose atoms have so many features."""
    return DenseMolecules(tensors["mask"], features, elements=tensors.get("elements"))
