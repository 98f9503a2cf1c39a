"""The projector on the known part of molecules, against its definition."""

from __future__ import annotations

import pytest
import torch

from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.control.known import known_part

SIZES = torch.tensor([5, 1, 3])


@pytest.mark.parametrize("layout", [DenseMolecules, PackedMolecules])
@pytest.mark.parametrize("by", ["atom", "number"])
def test_the_known_part_is_the_nearest_state_that_is_0_off_the_mask(layout: type, by: str) -> None:
    """It lies in the space, is 0 off the mask, and what is left is orthogonal to all such states."""
    space = layout.of_sizes(SIZES, 2, torch.float64)
    x, y = space.noise(streams(0, "x", range(3))), space.noise(streams(1, "x", range(3)))
    generator = torch.Generator().manual_seed(2)
    mask = torch.rand(x[..., : 1 if by == "atom" else 5].shape, generator=generator) < 0.6
    if by == "number":
        mask[..., :3] = mask[..., :1]
    found, other = known_part(x, mask, space), known_part(y, mask, space)
    assert torch.allclose(space.project(found), found, atol=1e-12)
    assert not bool(found.masked_select(~mask.expand_as(found)).any())
    assert float(space.sum(other * (x - found)).abs().max()) < 1e-12
    assert float(space.sum(found * found).max()) > 0.1


def test_a_common_shift_of_the_known_atoms_changes_nothing() -> None:
    space = DenseMolecules.of_sizes(SIZES, 0, torch.float64)
    x, mask = space.noise(streams(0, "x", range(3))), torch.tensor([1, 0, 1, 0, 0], dtype=torch.bool)[None, :, None]
    shift = torch.tensor([3.0, -2, 7], dtype=torch.float64)
    assert torch.allclose(known_part(x + shift, mask, space), known_part(x, mask, space), atol=1e-12)
