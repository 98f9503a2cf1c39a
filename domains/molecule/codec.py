r"""Molecules as states: positions of unit variance beside one-hot elements.

$$ x_i = \Big( \frac{r_i - \bar r}{s},\ c\,(\mathrm{onehot}(z_i) - p) \Big), $$

with s the standard deviation of a coordinate and p the frequencies of the elements, both measured on the training
data. Elements are read back as the largest feature.

Symbols: r positions in Å, z atomic numbers, K number of elements, c the scale of the features, N atoms of a molecule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polydiff.domain import Units
from polydiff.domains.molecule.data import Library
from polydiff.domains.molecule.geometry import Molecule
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules, degrees_of_freedom
from polydiff.space import Space, State

Molecules = DenseMolecules | PackedMolecules


@dataclass(frozen=True)
class Codec:
    """Between molecules and states.

    Arguments:
        elements: Atomic numbers, increasing: K of them.
        frequencies: Share of each element among the atoms.
        scale: Standard deviation of a coordinate in Å.
        type_scale: c.
        packed: Whether states are stacked (`PackedMolecules`) and not padded (`DenseMolecules`).
        pad_to: Where padded, the number of atoms is rounded up to a multiple of this.
    """

    elements: tuple[int, ...]
    frequencies: tuple[float, ...]
    scale: float
    type_scale: float
    packed: bool = False
    pad_to: int = 1

    @staticmethod
    def measure(library: Library) -> dict[str, Any]:
        """Return {"elements", "frequencies", "scale"} of a library."""
        elements, counts = np.unique(library.numbers, return_counts=True)
        owner = np.repeat(np.arange(len(library)), library.sizes)
        centred = library.positions - (sums(library.positions, owner) / library.sizes[:, None])[owner]
        scale = float(centred.std(dtype=np.float64))
        frequencies = counts / counts.sum()
        return {"elements": elements.tolist(), "frequencies": frequencies.tolist(), "scale": scale or 1.0}

    def space(self, sizes: Tensor) -> Molecules:
        """Return where molecules of these sizes (B,) live."""
        if self.packed:
            return PackedMolecules.of_sizes(sizes, len(self.elements))
        return DenseMolecules.of_sizes(sizes, len(self.elements), multiple=self.pad_to)

    def encode(self, molecules: Sequence[Molecule]) -> tuple[State, Molecules]:
        """Return the states of molecules, and where they live."""
        space = self.space(torch.tensor([len(m.numbers) for m in molecules]))
        numbers = torch.from_numpy(np.concatenate([m.numbers for m in molecules]).astype(np.int64))
        r = torch.from_numpy(np.concatenate([m.positions for m in molecules])) / self.scale
        onehot = (numbers[:, None] == torch.tensor(self.elements)).to(r)
        atoms = torch.cat([r, self.type_scale * (onehot - torch.tensor(self.frequencies))], -1)
        if isinstance(space, PackedMolecules):
            return space.project(atoms), space
        x = atoms.new_zeros(*space.mask.shape, atoms.shape[-1])
        x[space.mask] = atoms
        return space.project(x), space

    def units(self, x: State, space: Space) -> Units:
        """Return the units of states: positions are densities in Å, each feature is on or off."""
        assert isinstance(space, DenseMolecules | PackedMolecules)
        threshold = self.type_scale * (0.5 - torch.tensor(self.frequencies, dtype=torch.float64))
        features, inf = x[..., 3:].double(), torch.full_like(threshold, torch.inf)
        none = torch.full_like(x[..., :3], torch.nan, dtype=torch.float64)
        on = features > threshold
        low, high = torch.where(on, threshold, -inf), torch.where(on, inf, threshold)
        scale = degrees_of_freedom(space.sizes, 0) * math.log(self.scale)
        return Units(torch.cat([none, low], -1), torch.cat([none, high], -1), scale, "Å")

    def decode(self, x: State, space: Space) -> list[Molecule]:
        """Return the molecules that states stand for."""
        assert isinstance(space, DenseMolecules | PackedMolecules)
        atoms = (x if isinstance(space, PackedMolecules) else x[space.mask.to(x.device)]).float().cpu()
        onehot = atoms[:, 3:] / self.type_scale + torch.tensor(self.frequencies)
        numbers = np.array(self.elements, np.uint8)[onehot.argmax(-1).numpy()]
        r = (atoms[:, :3] * self.scale).numpy()
        ends = space.sizes.cumsum(0).tolist()
        return [Molecule(numbers[a:b], r[a:b]) for a, b in zip([0, *ends], ends, strict=False)]


def sums(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return the sum of the rows of each owner, 0, 1, ..., in float64."""
    total = np.zeros((int(owner.max()) + 1, values.shape[1]))
    np.add.at(total, owner, values)
    return total
