r"""Molecules as states: positions beside one-hot elements, and where wished the atomic number as one more feature.

$$ x_i = \Big( \frac{r_i - \bar r}{s},\ c\,(\mathrm{onehot}(z_i) - p),\ c_z (z_i - \bar z) \Big), $$

with s the standard deviation of a coordinate, p the frequencies of the elements and z-bar their mean, all measured on
the training data; or s a number of Å and p = z-bar = 0. Elements are read back as the largest feature.

The scale of a feature is a shift of its schedule. Noise of one level s covers a feature of scale c as noise of level
s / c would cover one of scale 1, so that in its own units

$$ \mathrm{SNR}' = c^2\, \mathrm{SNR}, \qquad \gamma' = \gamma - 2 \ln c: $$

the smaller c, the later in sampling it is decided which element an atom is, once the geometry stands. Under EDM's
schedule a feature has as much signal as noise at t = 0.54 for c = 1, 0.173 for 0.25, 0.088 for 0.125, 0.070 for 0.1.

EDM (Hoogeboom et al., 2022, https://arxiv.org/abs/2203.17003) takes s = 1 Å, p = 0, c = 0.25 and c_z = 0.1; what it
calls the integer charge is the atomic number z.

Symbols: r positions in Å, z atomic numbers, K number of elements, c and c_z scales of features, N atoms of a molecule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polydiff.core.space import Space, State
from polydiff.core.units import Units
from polydiff.domains.molecule.chemistry.composition import symbols
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules, degrees_of_freedom
from polydiff.support.errors import UserError

Molecules = DenseMolecules | PackedMolecules


@dataclass(frozen=True)
class Codec:
    """Between molecules and states.

    Arguments:
        elements: Atomic numbers, increasing: K of them.
        frequencies: Share of each element among the atoms.
        scale: Å that are 1 in a state: s.
        type_scale: c.
        packed: Whether states are stacked (`PackedMolecules`) and not padded (`DenseMolecules`).
        pad_to: Where padded, the number of atoms is rounded up to a multiple of this.
        number_scale: c_z, 0 for no such feature.
        centred: Whether features have the mean 0: p and z-bar are taken away.
        given: Whether the space says which elements the atoms are; states are positions alone then, and K is 0.
    """

    elements: tuple[int, ...]
    frequencies: tuple[float, ...]
    scale: float
    type_scale: float
    packed: bool = False
    pad_to: int = 1
    number_scale: float = 0.0
    centred: bool = True
    given: bool = False

    @staticmethod
    def measure(library: Library) -> dict[str, Any]:
        """Return {"elements", "frequencies", "scale", "sizes"} of a library; sizes are [atoms, geometries]."""
        elements, counts = np.unique(library.numbers, return_counts=True)
        owner = np.repeat(np.arange(len(library)), library.sizes)
        centred = library.positions - (sums(library.positions, owner) / library.sizes[:, None])[owner]
        scale = float(centred.std(dtype=np.float64))
        return {
            "elements": elements.tolist(),
            "frequencies": (counts / counts.sum()).tolist(),
            "scale": scale or 1.0,
            "sizes": np.stack(np.unique(library.sizes, return_counts=True), 1).tolist(),
        }

    @property
    def features(self) -> int:
        """Numbers of an atom beside its position: K, and one more for the atomic number."""
        return 0 if self.given else len(self.elements) + (self.number_scale > 0)

    @cached_property
    def middle(self) -> Tensor:
        """What is taken away from features, in the state's units (features,), float64."""
        if not self.centred:
            return torch.zeros(self.features, dtype=torch.float64)
        p, z = torch.tensor([self.frequencies, self.elements], dtype=torch.float64)
        return torch.cat([self.type_scale * p, self.number_scale * (p @ z)[None]])[: self.features]

    def space(self, sizes: Tensor, numbers: Tensor | None = None) -> Molecules:
        """Return where molecules of these sizes (B,) live.

        Arguments:
            sizes: Numbers of atoms (B,).
            numbers: Atomic numbers of all atoms (M,), which a space knows where they are given.
        """
        space: Molecules = (
            PackedMolecules.of_sizes(sizes, self.features)
            if self.packed
            else DenseMolecules.of_sizes(sizes, self.features, multiple=self.pad_to)
        )
        if not self.given:
            return space
        assert numbers is not None, "where elements are given, a space is made with them"
        return replace(space, elements=self.laid_out(numbers[:, None], space)[..., 0])

    def encode(self, molecules: Sequence[Molecule]) -> tuple[State, Molecules]:
        """Return the states of molecules, and where they live.

        Raises:
            UserError: One holds an element that is not known, as where the data of a run have changed.
        """
        numbers = torch.from_numpy(np.concatenate([m.numbers for m in molecules]).astype(np.int64))
        if others := sorted(set(numbers.tolist()) - set(self.elements)):
            raise UserError(
                f"A molecule of the data holds {symbols(others)[0]}, and this model knows "
                f"{', '.join(symbols(self.elements))}. Bring the data back as they were, or begin a new run."
            )
        space = self.space(torch.tensor([len(m.numbers) for m in molecules]), numbers)
        r = torch.from_numpy(np.concatenate([m.positions for m in molecules])).double() / self.scale
        onehot = self.type_scale * (numbers[:, None] == torch.tensor(self.elements))
        features = torch.cat([onehot, self.number_scale * numbers[:, None]], -1)[:, : self.features] - self.middle
        x = self.laid_out(torch.cat([r, features], -1), space)
        return space.project(x).float(), space

    @staticmethod
    def laid_out(atoms: Tensor, space: Molecules) -> Tensor:
        """Return rows of all molecules' atoms, one after the other, in the layout of a space."""
        if isinstance(space, PackedMolecules):
            return atoms
        x = atoms.new_zeros(*space.mask.shape, atoms.shape[-1])
        x[space.mask] = atoms
        return x

    @staticmethod
    def rows(x: Tensor, space: Molecules) -> tuple[Tensor, ...]:
        """Return the rows of each molecule's atoms: `laid_out` undone."""
        atoms = x if isinstance(space, PackedMolecules) else x[space.mask.to(x.device)]
        parts: tuple[Tensor, ...] = atoms.split(space.sizes.tolist())
        return parts

    def units(self, x: State, space: Space) -> Units:
        """Return the units of states: positions are densities in Å, the K features one category, z a whole number."""
        assert isinstance(space, DenseMolecules | PackedMolecules)
        scale = degrees_of_freedom(space.sizes, 0) * math.log(self.scale)
        if self.given:
            return Units(None, None, scale, "Å")
        features, middle, K = x[..., 3:].double(), self.middle.to(x.device), len(self.elements)
        half = torch.full_like(features, self.type_scale / 2)
        centres = torch.full_like(features, self.type_scale)
        if self.number_scale:
            half[..., K:] = self.number_scale / 2
            centres[..., K:] = ((features + middle)[..., K:] / self.number_scale).round() * self.number_scale
        none = torch.full_like(x[..., :3], torch.nan, dtype=torch.float64)
        low, high = (torch.cat([none, centres - middle + side * half], -1) for side in (-1, 1))
        return Units(low, high, scale, "Å", category=(3, 3 + K))

    def decode(self, x: State, space: Space) -> list[Molecule]:
        """Return the molecules that states stand for."""
        assert isinstance(space, DenseMolecules | PackedMolecules)
        rows, told = self.rows(x.float().cpu(), space), space.elements
        numbers = [self.read(atoms) for atoms in rows] if told is None else self.rows(told.cpu()[..., None], space)
        return [
            Molecule(z.flatten().numpy().astype(np.uint8), (atoms[:, :3] * self.scale).numpy())
            for z, atoms in zip(numbers, rows, strict=True)
        ]

    def read(self, atoms: Tensor) -> Tensor:
        """Return the atomic numbers that rows of atoms stand for."""
        K = len(self.elements)
        return torch.tensor(self.elements)[(atoms[:, 3:] + self.middle)[:, :K].argmax(-1)]


def sums(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return the sum of the rows of each owner, 0, 1, ..., in float64."""
    total = np.zeros((int(owner.max()) + 1, values.shape[1]))
    np.add.at(total, owner, values)
    return total
