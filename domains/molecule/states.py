"""Conversion between molecules and states: for the data set, for a user's files, and for added atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polydiff.contract.sections.run import Config
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import Condition, Conditions
from polydiff.core.parts.product import Product
from polydiff.core.space import Batch, Space, State
from polydiff.core.units import Units
from polydiff.domains.molecule.chemistry.composition import symbols
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.sizes import MAX_SIZE_RATIO, check_atoms, size_nats
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.condition_sampler import ConditionSampler
from polydiff.domains.molecule.conditions import ConditionScaler
from polydiff.domains.molecule.config import BONDS, MoleculeData
from polydiff.domains.molecule.data.inputs import parse_added_atoms, read_molecules, select_atoms, with_added_atoms
from polydiff.domains.molecule.graphs.codec import GraphCodec
from polydiff.domains.molecule.graphs.masks import grown_masks
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.support.errors import UserError


@dataclass(frozen=True)
class States:
    """Conversion between molecules and states.

    Arguments:
        data: Section of the configuration.
        codec: Encodes molecules as states and decodes them.
        scaler: Standardises conditions.
        condition_sampler: Draws sizes and conditions as in the training data.
        conditions: Kinds of the network's conditions by name.
        sizes: Histogram of the training sizes, [[atoms, molecules], ...]; None if it is unknown.
    """

    data: MoleculeData
    codec: Codec | GraphCodec
    scaler: ConditionScaler
    condition_sampler: ConditionSampler
    conditions: Conditions
    sizes: Sequence[Sequence[int]] | None

    def space_and_conditions(
        self, sizes: Tensor, values: Tensor, exact: bool = False
    ) -> tuple[Space, Condition | None]:
        """Return the space of molecules, and the network's conditions.

        Arguments:
            sizes: Numbers of atoms, (B,).
            values: Conditions in physical units, (B, C).
            exact: Whether molecules with bonds shall have exactly the atoms that these say.
        """
        known = self.scaler.condition_set
        exact = known.given or (exact and self.data.bonded)
        space = self.codec.space(sizes, known.atomic_numbers(values) if exact else None)
        return space, self.scaler.standardise(values)

    def blank(self, space: Space) -> Condition | None:
        """Return null conditions for the molecules of a space; None if the network has no conditions."""
        return blank_conditions(self.conditions, space.batch, places_of(space)) or None

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return a user's own molecules or fragments as states, with null conditions."""
        x, space = self.codec.encode(self.molecules(paths))
        return Batch(x, space, self.blank(space))

    def molecules(self, paths: Sequence[Path]) -> list[Molecule]:
        """Return a user's own molecules or fragments, of the elements and sizes that states can have."""
        most = MAX_SIZE_RATIO * self.condition_sampler.largest
        return read_molecules(paths, self.data, symbols(self.codec.elements), most)

    def region(self, text: str, given: Batch) -> Tensor:
        """Return which atoms of each molecule a SMARTS pattern or a list of atom numbers selects.

        The result is boolean, (M, 1) for packed molecules and (B, N, 1) for padded ones, with bonds or without.
        """
        chosen = np.concatenate([select_atoms(text, molecule) for molecule in self.codec.decode(given.x, given.space)])
        return Codec.to_layout(torch.from_numpy(chosen)[:, None], atoms_of(given.space))

    def grown(self, given: Batch, mask: Tensor, add: str, generators: Sequence[torch.Generator]) -> tuple[Batch, Any]:
        """Return molecules with added atoms of unknown positions, and the mask of known values.

        The elements of added atoms are known if `add` names them. If the space holds the elements, they are drawn as in
        training and known. The conditions of the given molecules do not hold for larger ones, so they become null.
        Bonds of added atoms are unknown.

        Arguments:
            given: Clean states.
            mask: Known values of `given`; of molecules with bonds, known atoms.
            add: A number of atoms or a formula: "6" or "C2H4".
            generators: One random generator for each molecule.
        """
        count, counts = parse_added_atoms(add, self.codec.elements)
        molecules = self.codec.decode(given.x, given.space)
        check_atoms(max(len(one.numbers) for one in molecules) + count, self.condition_sampler.largest)
        added = self.added_elements(molecules, count, counts, generators)
        y, larger = self.codec.encode([with_added_atoms(m, z) for m, z in zip(molecules, added, strict=True)])
        batch = Batch(y, larger, self.blank(larger))
        if isinstance(larger, Product):
            return batch, grown_masks(mask, given.space, larger, counts is not None)
        added_mask = torch.full((count, y.shape[-1]), counts is not None)
        added_mask[:, :3] = False
        assert isinstance(given.space, DenseMolecules | PackedMolecules)
        masks = Codec.split_atoms(mask.to(torch.bool).expand(given.x.shape), given.space)
        known = torch.cat([torch.cat([rows, added_mask]) for rows in masks])
        return batch, Codec.to_layout(known, larger)

    def added_elements(
        self,
        molecules: Sequence[Molecule],
        count: int,
        counts: dict[int, int] | None,
        generators: Sequence[torch.Generator],
    ) -> list[list[int]]:
        """Return the atomic numbers of the atoms added to each molecule.

        Arguments:
            molecules: The molecules to grow.
            count: Number of atoms to add to each.
            counts: Atomic number -> number of atoms to add; None: any elements.
            generators: One random generator for each molecule.
        """
        if counts is None and self.scaler.condition_set.given:
            draw = self.condition_sampler.draw_further_atoms
            return [draw(m, count, g) for m, g in zip(molecules, generators, strict=True)]
        # unknown elements are generated, so the encoded element is only a placeholder
        placeholder = {self.codec.elements[0]: count} if counts is None else counts
        return [[z for z, n in placeholder.items() for _ in range(n)]] * len(molecules)

    def units(self, x: State, space: Space) -> Units:
        """Return the bins and units for likelihoods; with the probability of sizes unless the space holds elements."""
        units = self.codec.units(x, space)
        atoms = atoms_of(space)
        sizes = atoms.sizes if isinstance(atoms, DenseMolecules | PackedMolecules) else atoms.mask.sum(1)
        if self.sizes is None or self.scaler.condition_set.given:
            return units
        return units._replace(size=size_nats(sizes, self.sizes))


def atoms_of(space: Any) -> Any:
    """Return a space that says which atoms there are: of molecules with bonds, that of their pairs."""
    return space.parts[BONDS] if isinstance(space, Product) else space


def places_of(space: Any) -> tuple[int, ...]:
    """Return (N,), the size of a padded state's axis of atoms; () if molecules are stacked."""
    atoms = atoms_of(space)
    return () if isinstance(atoms, PackedMolecules) else (atoms.mask.shape[1],)


def check_scales(config: Config) -> None:
    """Raise UserError if a feature's scale is at most 8 times the lowest noise level, which would blur it."""
    assert isinstance(config.data, MoleculeData)
    lowest = SCHEDULES[config.schedule](**config.schedule_options).sigma_min
    for key in ("type_scale", "number_scale"):
        scale = getattr(config.data, key)
        if scale and 8 * lowest >= scale:
            raise UserError(
                f"data.{key}={scale:g} is too small to decode: it must be more than 8 times the schedule's lowest "
                f"noise level, {lowest:.3g}. Raise data.{key}, or lower the schedule's lowest level."
            )
