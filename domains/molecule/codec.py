r"""Molecules as states: positions, one-hot elements, and optionally the atomic number as one more feature.

$$ x_i = \Big( \frac{r_i - \bar r}{s},\ c\,(\mathrm{onehot}(z_i) - p),\ c_z (z_i - \bar z) \Big), $$

where s is the standard deviation of a coordinate, p the frequencies of the elements and z-bar the mean atomic number,
all measured on the training data. A configuration can instead set s in Å and p = z-bar = 0. An atom is decoded as the
element of its largest one-hot feature.

Scaling a feature shifts its noise schedule. Noise of level s affects a feature of scale c as noise of level s / c
affects a feature of scale 1. In the feature's own units

$$ \mathrm{SNR}' = c^2\, \mathrm{SNR}, \qquad \gamma' = \gamma - 2 \ln c: $$

The smaller c is, the later sampling decides the element of an atom relative to its position. Under EDM's schedule a
feature has equal signal and noise at t = 0.54 for c = 1, 0.173 for 0.25, 0.088 for 0.125, 0.070 for 0.1.

EDM (Hoogeboom et al., 2022, https://arxiv.org/abs/2203.17003) uses s = 1 Å, p = 0, c = 0.25 and c_z = 0.1. Its integer
charge is the atomic number z.

Symbols: r positions in Å, z atomic numbers, K number of elements, c and c_z scales of features, N atoms of a molecule,
B molecules, M atoms of all molecules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules, degrees_of_freedom
from polydiff.support.errors import UserError

Molecules = DenseMolecules | PackedMolecules

MAX_EXTENT = 10.0
"""Largest root mean square distance from the centre, in units of the median one, of a geometry in the scale."""


@dataclass(frozen=True)
class Codec:
    """The map between molecules and states.

    Arguments:
        elements: The K atomic numbers, increasing.
        frequencies: Share of each element among the atoms (K).
        scale: Length in Å of 1 unit of a state: s.
        type_scale: Scale of the one-hot element: c.
        packed: Whether states are stacked (`PackedMolecules`) instead of padded (`DenseMolecules`).
        pad_to: Multiple to which the number of atoms is rounded up if states are padded.
        number_scale: Scale of the atomic number: c_z; 0 for no such feature.
        centred: Whether p and z-bar are subtracted, which gives features the mean 0.
        given: Whether the space holds the elements of the atoms. States then hold positions only.
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
        """Return {"elements", "frequencies", "scale", "sizes"} of a library; sizes is a list of [atoms, geometries].

        The scale is the standard deviation of a coordinate. A geometry that is more than `MAX_EXTENT` times as large as
        their median does not enter it, so that one record cannot determine it.
        """
        elements, counts = np.unique(library.numbers, return_counts=True)
        owner = np.repeat(np.arange(len(library)), library.sizes)
        centred, usual = centred_positions(library, owner)
        scale = float((centred if usual.all() or not usual.any() else centred[usual[owner]]).std(dtype=np.float64))
        return {
            "elements": elements.tolist(),
            "frequencies": (counts / counts.sum()).tolist(),
            "scale": scale or 1.0,
            "sizes": np.stack(np.unique(library.sizes, return_counts=True), 1).tolist(),
        }

    @property
    def features(self) -> int:
        """Number of features of an atom: K, plus one for the atomic number; 0 if the space holds the elements."""
        return 0 if self.given else len(self.elements) + (self.number_scale > 0)

    @cached_property
    def offset(self) -> Tensor:
        """The mean subtracted from features, in units of the state, float64 (features,)."""
        if not self.centred:
            return torch.zeros(self.features, dtype=torch.float64)
        p, z = torch.tensor([self.frequencies, self.elements], dtype=torch.float64)
        return torch.cat([self.type_scale * p, self.number_scale * (p @ z)[None]])[: self.features]

    def space(self, sizes: Tensor, numbers: Tensor | None = None) -> Molecules:
        """Return the space of molecules of given sizes.

        Arguments:
            sizes: Numbers of atoms (B,).
            numbers: Atomic numbers of all atoms (M,); required if the space holds the elements.
        """
        space: Molecules = (
            PackedMolecules.of_sizes(sizes, self.features)
            if self.packed
            else DenseMolecules.of_sizes(sizes, self.features, multiple=self.pad_to)
        )
        if not self.given:
            return space
        assert numbers is not None, "a space that holds the elements needs them"
        return replace(space, elements=self.to_layout(numbers[:, None], space)[..., 0])

    def encode(self, molecules: Sequence[Molecule]) -> tuple[State, Molecules]:
        """Return the states of molecules, float32 (M, 3 + features) or (B, N, 3 + features), and their space.

        Raises:
            UserError: A molecule contains an element that is not in `elements`; the data of a run may have changed.
        """
        numbers = torch.from_numpy(np.concatenate([m.numbers for m in molecules]).astype(np.int64))
        if others := sorted(set(numbers.tolist()) - set(self.elements)):
            raise UserError(
                f"A molecule of the data contains {symbols(others)[0]}, but this model was trained on "
                f"{', '.join(symbols(self.elements))}. Restore the original data, or start a new run."
            )
        space = self.space(torch.tensor([len(m.numbers) for m in molecules]), numbers)
        r = torch.from_numpy(np.concatenate([m.positions for m in molecules])).double() / self.scale
        x = self.to_layout(torch.cat([r, self.features_of(numbers)], -1), space)
        return space.project(x).float(), space

    def features_of(self, numbers: Tensor) -> Tensor:
        """Return the features (M, features) of atoms with these atomic numbers (M,), float64."""
        onehot = self.type_scale * (numbers[:, None] == torch.tensor(self.elements))
        return torch.cat([onehot, self.number_scale * numbers[:, None]], -1)[:, : self.features] - self.offset

    @staticmethod
    def to_layout(atoms: Tensor, space: Molecules) -> Tensor:
        """Return stacked atoms (M, d) in the layout of a space: (M, d) if packed, (B, N, d) if padded with 0."""
        if isinstance(space, PackedMolecules):
            return atoms
        x = atoms.new_zeros(*space.mask.shape, atoms.shape[-1])
        x[space.mask] = atoms
        return x

    @staticmethod
    def split_atoms(x: Tensor, space: Molecules) -> tuple[Tensor, ...]:
        """Return the atoms (N, d) of each molecule: the inverse of `to_layout`."""
        atoms = x if isinstance(space, PackedMolecules) else x[space.mask.to(x.device)]
        parts: tuple[Tensor, ...] = atoms.split(space.sizes.tolist())
        return parts

    def units(self, x: State, space: Space) -> Units:
        """Return the units of states for likelihoods.

        Positions have a density in Å, the K one-hot features are one category, and z is a whole number.
        """
        assert isinstance(space, DenseMolecules | PackedMolecules)
        scale = degrees_of_freedom(space.sizes, 0) * math.log(self.scale)
        if self.given:
            return Units(None, None, scale, "Å")
        features, offset, K = x[..., 3:].double(), self.offset.to(x.device), len(self.elements)
        half = torch.full_like(features, self.type_scale / 2)
        centres = torch.full_like(features, self.type_scale)
        if self.number_scale:
            half[..., K:] = self.number_scale / 2
            centres[..., K:] = ((features + offset)[..., K:] / self.number_scale).round() * self.number_scale
        none = torch.full_like(x[..., :3], torch.nan, dtype=torch.float64)
        low, high = (torch.cat([none, centres - offset + side * half], -1) for side in (-1, 1))
        return Units(low, high, scale, "Å", category=(3, 3 + K))

    def decode(self, x: State, space: Space) -> list[Molecule]:
        """Return the molecules that states represent."""
        assert isinstance(space, DenseMolecules | PackedMolecules)
        rows, given = self.split_atoms(x.float().cpu(), space), space.elements
        if given is None:
            numbers = tuple(self.decode_elements(atoms) for atoms in rows)
        else:
            numbers = self.split_atoms(given.cpu()[..., None], space)
        return [
            Molecule(z.flatten().numpy().astype(np.uint8), (atoms[:, :3] * self.scale).numpy())
            for z, atoms in zip(numbers, rows, strict=True)
        ]

    def decode_elements(self, atoms: Tensor) -> Tensor:
        """Return the atomic numbers (N,) of the largest one-hot feature of atoms (N, 3 + features)."""
        K = len(self.elements)
        return torch.tensor(self.elements)[(atoms[:, 3:] + self.offset)[:, :K].argmax(-1)]


def measured_statistics(library: Library, data: MoleculeData) -> dict[str, Any]:
    """Return `Codec.measure` of a library, with the scale that the configuration sets, if it sets one."""
    return Codec.measure(library) | ({} if data.scale is None else {"scale": data.scale})


def centred_positions(library: Library, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in Å from the centre of each geometry (M, 3), and which geometries are usual (n,).

    Arguments:
        library: The geometries.
        owner: Index of the geometry of each atom (M,).
    """
    centred = library.positions - (sum_by_owner(library.positions, owner) / library.sizes[:, None])[owner]
    extent = np.sqrt(sum_by_owner(centred**2, owner).sum(1) / library.sizes)
    return centred, extent <= MAX_EXTENT * np.median(extent)


def codec_of(data: MoleculeData, statistics: Mapping[str, Any]) -> Codec:
    """Return the codec of a configuration and the statistics of its training data."""
    return Codec(
        tuple(statistics["elements"]),
        tuple(statistics["frequencies"]),
        statistics["scale"],
        data.type_scale,
        number_scale=data.number_scale,
        centred=data.centred,
        packed=data.layout == "sparse",
        pad_to=data.pad_to,
        given=data.types == "given",
    )


def sum_by_owner(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return the sum of the rows of `values` (M, d) of each owner 0, 1, ..., float64 (owners, d)."""
    total = np.zeros((int(owner.max()) + 1, values.shape[1]))
    np.add.at(total, owner, values)
    return total
